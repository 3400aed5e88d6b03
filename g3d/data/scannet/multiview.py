"""Features of RGB-D frames brought to the points of a scene: pictures at the network's size, points to pixels, pooling
over frames.

As published (daveredrum/ScanRefer, after 3D-SIS): colour at 328 x 256, features and depth at 41 x 32 cells, one set of
intrinsics for all scenes, a frustum that leaves out what is near. Frames are taken one at a time, so memory is that of
the pooled features.

Points and poses are in one frame, ScanNet's raw one (not axis-aligned); metres. Letters: N points, C channels, h x w
cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from g3d.data.scannet.frames import Frame, scale_intrinsics
from g3d.ops.points_to_pixels import points_to_pixels

COLOUR_SIZE, CELLS = (328, 256), (41, 32)
"""Width and height of what ENet sees, and of its features."""
NEAR, FAR, TOLERANCE = 0.1, 4.0, 0.05
"""Metres: the depth range that is used, and how far a point may be from the depth that was seen."""
_BLOCK = 1024  # points whose features stay in the cache
_SCANNET_DEPTH = (577.870605, 577.870605, 319.5, 239.5)  # fx, fy, cx, cy at 640 x 480


@dataclass(frozen=True, eq=False)
class View:
    """A frame at the sizes that are used.

    Attributes:
        colour: (256, 328, 3) uint8 RGB.
        depth: (32, 41) float32, metres, 0 where there is none.
        intrinsics: (3, 3) float32 of the depth, pixels whose first centre is (0, 0).
        pose: (4, 4) float32, camera to world.
        published: with the published frustum and intrinsics.
    """

    colour: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    published: bool


def make_view(frame: Frame, published: bool = True) -> View:
    """A frame's pictures, resized and cropped.

    Args:
        frame: its pictures are read.
        published: project with the one set of intrinsics of all scenes, which is off by a column at the borders because
            pictures are cropped, and with the published frustum. Without, the frame's own intrinsics follow its depth,
            and all points in range count.

    Raises:
        InputError, MissingDataError: a picture cannot be read; without `published`, intrinsics are missing or do not
            fit.
    """
    depth = frame.depth()
    if published:
        intrinsics = published_intrinsics()
    else:
        size = (depth.shape[1], depth.shape[0])
        intrinsics = fitted_intrinsics(frame.depth_camera(size), size, CELLS)
    return View(fit_picture(frame.colour(), COLOUR_SIZE), fit_picture(depth, CELLS), intrinsics, frame.pose, published)


def fit_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to the wanted height, then cut or pad the width evenly: (H, W) or (H, W, 3) -> (h, w) or (h, w, 3), the
    nearest pixel of each.

    Offsets are rounded half to even: of 42 columns the first 41 are kept. Pillow's nearest neighbour, to the pixel.

    Args:
        picture: uint8 RGB or float32 depth.
        size: width, height.
    """
    width, height = size
    if picture.shape[:2] == (height, width):
        return picture
    resized = np.asarray(
        Image.fromarray(picture).resize((_fitted_width(picture.shape, height), height), Image.Resampling.NEAREST)
    )
    before = max(width - resized.shape[1], 0) // 2
    after = max(width - resized.shape[1], 0) - before
    padded = np.pad(resized, [(0, 0), (before, after)] + [(0, 0)] * (picture.ndim - 2)) if before + after else resized
    left = round((padded.shape[1] - width) / 2)
    return np.ascontiguousarray(padded[:, left : left + width])


def published_intrinsics() -> np.ndarray:
    """(3, 3) float32 of the published projection at 41 x 32: ScanNet's depth camera scaled, the centre by first and
    last pixel."""
    fx, fy, cx, cy = _SCANNET_DEPTH
    (width, height) = CELLS
    x, y = cx * (width - 1) / (640 - 1), cy * (height - 1) / (480 - 1)
    return np.array([[fx * width / 640, 0, x], [0, fy * height / 480, y], [0, 0, 1]], np.float32)


