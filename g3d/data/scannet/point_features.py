"""Features of all points of many scenes in HDF5: one file per scene, or the published single file.

A file contains one dataset (N, C) float32 or float16 per scene, with the scene's name. The dataset's attribute `rows`
is the fingerprint of the points that its rows belong to, because features of another subsample of the same scene have
the same shape but do not fit.

Source of the single file: enet_feats_maxpool.hdf5 of daveredrum/ScanRefer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.errors import InputError, MissingDataError

log = logging.getLogger(__name__)
FILE = "features.h5"
MULTIVIEW = "multiview"
"""Folder beside that of the prepared scenes with the image features of their points."""
_MANY_ROWS = 4096  # number of rows copied at a time


def rows_fingerprint(points: np.ndarray) -> str:
    """Return a hash of points (N, 3) float32 in their order."""
    return hashlib.sha256(np.ascontiguousarray(points, dtype="<f4").tobytes()).hexdigest()[:32]


def write_features(
    path: Path, scene: str, features: np.ndarray, rows: str, about: Mapping[str, Any], half: bool = False
) -> None:
    """Write the features (N, C) of one scene.

    Args:
        path: the file.
        scene: the scene's name.
        features: (N, C), a feature per point.
        rows: `rows_fingerprint` of the scene's points.
        about: numbers and texts that describe how the features were computed, stored as attributes.
        half: store float16.

    Raises:
        InputError: a value is not finite, or is too large for float16.
    """
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16 if half else np.float32)
    if not np.isfinite(stored).all():
        row = int((~np.isfinite(stored)).any(1).argmax())
        raise InputError(
            f"features of {scene}: row {row} is not finite{' as float16' if half else ''}",
            "keep float32" if half else None,
        )
    with atomic_write(path) as file, h5py.File(file, "w", track_order=False) as opened:
        dataset = opened.create_dataset(scene, data=stored, track_times=False)
        dataset.attrs["rows"] = rows
        for key, value in sorted(about.items()):
            dataset.attrs[key] = value


class PointFeatures:
    """Reader of the features of scenes.

    Args:
        path: a folder with <scene>/features.h5, or one file with many scenes (the published form, merged, or virtual).

    Raises:
        MissingDataError: the path has no features.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self._files = {file.parent.name: file for file in sorted(path.glob(f"*/{FILE}"))}
        elif path.is_file():
            with _reading(path), _open(path) as opened:
                self._files = dict.fromkeys(sorted(opened), path)
        else:
            self._files = {}
        if not self._files:
            raise MissingDataError(
                f"{path}: no point features there", f"expected <scene>/{FILE} or one HDF5 file: see g3d prepare"
            )
        self._unchecked = False

    @property
    def scenes(self) -> list[str]:
        return list(self._files)

    def count(self, scene: str) -> int:
        """Return the number of points that a scene has features of.

        Raises:
            InputError: the file is damaged.
        """
        with _reading(self._files[scene]), _open(self._files[scene]) as opened:
            return int(opened[scene].shape[0])

    def read(self, scene: str, points: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the features (N, C) float32 of a scene.

        Args:
            scene: the scene's name.
            points: (N, 3) float32, all points that the features must belong to.
            rows: (K,), rows to return, in this order, instead of all.

        Raises:
            MissingDataError: the scene has no features.
            InputError: the features belong to other points.
        """
        if scene not in self._files:
            raise MissingDataError(f"{self.path}: no features of {scene}", f"it holds {len(self._files)} scenes")
        with _reading(self._files[scene]), _open(self._files[scene]) as opened:
            stored = opened[scene]
            self._check(scene, stored, points)
            features = np.asarray(stored)
        return (features if rows is None else features[rows]).astype(np.float32, copy=False)

    def _check(self, scene: str, stored: h5py.Dataset, points: np.ndarray) -> None:
        where = f"{self._files[scene]}: features of {scene}"
        if stored.ndim != 2 or len(stored) != len(points):
            raise InputError(
                f"{where}: {len(stored)} rows, the scene has {len(points)} points",
                "they were made from another subsample",
            )
        rows = stored.attrs.get("rows")
        if rows is None:
            if not self._unchecked:
                log.warning(
                    "%s does not say which points its rows belong to, as published files: their number is checked",
                    self.path,
                )
            self._unchecked = True
        elif rows != rows_fingerprint(points):
            raise InputError(
                f"{where}: made from other points than these, though as many",
                "prepare the features again from this scene",
            )


def merge_features(folder: Path, path: Path, scenes: Iterable[str] | None = None, virtual: bool = False) -> int:
    """Write the published single file from a folder's scenes and return the number of scenes.

    Args:
        folder: a folder with <scene>/features.h5.
        path: the file to write.
        scenes: names of the scenes; None for all.
        virtual: refer to the scenes' files instead of copying them. The file is small and fast to write, but needs the
            folder.

    Raises:
        MissingDataError: a scene has no features.
    """
    found = PointFeatures(folder)
    wanted = found.scenes if scenes is None else list(scenes)
    for scene in wanted:
        if scene not in found._files:
            raise MissingDataError(f"{folder}: no features of {scene}", "prepare them first")
    with atomic_write(path) as file, h5py.File(file, "w", libver="latest") as merged:
        for scene in wanted:
            with _open(found._files[scene]) as opened:
                source = opened[scene]
                if virtual:
                    layout = h5py.VirtualLayout(source.shape, source.dtype)
                    layout[:] = h5py.VirtualSource(_reference(found._files[scene], path), scene, source.shape)
                    made = merged.create_virtual_dataset(scene, layout)
                else:
                    made = merged.create_dataset(scene, source.shape, source.dtype, track_times=False)
                    for start in range(0, len(source), _MANY_ROWS):
                        with _reading(found._files[scene]):
                            rows = source[start : start + _MANY_ROWS]
                        made[start : start + _MANY_ROWS] = rows
                made.attrs.update(source.attrs)
    return len(wanted)


def _reference(source: Path, path: Path) -> str:
    """Return the name by which a virtual file refers to another: relative if possible, so that both can be moved."""
    source, folder = source.resolve(), path.resolve().parent
    return str(source.relative_to(folder)) if source.is_relative_to(folder) else str(source)


def _open(path: Path) -> h5py.File:
    with _reading(path):
        return h5py.File(path, "r")


def _reading(path: Path) -> reading:
    return reading(path, problem="not a readable HDF5 file", hint="was its writing cut off? prepare it again")
