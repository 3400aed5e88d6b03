"""A user's own scenes: which scene a path means, in every form, and one clear line for a folder of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.scans import draw_scans
from support.verbs import g3d

from g3d.data.request import InferRequest
from g3d.data.scannet.user_scenes import UserScenes, one_scene, read_points, scene_name
from g3d.errors import InputError, MissingDataError


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}_vert.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 5, (9, 6)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two raw scans, prepared under g3d/; read only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 2)
    assert g3d("prepare", "scannet", "--data", str(root))[0] == 0
    return root


def test_a_published_scene_is_read_from_its_file_or_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "scene0000_00")
    assert scene_name(path) == "scene0000_00"
    for given in (path, tmp_path):
        assert one_scene(given) == path
        mesh = read_points(given)
        assert np.array_equal(mesh.vertices, np.load(path)[:, :3])
        assert mesh.colours is not None
        assert len(mesh.faces) == 0


@pytest.mark.parametrize("place", ["scans/scene0000_00", "g3d/scenes/scene0000_00"])
def test_the_folder_of_a_scene_is_that_scene(raw: Path, place: str) -> None:
    assert one_scene(raw / place) == raw / place
    assert len(read_points(raw / place).vertices) > 1000


@pytest.mark.parametrize("place", ["scans", "g3d/scenes"])
def test_a_folder_of_several_scene_folders_is_one_line(raw: Path, place: str) -> None:
    with pytest.raises(InputError, match=r"holds 2 scenes \(scene0000_00, scene0001_00\), expected one") as error:
        read_points(raw / place)
    assert str(raw / place / "scene0000_00") in str(error.value.hint)


def test_a_folder_of_several_files_is_one_line(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, f"scene000{number}_00")
    for name in ("room.xyz", "hall.xyz"):
        (tmp_path / name).write_text("0 0 0\n1 1 1\n")
    with pytest.raises(InputError, match=r"holds 6 scenes \(scene0000_00, .*, \.\.\.\), expected one") as error:
        read_points(tmp_path)
    assert "\n" not in error.value.message


def test_a_folder_with_one_mesh_means_this_mesh(raw: Path, tmp_path: Path) -> None:
    for kind in ("_vh_clean_2.ply", "_vh_clean_2.labels.ply"):
        content = (raw / "scans" / "scene0000_00" / f"scene0000_00{kind}").read_bytes()
        (tmp_path / f"other{kind}").write_bytes(content)
    assert one_scene(tmp_path) == tmp_path / "other_vh_clean_2.ply"


def test_a_folder_without_a_scene_is_missing_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(MissingDataError, match=r"_vh_clean_2\.ply is missing"):
        read_points(tmp_path)
    with pytest.raises(MissingDataError, match="no such scene"):
        read_points(tmp_path / "notes.doc")


def test_queries_are_named_after_published_scenes(tmp_path: Path) -> None:
    path = write(tmp_path, "scene0000_00")
    assert UserScenes(InferRequest(scenes=(path,))).ids == ["scene0000_00"]