def fitted_intrinsics(intrinsics: np.ndarray, original: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Intrinsics of what `fit_picture` makes of pictures of the `original` width and height: (3, 3) -> (3, 3)
    float32."""
    resized = _fitted_width((original[1], original[0]), size[1])
    fitted = scale_intrinsics(intrinsics, original, (resized, size[1]))
    fitted[0, 2] += (size[0] - resized) // 2 if resized < size[0] else -round((resized - size[0]) / 2)
    return fitted.astype(np.float32)


def see_points(points: Tensor, view: View) -> Tensor:
    """The cell of a view that sees each point: (N, 3) float32 -> (N,) int64, row * 41 + column, or -1.

    A point is seen where the depth at its cell is in 0.1 .. 4.0 m and at most 5 cm from its own; several points may
    share a cell. A frame whose camera was not located sees nothing.
    """
    intrinsics, pose, depth = (torch.tensor(a, device=points.device) for a in (view.intrinsics, view.pose, view.depth))
    return points_to_pixels(
        points,
        intrinsics,
        pose,
        CELLS,
        depth,
        near=NEAR,
        far=FAR,
        tolerance=TOLERANCE,
        published_frustum=view.published,
    )


class FeaturePool:
    """Features of points, pooled over the frames that see them.

    Attributes:
        features: (N, C) float32; 0 for points that no frame has seen.
        seen: (N,) bool. As published, a feature of nothing but zeros does not count as seen, and a frame whose feature
            at a point is nothing but zeros leaves that point unchanged.

    Args:
        points: how many.
        channels: of the features.
        mode: "max" over frames, or "first": the first frame that sees a point decides, in the order in which frames are
            added (published: by their names as strings, see `published_order`).
    """

    def __init__(self, points: int, channels: int, mode: str = "max", device: torch.device | str = "cpu") -> None:
        if mode not in ("max", "first"):
            raise ValueError(f"mode: expected 'max' or 'first', found {mode!r}")
        self.mode = mode
        self.features = torch.zeros(points, channels, device=device)
        self.seen = torch.zeros(points, dtype=torch.bool, device=device)

    def add(self, cells: Tensor, features: Tensor) -> int:
        """Add one frame. The cost is proportional to the number of visible points.

        Args:
            cells: (N,) int64, as `see_points` gives them.
            features: (C, h, w), any floating type.

        Returns:
            The number of points that the frame sees, including those whose feature is zero.
        """
        if cells.shape != self.seen.shape or features.shape[0] != self.features.shape[1]:
            raise ValueError(
                f"cells, features: expected ({len(self.seen)},) and ({self.features.shape[1]}, h, w), "
                f"found {tuple(cells.shape)} and {tuple(features.shape)}"
            )
        rows = (cells >= 0).nonzero()[:, 0]
        count = len(rows)
        table = features.float().flatten(1).T.contiguous()
        if self.mode == "first":
            rows = rows[~self.seen[rows]]
        else:
            rows = rows[table.any(1)[cells[rows]]]  # a maximum with zeros would raise negative features
            self.features.index_fill_(0, rows[~self.seen[rows]], -torch.inf)
        for block in rows.split(_BLOCK):
            values = table.index_select(0, cells[block])
            if self.mode == "max":
                values = torch.maximum(values, self.features.index_select(0, block))
            self.features.index_copy_(0, block, values)
            self.seen[block] = (values.amax(1) != 0) | (values.amin(1) != 0)
        return count


def pool_views(points: Tensor, views: Iterable[tuple[View, Tensor]], channels: int, mode: str = "max") -> FeaturePool:
    """Pool frames one after another.

    Args:
        points: (N, 3) float32.
        views: each with its features (C, 32, 41); a generator keeps one frame in memory.
        channels: C.
        mode: see FeaturePool.
    """
    pool = FeaturePool(len(points), channels, mode, points.device)
    for view, features in views:
        pool.add(see_points(points, view), features.to(points.device))
    return pool


def published_order(names: Iterable[str]) -> list[str]:
    """Frame names in the order in which the published script takes them: as strings, "10" before "2"."""
    return sorted(names)


def _fitted_width(shape: tuple[int, ...], height: int) -> int:
    return int(height * shape[1] / shape[0])
