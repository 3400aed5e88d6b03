"""Output of `g3d prepare kitti`: the rectangles of all object-wise depth maps in one small file, and a manifest.

The published maps take 1.86 MB of float32 pixels per frame and variant, 28 GB in total. The rectangles take a few
hundred kilobytes, and painting them in the network's frame is faster than decoding a PNG. The prepared folder is
`<root>/g3d` or the folder given by `--out`. Its manifest contains the path of the raw data, so either folder can be
given as `--data`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.kitti.object_depth import DepthRectangles
from g3d.errors import MissingDataError

FOLDER = "g3d"
RECTANGLES = "object_depth.npz"
_AGAIN = "run g3d prepare kitti again"


@dataclass(frozen=True, eq=False)
class FrameRectangles:
    """The rectangles of one frame.

    Attributes:
        all: the rectangles of all classes, N.
        car: (N,) bool, which of them are cars.
    """

    all: DepthRectangles
    car: np.ndarray

    def of(self, cars_only: bool) -> DepthRectangles:
        """Return the rectangles of the published `obj_depth` (cars only) or `obj_depth_all` maps."""
        return DepthRectangles(self.all.edges[self.car], self.all.depth[self.car]) if cars_only else self.all


class PreparedDepth:
    """The rectangles of all prepared frames, in memory."""

    def __init__(self, path: Path) -> None:
        with reading(path, hint=_AGAIN), np.load(path, allow_pickle=False) as arrays:
            ids, self._offsets = arrays["ids"], arrays["offsets"]
            self._edges, self._depth, self._car = arrays["edges"], arrays["depth"], arrays["car"]
            lengths = {len(self._edges), len(self._depth), len(self._car), int(self._offsets[-1])}
            if len(self._offsets) != len(ids) + 1 or len(lengths) != 1 or (np.diff(self._offsets) < 0).any():
                raise ValueError("its parts do not fit each other")
        self._path = path
        self._row = {str(frame): row for row, frame in enumerate(ids)}

    def check(self, ids: Sequence[str]) -> None:
        """Check that all frames are prepared.

        Raises:
            MissingDataError: some frames are not prepared.
        """
        missing = [frame for frame in ids if frame not in self._row]
        if missing:
            raise MissingDataError(
                f"{self._path}: {len(missing)} of {len(ids)} frames of the split are not prepared (first: "
                f"{missing[0]})",
                "run g3d prepare kitti with --split for that split",
            )

    def frame(self, frame: str) -> FrameRectangles:
        """Return the rectangles of a frame."""
        row = self._row[frame]
        part = slice(int(self._offsets[row]), int(self._offsets[row + 1]))
        return FrameRectangles(DepthRectangles(self._edges[part].astype(np.int64), self._depth[part]), self._car[part])


def write_rectangles(folder: Path, frames: Sequence[tuple[str, FrameRectangles]]) -> Path:
    """Write the rectangles of all frames to one file and return its path."""
    counts = [len(rectangles.car) for _, rectangles in frames]
    content = io.BytesIO()
    np.savez(
        content,
        ids=np.array([frame for frame, _ in frames], "<U16"),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        edges=np.concatenate([np.zeros((0, 4), np.int32)] + [r.all.edges.astype(np.int32) for _, r in frames]),
        depth=np.concatenate([np.zeros(0, np.float32)] + [r.all.depth for _, r in frames]),
        car=np.concatenate([np.zeros(0, bool)] + [r.car for _, r in frames]),
    )
    with atomic_write(folder / RECTANGLES) as file:
        file.write(content.getvalue())
    return folder / RECTANGLES


def raw_root(data: Path) -> Path:
    """Return the raw KITTI folder for `--data`: the folder itself, or the source in a prepared folder's manifest."""
    manifest = data / "manifest.json"
    if not manifest.is_file() or not (data / RECTANGLES).is_file():
        return data
    with reading(manifest, hint=_AGAIN, problem="does not say where the raw data is"):
        return Path(json.loads(manifest.read_text(encoding="utf-8"))["source"])


def open_prepared(data: Path) -> PreparedDepth:
    """Return the prepared depth rectangles for `--data`.

    Raises:
        MissingDataError: the data was not prepared.
    """
    for folder in (data, data / FOLDER):
        if (folder / RECTANGLES).is_file():
            return PreparedDepth(folder / RECTANGLES)
    raise MissingDataError(
        f"KITTI data {data}: not prepared (no {FOLDER}/{RECTANGLES})", f"run: g3d prepare kitti --data {data}"
    )
