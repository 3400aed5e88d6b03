"""Readers and writers of the published formats of prepared ScanNet scenes.

- ScanRefer: `<scene>_vert.npy`, `_aligned_vert.npy`, `_sem_label.npy`, `_ins_label.npy`, `_bbox.npy` and
  `_aligned_bbox.npy` in one folder.
- VoteNet: four files with the same names but other columns, so the columns are always checked.
- SPFormer lineage: a pickled tuple of arrays for each scene, `<scene>_refer.pth` (CFNet, IPDN, MDIN) or
  `<scene>_inst_nostuff.pth`, and ground-truth lists `<scene>.txt`.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from g3d.data import pickles
from g3d.data.boundary import reader, reading
from g3d.data.files import atomic_write, read_text
from g3d.data.scannet.arrays import PreparedScene, ScanReferScene, VoteNetScene, ground_truth_ids
from g3d.errors import InputError

_SCANREFER_FILES = {
    "vertices": "vert",
    "aligned": "aligned_vert",
    "semantic": "sem_label",
    "instance": "ins_label",
    "boxes": "bbox",
    "aligned_boxes": "aligned_bbox",
}
_NO_SCENE = "not a prepared scene, or damaged"
_VOTENET_FILES = {name: _SCANREFER_FILES[name] for name in ("vertices", "semantic", "instance", "boxes")}


def write_scanrefer(folder: str | Path, scene: str, content: ScanReferScene) -> list[Path]:
    """Write a scene's six files and return their paths."""
    return _write_arrays(Path(folder), scene, _SCANREFER_FILES, content)


def write_votenet(folder: str | Path, scene: str, content: VoteNetScene) -> list[Path]:
    """Write a scene's four files and return their paths.

    The folder must not contain ScanRefer's files, which have the same names.
    """
    return _write_arrays(Path(folder), scene, _VOTENET_FILES, content)


def read_scanrefer(folder: str | Path, scene: str) -> ScanReferScene:
    """Return a scene of ScanRefer's `scannet_data/`.

    Raises:
        MissingDataError: a file is missing.
        InputError: a file is damaged, has another number of columns (VoteNet's files have the same names), or another
            number of rows.
    """
    found = _read_arrays(
        Path(folder),
        scene,
        _SCANREFER_FILES,
        {"vertices": 9, "aligned": 9, "boxes": 8, "aligned_boxes": 8},
        "ScanRefer",
    )
    return ScanReferScene(**found)


def read_votenet(folder: str | Path, scene: str) -> VoteNetScene:
    """Return a scene of VoteNet's `scannet_train_detection_data/`.

    Raises:
        MissingDataError, InputError: see `read_scanrefer`.
    """
    return VoteNetScene(**_read_arrays(Path(folder), scene, _VOTENET_FILES, {"vertices": 6, "boxes": 7}, "VoteNet"))


def read_published_boxes(folder: str | Path, scene: str, form: Literal["votenet", "scanrefer"]) -> np.ndarray:
    """Return the aligned boxes of a published scene alone: (K, 7) of VoteNet, (K, 8) of ScanRefer.

    Raises:
        MissingDataError, InputError: as read_scanrefer.
    """
    ending, columns, lineage = ("bbox", 7, "VoteNet") if form == "votenet" else ("aligned_bbox", 8, "ScanRefer")
    return _read_arrays(Path(folder), scene, {"boxes": ending}, {"boxes": columns}, lineage)["boxes"]


def _write_arrays(folder: Path, scene: str, files: dict[str, str], content: object) -> list[Path]:
    paths = []
    for name, ending in files.items():
        path = folder / f"{scene}_{ending}.npy"
        with atomic_write(path) as file:
            np.save(file, getattr(content, name))
        paths.append(path)
    return paths


