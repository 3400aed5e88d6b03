"""Samples of 3D detection: the same points for the same seed, targets of annotated scenes, a user's own scenes."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from support.own_rooms import own_room, y_up
from support.scans import draw_scans
from support.verbs import g3d

from g3d.data.scannet.detection_samples import DetectionSamples, PointSettings, SceneBatch
from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.data.scannet.user_scenes import own_source, read_points
from g3d.data.types import SceneSource
from g3d.datasets.scannet import DATASET
from g3d.errors import InputError
from g3d.systems.votenet.targets import VoteTargets, vote_targets

MEANS = torch.from_numpy(DETECTION_MEAN_SIZES)
targets_of = functools.partial(vote_targets, mean_sizes=MEANS, rows=8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared scenes, the last of which is not annotated; read only."""
    raw = draw_scans(tmp_path_factory.mktemp("scannet"), 3, test=1)
    assert g3d("prepare", "scannet", "--data", str(raw))[0] == 0
    return raw / "g3d"


def samples(root: Path, *names: str, repetition: int = 0, labelled: bool = True) -> DetectionSamples:
    sources = DATASET.sources(root, "all", names)
    chosen = [source for source in sources.values() if isinstance(source, SceneSource)]
    settings = PointSettings(300, height=True, repetition=repetition)
    return DetectionSamples(chosen, settings, targets_of if labelled else None)


def test_evaluation_draws_by_scene_and_repetition(root: Path) -> None:
    names = ("scene0000_00", "scene0001_00")
    found = samples(root, *names)
    assert (found.ids, len(found), found.group(1)) == (list(names), 2, "scene0001_00")
    (first,), (second,) = found.read([0], None), found.read([1], None)
    assert first.points.shape == (300, 4)
    (again,) = samples(root, *reversed(names)).read([1], None)
    assert torch.equal(first.points, again.points)
    (other,) = samples(root, *names, repetition=1).read([0], None)
    assert not torch.equal(first.points, other.points)
    assert not torch.equal(first.points, second.points)


def test_training_depends_on_the_generator_and_is_augmented(root: Path) -> None:
    found = samples(root, "scene0000_00")
    made = [found.read([0], np.random.default_rng(seed))[0] for seed in (5, 5, 6)]
    assert torch.equal(made[0].points, made[1].points)
    assert torch.equal(made[0].targets.offsets, made[1].targets.offsets)
    assert not torch.equal(made[0].points, made[2].points)
    (still,) = found.read([0], None)
    assert not torch.equal(made[0].targets.boxes.centers, still.targets.boxes.centers)


def test_batches_stack_points_and_targets(root: Path) -> None:
    found = samples(root, "scene0000_00", "scene0001_00").read([0, 1], None)
    batch = SceneBatch.of(found, VoteTargets.stack).to("cpu")
    assert (len(batch), batch.ids) == (2, ("scene0000_00", "scene0001_00"))
    assert batch.points.shape == (2, 300, 4)
    assert batch.targets.offsets.shape == (2, 300, 3, 3)
    unlabelled = samples(root, "scene0000_00", "scene0002_00", labelled=False).read([0, 1], None)
    assert SceneBatch.of(unlabelled, VoteTargets.stack).targets is None


def test_a_scene_without_annotation_is_no_training_sample(root: Path) -> None:
    with pytest.raises(InputError, match="scene0002_00: not annotated"):
        samples(root, "scene0002_00").read([0], None)
    (sample,) = samples(root, "scene0002_00", labelled=False).read([0], None)
    assert sample.targets is None


def test_too_many_boxes_name_the_scene(root: Path) -> None:
    found = samples(root, "scene0000_00")
    found.targets = functools.partial(vote_targets, mean_sizes=MEANS, rows=1)
    with pytest.raises(InputError, match="scene scene0000_00: found 3 boxes, expected at most 1"):
        found.read([0], None)


def test_a_users_cloud_of_ten_points_is_drawn_with_repetition(tmp_path: Path) -> None:
    path = tmp_path / "room.xyz"
    np.savetxt(path, np.random.default_rng(0).uniform(0, 3, (10, 3)))
    found = DetectionSamples([SceneSource(str(path), "room")], PointSettings(64))
    (sample,) = found.read([0], None)
    assert sample.points.shape == (64, 3)
    assert len(sample.points.unique(dim=0)) <= 10


def drawn_from(points: torch.Tensor, cloud: np.ndarray) -> bool:
    """Whether all drawn points are among those of a cloud."""
    known = {tuple(row) for row in np.round(cloud.astype(np.float64), 4).tolist()}
    return {tuple(row) for row in np.round(points.numpy().astype(np.float64), 4).tolist()} <= known


def test_points_of_an_own_scan_are_corrected(tmp_path: Path) -> None:
    room = own_room()
    source = own_source(room.write(tmp_path / "room.ply", y_up(room.vertices) * 1000))
    (sample,) = DetectionSamples([source], PointSettings(500, height=True)).read([0], None)
    assert sample.source is source
    assert sample.points[:, :3].abs().max() < 8
    assert 0 <= sample.points[:, 3].min() < 0.1 < 2.4 < sample.points[:, 3].max() < 2.61


def test_an_offset_becomes_the_transform_of_the_source(tmp_path: Path) -> None:
    room = own_room()
    np.savez(tmp_path / "room.npz", points=room.vertices + np.array([452_345.0, 5_411_948.0, 0]))
    (sample,) = DetectionSamples([SceneSource(str(tmp_path / "room.npz"), "room")], PointSettings(50)).read([0], None)
    assert sample.source.transform is not None
    whole = room.vertices + np.array([452_345.0, 5_411_948.0, 0]) + sample.source.transform[:3, 3]
    assert drawn_from(sample.points, whole)


def test_raw_and_prepared_scans_of_a_request_are_aligned(root: Path) -> None:
    for place in (root.parent / "scans" / "scene0000_00", root / "scenes" / "scene0000_00"):
        source = own_source(place)
        (sample,) = DetectionSamples([source], PointSettings(300)).read([0], None)
        assert sample.source.frame == "aligned"
        assert drawn_from(sample.points, read_points(source).vertices)
        assert not drawn_from(sample.points, read_points(place).vertices)


def test_a_raw_scan_has_no_targets(root: Path) -> None:
    source = own_source(root.parent / "scans" / "scene0000_00")
    with pytest.raises(InputError, match="scene0000_00: not annotated"):
        DetectionSamples([source], PointSettings(300), targets_of).read([0], None)
