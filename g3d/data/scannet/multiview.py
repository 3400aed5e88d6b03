"""Back-projection of image features to the points of a scene: resized frames, projected points, pooling over frames.

The settings are published (daveredrum/ScanRefer, after 3D-SIS): colour at 328 x 256, features and depth at 41 x 32
cells, one set of intrinsics for all scenes, and a frustum that leaves out near points. Frames are processed one at a
time, so the memory is that of the pooled features.

Points and poses are in ScanNet's raw frame (not axis-aligned), in metres. Letters: N points, C channels, h x w cells.
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
"""Width and height of ENet's input, and of its features."""
NEAR, FAR, TOLERANCE = 0.1, 4.0, 0.05
"""Metres: the depth range that is used, and the maximum distance of a point from the measured depth."""
_BLOCK = 1024  # number of points whose features fit in the cache
_SCANNET_DEPTH = (577.870605, 577.870605, 319.5, 239.5)  # fx, fy, cx, cy at 640 x 480


@dataclass(frozen=True, eq=False)
class View:
    """A frame resized for the network.

    Attributes:
        colour: (256, 328, 3) uint8 RGB.
        depth: (32, 41) float32, metres, 0 where there is none.
        intrinsics: (3, 3) float32 of the depth in pixels; the centre of the first pixel is (0, 0).
        pose: (4, 4) float32, camera to world.
        published: whether the published frustum and intrinsics are used.
    """

    colour: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    published: bool


def make_view(frame: Frame, published: bool = True) -> View:
    """Return a frame's images, resized and cropped.

    Args:
        frame: the frame; its images are read.
        published: project with the published intrinsics, which are the same for all scenes and off by one column at the
            borders because images are cropped, and with the published frustum. If False, use the frame's own depth
            intrinsics, adapted to the crop, and accept all points in the depth range.

    Raises:
        InputError, MissingDataError: an image cannot be read; without `published`, also if intrinsics are missing or do
            not fit.
    """
    depth = frame.depth()
    if published:
        intrinsics = published_intrinsics()
    else:
        size = (depth.shape[1], depth.shape[0])
        intrinsics = fitted_intrinsics(frame.depth_camera(size), size, CELLS)
    return View(fit_picture(frame.colour(), COLOUR_SIZE), fit_picture(depth, CELLS), intrinsics, frame.pose, published)


def fit_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image resized to the height of `size`, then cropped or padded evenly to its width.

    Pixels are taken by Pillow's nearest neighbour. Offsets are rounded half to even: of 42 columns, the first 41 are
    kept.

    Args:
        picture: (H, W, 3) uint8 RGB or (H, W) float32 depth.
        size: width w, height h of the result.

    Returns:
        (h, w, 3) or (h, w) with the type of `picture`.
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
    """Return the published intrinsics (3, 3) float32 at 41 x 32.

    ScanNet's depth intrinsics are scaled; the principal point is scaled by the ratio of (size - 1).
    """
    fx, fy, cx, cy = _SCANNET_DEPTH
    (width, height) = CELLS
    x, y = cx * (width - 1) / (640 - 1), cy * (height - 1) / (480 - 1)
    return np.array([[fx * width / 640, 0, x], [0, fy * height / 480, y], [0, 0, 1]], np.float32)


def fitted_intrinsics(intrinsics: np.ndarray, original: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return the intrinsics (3, 3) float32 of the results of `fit_picture`.

    Args:
        intrinsics: (3, 3), intrinsics of the original images.
        original: width, height of the original images.
        size: width, height of the results.
    """
    resized = _fitted_width((original[1], original[0]), size[1])
    fitted = scale_intrinsics(intrinsics, original, (resized, size[1]))
    fitted[0, 2] += (size[0] - resized) // 2 if resized < size[0] else -round((resized - size[0]) / 2)
    return fitted.astype(np.float32)


def see_points(points: Tensor, view: View) -> Tensor:
    """Return the cell of a view in which each point (N, 3) float32 is visible: (N,) int64, row * 41 + column, or -1.

    A point is visible if the depth at its cell is in 0.1 .. 4.0 m and at most 5 cm from the point's own depth. Several
    points may share a cell. In a frame without a valid pose, no point is visible.
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
        seen: (N,) bool. As published, a feature of only zeros does not count as seen, and a frame whose feature at a
            point has only zeros leaves that point unchanged.

    Args:
        points: number of points.
        channels: number of feature channels.
        mode: "max" over frames, or "first": a point keeps the feature of the first added frame that sees it (published
            order: names sorted as strings, see `published_order`).
        device: device of the features.
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
            cells: (N,) int64, the result of `see_points`.
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
    """Return the features of points, pooled over frames one after another.

    Args:
        points: (N, 3) float32.
        views: views with their features (C, 32, 41); with a generator, only one frame is in memory.
        channels: number of feature channels C.
        mode: see `FeaturePool`.
    """
    pool = FeaturePool(len(points), channels, mode, points.device)
    for view, features in views:
        pool.add(see_points(points, view), features.to(points.device))
    return pool


def published_order(names: Iterable[str]) -> list[str]:
    """Return frame names in the order of the published script: sorted as strings, "10" before "2"."""
    return sorted(names)


def _fitted_width(shape: tuple[int, ...], height: int) -> int:
    return int(height * shape[1] / shape[0])
