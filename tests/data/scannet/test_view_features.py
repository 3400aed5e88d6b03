"""Image features of scenes: found beside prepared and published scenes, by rows, and refused where they do not fit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.grounding_world import CHANNELS, features_of_scans
from support.sentence_world import made_scans

from g3d.data.scannet.detection_samples import scene_of
from g3d.data.scannet.detection_scenes import scene_sources
from g3d.data.scannet.point_features import FILE, PointFeatures, rows_fingerprint, write_features
from g3d.data.scannet.scenes import FILE as SCENE_FILE
from g3d.data.scannet.scenes import read_scene, write_scene
from g3d.data.scannet.view_features import PUBLISHED_FILE, ViewFeatures
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError

SCENE = "scene0000_00"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = made_scans(tmp_path_factory.mktemp("world"))
    features_of_scans(root)
    return root / "scannet"


def source(scans: Path) -> SceneSource:
    return scene_sources(scans, [SCENE])[SCENE]


def test_rows_are_those_of_the_drawn_points(scans: Path) -> None:
    scene, _ = scene_of(source(scans))
    rows = np.array([5, 0, 5, len(scene.points) - 1])
    found = ViewFeatures(None, CHANNELS).read(source(scans), rows)
    with h5py.File(scans / "g3d" / "multiview" / SCENE / FILE) as file:
        assert np.array_equal(found, file[SCENE][:][rows])
    assert found.dtype == np.float32


@pytest.mark.parametrize("whole", [True, False], ids=["all points", "the kept rows"])
def test_features_of_all_points_and_of_the_kept_rows_are_taken(scans: Path, tmp_path: Path, whole: bool) -> None:
    full = read_scene(scans / "g3d" / "scenes" / SCENE)
    kept = np.arange(len(full.vertices), dtype=np.int32)[::-1][:50]
    folder = tmp_path / "scenes" / SCENE
    folder.mkdir(parents=True)
    write_scene(folder / SCENE_FILE, replace(full, rows=kept))
    points = np.asarray(full.vertices if whole else full.vertices[kept])
    drawn = np.random.default_rng(0).normal(size=(len(points), CHANNELS)).astype(np.float32)
    (tmp_path / "multiview" / SCENE).mkdir(parents=True)
    write_features(tmp_path / "multiview" / SCENE / FILE, SCENE, drawn, rows_fingerprint(points), {})
    rows = np.array([7, 0, 49])
    found = ViewFeatures(None, CHANNELS).read(SceneSource(str(folder), SCENE, "aligned"), rows)
    assert np.array_equal(found, drawn[kept[rows] if whole else rows])


def test_published_scenes_have_one_file_beside_them(scans: Path, tmp_path: Path) -> None:
    scene, _ = scene_of(source(scans))
    vertices = np.zeros((len(scene.points), 9), np.float32)
    for name, array in {
        "vert": vertices,
        "aligned_vert": vertices,
        "sem_label": np.zeros(len(vertices), np.uint32),
        "ins_label": np.zeros(len(vertices), np.uint32),
        "bbox": np.zeros((1, 8)),
        "aligned_bbox": np.zeros((1, 8)),
    }.items():
        np.save(tmp_path / f"{SCENE}_{name}.npy", array)
    published = SceneSource(str(tmp_path / f"{SCENE}_aligned_vert.npy"), SCENE, "aligned")
    features = ViewFeatures(None, CHANNELS)
    with pytest.raises(MissingDataError, match=rf"{PUBLISHED_FILE} is missing"):
        features.check([published])
    with h5py.File(tmp_path / PUBLISHED_FILE, "w") as file:
        file[SCENE] = np.arange(CHANNELS * len(vertices), dtype=np.float32).reshape(-1, CHANNELS)
    features.check([published])
    assert features.read(published, np.array([3]))[0].tolist() == [12, 13, 14, 15]
    with pytest.raises(InputError, match="have 4 channels, expected 7") as error:
        ViewFeatures(None, 7).read(published, np.array([3]))
    assert error.value.hint == "set model.view_features=4"


def test_a_named_folder_takes_their_place_and_scenes_without_features_are_counted(scans: Path, tmp_path: Path) -> None:
    shutil.copytree(scans / "g3d" / "multiview" / SCENE, tmp_path / "other" / SCENE)
    features = ViewFeatures(tmp_path / "other", CHANNELS)
    features.check([source(scans)])
    both = list(scene_sources(scans, [SCENE, "scene0001_00"]).values())
    with pytest.raises(MissingDataError, match=r"no features of scene0001_00 .1 of 2 scenes have no image features"):
        features.check([*both, both[0]])
    assert len(PointFeatures(tmp_path / "other").scenes) == 1


def test_a_user_s_mesh_has_none(scans: Path) -> None:
    mesh = next((scans / "scans" / SCENE).glob("*_vh_clean_2.ply"))
    with pytest.raises(MissingDataError, match="has no image features") as error:
        ViewFeatures(None, CHANNELS).read(SceneSource(str(mesh), "mine", "scene"), np.array([0]))
    assert "data.view_features=zeros" in str(error.value.hint)
