"""Features of points: they belong to certain points, and say so."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from g3d.data.scannet.point_features import FILE, PointFeatures, merge_features, rows_fingerprint, write_features
from g3d.errors import InputError, MissingDataError

SCENES = ("scene0000_00", "scene0001_00")


def points_of(scene: str) -> np.ndarray:
    return np.random.default_rng(SCENES.index(scene)).random((50 + SCENES.index(scene), 3)).astype(np.float32)


def features_of(scene: str) -> np.ndarray:
    return np.random.default_rng(9).random((len(points_of(scene)), 8)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for scene in SCENES:
        write_features(
            tmp_path / scene / FILE, scene, features_of(scene), rows_fingerprint(points_of(scene)), {"pool": "max"}
        )
    return tmp_path


@pytest.mark.parametrize("form", ["folder", "merged", "virtual"])
def test_what_is_written_is_read(folder: Path, form: str) -> None:
    path = folder
    if form != "folder":
        path = folder / "all.hdf5"
        assert merge_features(folder, path, virtual=form == "virtual") == 2
    opened = PointFeatures(path)
    assert opened.scenes == list(SCENES)
    for scene in SCENES:
        assert np.array_equal(opened.read(scene, points_of(scene)), features_of(scene))
        assert np.array_equal(opened.read(scene, points_of(scene), np.array([3, 1])), features_of(scene)[[3, 1]])


def test_a_virtual_file_can_be_moved_with_its_folder(folder: Path, tmp_path: Path) -> None:
    merge_features(folder, folder / "all.hdf5", virtual=True)
    moved = folder.rename(tmp_path.parent / f"{tmp_path.name}_moved")
    assert np.array_equal(
        PointFeatures(moved / "all.hdf5").read(SCENES[1], points_of(SCENES[1])), features_of(SCENES[1])
    )


def test_another_subsample_of_the_same_size_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="made from other points than these"):
        PointFeatures(folder).read(SCENES[0], points_of(SCENES[0])[::-1])


def test_another_number_of_points_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="50 rows, the scene has 20 points"):
        PointFeatures(folder).read(SCENES[0], points_of(SCENES[0])[:20])


def test_a_published_file_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(tmp_path / "enet_feats_maxpool.hdf5", "w", libver="latest") as file:
        for scene in SCENES:
            file.create_dataset(scene, data=features_of(scene))
    opened = PointFeatures(tmp_path / "enet_feats_maxpool.hdf5")
    with caplog.at_level("WARNING", logger="g3d"):
        for scene in SCENES:
            assert np.array_equal(opened.read(scene, points_of(scene)), features_of(scene))
    assert len(caplog.records) == 1


def test_half_precision_takes_half_the_room(tmp_path: Path) -> None:
    scene = SCENES[0]
    write_features(
        tmp_path / scene / FILE, scene, features_of(scene), rows_fingerprint(points_of(scene)), {}, half=True
    )
    found = PointFeatures(tmp_path).read(scene, points_of(scene))
    assert found.dtype == np.float32
    assert np.abs(found - features_of(scene)).max() < 1e-3
    with pytest.raises(InputError, match="row 0 is not finite as float16"):
        write_features(tmp_path / "x" / FILE, "x", np.full((2, 2), 1e5, np.float32), "", {}, half=True)


def test_writing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.h5"
    write_features(again, SCENES[0], features_of(SCENES[0]), rows_fingerprint(points_of(SCENES[0])), {"pool": "max"})
    assert again.read_bytes() == (folder / SCENES[0] / FILE).read_bytes()


def test_damaged_and_missing_files_say_so(folder: Path, tmp_path: Path) -> None:
    (folder / SCENES[0] / FILE).write_bytes(b"\x89HDF nonsense")
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        PointFeatures(folder).read(SCENES[0], points_of(SCENES[0]))
    with pytest.raises(MissingDataError, match="no features of scene0009_00"):
        PointFeatures(folder).read("scene0009_00", points_of(SCENES[0]))
    with pytest.raises(MissingDataError, match="no point features there"):
        PointFeatures(tmp_path / "nothing")