def _read_arrays(
    folder: Path, scene: str, files: dict[str, str], columns: dict[str, int], lineage: str
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, ending in files.items():
        path = folder / f"{scene}_{ending}.npy"
        array = _load_array(path)
        shape = (-1, columns[name]) if name in columns else (-1,)
        if array.ndim != len(shape) or shape[1:] != array.shape[1:] or array.dtype.kind not in "fiu":
            expected = f"(N, {columns[name]})" if name in columns else "(N,)"
            raise InputError(
                f"{path}: {array.dtype} of shape {array.shape}, expected {expected} as {lineage} prepares scenes",
                hint="VoteNet's files have the same names as ScanRefer's and 6 (vert) and 7 (bbox) columns instead of "
                "9 and 8.",
            )
        if "boxes" not in name and found and len(array) != len(found["vertices"]):
            raise InputError(
                f"{path}: {len(array)} rows, {scene}_vert.npy has {len(found['vertices'])}: they come from "
                f"different runs"
            )
        found[name] = array
    return found


def _load_array(path: Path) -> np.ndarray:
    with reading(path, problem="no array of numbers, or cut short"):
        return np.load(path, allow_pickle=False)


def write_refer(path: str | Path, scene: PreparedScene) -> None:
    """Write `_refer.pth`: (coords, colours, superpoints, semantic, instance) with semantic as float64.

    For a test scan, only the first three arrays are written.
    """
    _write_prepared(Path(path), scene, np.int64)


def write_inst_nostuff(path: str | Path, scene: PreparedScene) -> None:
    """Write `_inst_nostuff.pth`: the arrays of `write_refer`, with instance as float64 too."""
    _write_prepared(Path(path), scene, np.float64)


def _write_prepared(path: Path, scene: PreparedScene, instance_type: type[np.generic]) -> None:
    arrays = [scene.coords, scene.colours, scene.superpoints]
    if scene.semantic is not None and scene.instance is not None:
        arrays += [scene.semantic.astype(np.float64), scene.instance.astype(instance_type)]
    content = io.BytesIO()
    torch.save(tuple(arrays), content, pickle_module=_AnyNumpy, pickle_protocol=4)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


class _AnyNumpy:
    """The pickle module for torch.save, with arrays that do not name private modules of numpy.

    numpy 1 and numpy 2 can therefore read each other's files.
    """

    class Pickler(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is np.ndarray:
                return np.ndarray, (obj.shape, obj.dtype, bytearray(np.ascontiguousarray(obj).data.cast("B")))
            return NotImplemented


@reader(problem=_NO_SCENE)
def read_prepared(path: str | Path) -> PreparedScene:
    """Return a scene of the SPFormer lineage from `_refer.pth` or `_inst_nostuff.pth`.

    The file has five arrays with labels, or three without. A file that names anything except plain data is refused and
    not run. Superpoints, semantic and instance become int64, coords and colours float32. Files of numpy 1 and 2 are
    accepted.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the content is not such a tuple, the arrays have different lengths, or a superpoint is negative.
    """
    path = Path(path)
    arrays = pickles.read(path, "", problem=_NO_SCENE)
    if (
        not isinstance(arrays, tuple | list)
        or len(arrays) not in (3, 5)
        or not all(isinstance(a, np.ndarray) for a in arrays)
    ):
        raise InputError(
            f"{path}: expected a tuple of 3 or 5 arrays: coords, colours, superpoints, semantic and instance labels"
        )
    count = len(arrays[0])
    names = ("coords", "colours", "superpoints", "semantic", "instance")[: len(arrays)]
    for name, array in zip(names, arrays, strict=True):
        shape = (count, 3) if name in ("coords", "colours") else (count,)
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise InputError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}, expected numbers of shape {shape}"
            )
    coords, colours = (array.astype(np.float32) for array in arrays[:2])
    superpoints, *labels = (array.astype(np.int64) for array in arrays[2:])
    if count and superpoints.min() < 0:
        raise InputError(f"{path}: superpoint {superpoints.min()} is negative, expected numbers from 0 on")
    return PreparedScene(coords, colours, superpoints, *(labels or (None, None)))


def write_ground_truth(path: str | Path, scene: PreparedScene) -> None:
    """Write the ScanNet benchmark's ground truth of `_inst_nostuff` instances: one number per vertex.

    See `ground_truth_ids` for the numbers.

    Raises:
        ValueError: the scene is a test scan.
    """
    if scene.semantic is None or scene.instance is None:
        raise ValueError("write_ground_truth: the scene has no labels")
    numbers = ground_truth_ids(scene.semantic, scene.instance)
    with atomic_write(path) as file:
        file.write(("\n".join(map(str, numbers.tolist())) + "\n").encode())


@reader("ground truth")
def read_ground_truth(path: str | Path, vertices: int | None = None) -> np.ndarray:
    """Return the numbers of a ground-truth file: (N,) int64, nyu40 id * 1000 + instance + 1, 0 = no instance.

    Args:
        path: a file with one integer per line.
        vertices: the expected number of integers; None accepts any.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line is not an integer of 0 or more, or the number of lines is not `vertices`.
    """
    words = read_text(path, "ground truth").split()
    odd = next((k for k, word in enumerate(words) if not word.isdecimal()), None)
    if odd is not None:
        raise InputError(f"ground truth {path}: number {odd + 1} is '{words[odd][:40]}', expected an integer from 0 on")
    if vertices is not None and len(words) != vertices:
        raise InputError(f"ground truth {path}: {len(words)} numbers, the scene has {vertices} vertices")
    return np.array(words, "S").astype(np.int64)
