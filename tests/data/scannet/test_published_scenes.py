"""Published .npy scenes: which file is meant, what it shows, and one clear line for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g3d.data.scannet.published_scenes import (
    columns_of,
    is_published,
    published_name,
    published_scenes,
    read_published_scene,
)
from g3d.errors import InputError, MissingDataError


def write(folder: Path, name: str = "scene0000_00", columns: int = 6, ending: str = "vert") -> Path:
    rows = np.random.default_rng(0).uniform(0, 5, (9, columns)).astype(np.float32)
    rows[:, 3:6] *= 51
    path = folder / f"{name}_{ending}.npy"
    np.save(path, rows)
    return path


def test_names_come_from_vertex_files() -> None:
    for file, name in (("a_vert.npy", "a"), ("a_aligned_vert.npy", "a"), ("a_bbox.npy", None), ("_vert.npy", None)):
        assert published_name(Path("x") / file) == name


def test_of_two_vertex_files_of_a_scene_the_aligned_one_counts(tmp_path: Path) -> None:
    path = write(tmp_path, columns=9)
    assert published_scenes(tmp_path) == {"scene0000_00": path}
    aligned = write(tmp_path, columns=9, ending="aligned_vert")
    assert published_scenes(tmp_path) == {"scene0000_00": aligned}


def test_other_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the vertex file"):
        is_published(tmp_path / "scene0000_00_bbox.npy")
    assert not is_published(tmp_path / "room.ply")
    with pytest.raises(MissingDataError, match=r"_vert\.npy: no such file"):
        read_published_scene(tmp_path / "scene0000_00_vert.npy")


@pytest.mark.parametrize(("columns", "form", "aligned"), [(6, "votenet", True), (9, "scanrefer", False)])
def test_the_number_of_columns_tells_the_form(tmp_path: Path, columns: int, form: str, aligned: bool) -> None:
    path = write(tmp_path, columns=columns)
    assert columns_of(path) == form
    scene = read_published_scene(path)
    assert scene.aligned is aligned
    assert scene.instances is scene.nyu40 is None
    assert np.array_equal(scene.vertices, np.load(path)[:, :3])
    assert np.abs(scene.colours - np.load(path)[:, 3:6]).max() <= 0.5


def test_labels_beside_the_file_are_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    np.save(tmp_path / "scene0000_00_ins_label.npy", np.arange(9, dtype=np.uint32))
    np.save(tmp_path / "scene0000_00_sem_label.npy", np.full(9, 50, np.uint32))
    scene = read_published_scene(path)
    assert scene.instances is not None
    assert scene.instances.tolist() == list(range(9))
    assert scene.nyu40 is not None
    assert scene.nyu40.tolist() == [0] * 9  # 50 is ScanNet's stray label
    np.save(tmp_path / "scene0000_00_ins_label.npy", np.arange(8, dtype=np.uint32))
    with pytest.raises(InputError, match=r"ins_label.npy: uint32 of shape \(8,\), expected 9"):
        read_published_scene(path)


def damaged(values: np.ndarray, kind: str) -> np.ndarray:
    values = values.copy()
    if kind == "nan":
        values[4, 1] = np.nan
    elif kind == "colour":
        values[4, 5] = 300
    elif kind == "empty":
        return values[:0]
    else:
        return values[:, :5]
    return values


@pytest.mark.parametrize(
    ("kind", "message"),
    [("nan", "row 4 is"), ("colour", "row 4 is"), ("empty", r"shape \(0, 6\)"), ("columns", r"shape \(9, 5\)")],
)
def test_bad_arrays_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    path = write(tmp_path)
    np.save(path, damaged(np.load(path), kind))
    with pytest.raises(InputError, match=message) as error:
        read_published_scene(path)
    assert str(path) in error.value.message


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:150])
    for read in (read_published_scene, columns_of):
        with pytest.raises(InputError, match=r"_vert\.npy: no array of numbers, or cut short"):
            read(path)
