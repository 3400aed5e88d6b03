"""Find published `.npy` scenes in folders and read what they show: points, colours, objects and classes.

A published scene is the files `<scene>_vert.npy` (VoteNet: aligned frame, 6 columns; ScanRefer: raw frame, 9 columns),
`<scene>_aligned_vert.npy` (ScanRefer only), `<scene>_ins_label.npy`, `<scene>_sem_label.npy` and boxes, all in one
folder. The path of one of its vertex files names the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from g3d.data.boundary import reading
from g3d.data.scannet.labels import known_nyu40
from g3d.errors import InputError

ENDING = "_vert.npy"
ALIGNED_ENDING = "_aligned_vert.npy"
_COLUMNS: dict[int, Literal["votenet", "scanrefer"]] = {6: "votenet", 9: "scanrefer"}


@dataclass(frozen=True, eq=False)
class PublishedScene:
    """The points of a published scene, in the frame of its file; metres.

    Attributes:
        name: the scene's name.
        vertices: (N, 3) float32, finite.
        colours: (N, 3) uint8.
        instances: (N,) int64, objectId + 1, 0 = none; None if the file is not there.
        nyu40: (N,) int64, 0 = none; None if the file is not there.
        aligned: whether the frame is the aligned one.
    """

    name: str
    vertices: np.ndarray
    colours: np.ndarray
    instances: np.ndarray | None
    nyu40: np.ndarray | None
    aligned: bool


def published_name(path: Path) -> str | None:
    """Return the name of the scene whose vertex file a path is; None for another file."""
    name = path.name
    for ending in (ALIGNED_ENDING, ENDING):
        if name.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return None


def published_scenes(folder: Path) -> dict[str, Path]:
    """Return the vertex files of the published scenes in a folder by scene, sorted.

    A scene with a raw and an aligned vertex file has the aligned one.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{ENDING}")):
        name = published_name(path)
        if name is not None and (name not in found or path.name.endswith(ALIGNED_ENDING)):
            found[name] = path
    return dict(sorted(found.items()))


def is_published(path: Path) -> bool:
    """Return whether a path is the vertex file of a published scene; the file need not exist.

    Raises:
        InputError: the path is another `.npy` file.
    """
    if path.suffix.lower() != ".npy":
        return False
    if published_name(path) is None:
        raise InputError(
            f"scene {path}: not the vertex file of a published scene", f"expected <scene>{ENDING} beside its labels"
        )
    return True


def read_published_scene(path: Path) -> PublishedScene:
    """Return the points of a published scene, with the labels that lie beside the file.

    Args:
        path: a vertex file.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a file is damaged, has other columns or rows, or holds numbers that are no positions or colours.
    """
    name = published_name(path)
    if name is None:
        raise InputError(f"scene {path}: expected <scene>{ENDING}")
    with reading(path, "scene", problem="no array of numbers, or cut short"):
        rows = np.load(path, allow_pickle=False)
        if rows.ndim != 2 or rows.shape[1] not in _COLUMNS or rows.dtype.kind != "f" or not len(rows):
            raise InputError(
                f"{rows.dtype} of shape {rows.shape}, expected floating point of shape (N, 6) as VoteNet prepares "
                f"scenes, or (N, 9) as ScanRefer does"
            )
        bad = ~np.isfinite(rows[:, :6]).all(1) | (rows[:, 3:6] < 0).any(1) | (rows[:, 3:6] > 255).any(1)
        if bad.any():
            row = int(bad.argmax())
            found = [float(value) for value in rows[row, :6]]
            raise InputError(f"row {row} is {found}, expected a finite position in metres and a colour 0..255")
    labels = [_labels(path.with_name(f"{name}_{kind}_label.npy"), len(rows)) for kind in ("ins", "sem")]
    if labels[1] is not None:
        with reading(path.with_name(f"{name}_sem_label.npy"), "scene"):
            labels[1] = known_nyu40(labels[1])
    aligned = _COLUMNS[rows.shape[1]] == "votenet" or path.name.endswith(ALIGNED_ENDING)
    colours = np.rint(rows[:, 3:6]).astype(np.uint8)
    return PublishedScene(name, rows[:, :3].astype(np.float32), colours, labels[0], labels[1], aligned)


def _labels(path: Path, count: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    with reading(path, "scene", problem="no array of numbers, or cut short"):
        labels = np.load(path, allow_pickle=False)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise InputError(f"{labels.dtype} of shape {labels.shape}, expected {count} whole numbers, one of each row")
        return np.asarray(labels, np.int64)


def columns_of(path: Path) -> Literal["votenet", "scanrefer"]:
    """Return which published code prepared a vertex file, from its number of columns; the data are not read.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged or has another number of columns.
    """
    with reading(path, "scene", problem="no array of numbers, or cut short"):
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        if len(shape) != 2 or shape[1] not in _COLUMNS:
            raise InputError(f"an array of shape {shape}, expected 6 columns (VoteNet) or 9 (ScanRefer)")
        return _COLUMNS[shape[1]]
