"""Lifting of image features to the 3D points that the pixels see, and averaging over superpoints.

A pixel of a depth image is back-projected to a point in the world frame, and its feature is added to the scene points
around it; a scene point's feature is the mean of all features added to it. The image features are a coarse grid (the
tokens of a vision transformer), interpolated bilinearly at the pixels. The interpolation is linear, so the sum at a
point is a weighted sum of a few grid cells, and features of single pixels are never computed.

    hits = find_hits(points, depth, intrinsics, camera_to_world, grid_on_depth(layout, depth_size))
    features.add(hits, tokens)

Source: data/image2point_clip.py of 80chen86/IPDN. Letters in shapes: N points, S superpoints, C channels, P pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.patch_encoder import PatchLayout
from g3d.ops.ball_query import ball_query
from g3d.ops.lift_weights import lift_weights
from g3d.ops.segment_reduce import segment_reduce

RADIUS = 0.04
"""Radius in metres around a pixel's point within which scene points receive its feature."""
MOST_POINTS = 25
"""Maximum number of scene points that receive a pixel's feature: the first in index order."""
FARTHEST = 20.0
"""Maximum depth in metres; pixels beyond it are not used."""
_ROWS_AT_ONCE = 1024
_CHANNELS_AT_ONCE = 64


@dataclass(frozen=True)
class GridOnDepth:
    """Position of a feature grid on the pixels of a depth image.

    Pixel (u, v) lies at column scale[0] * u + shift[0] and row scale[1] * v + shift[1] of the grid; pixels and cells
    have their centres at whole numbers. Pixels outside the cells have no feature.

    Attributes:
        rows, columns: size of the grid.
        depth_size: width and height of the depth image.
        scale, shift: x, y.
    """

    rows: int
    columns: int
    depth_size: tuple[int, int]
    scale: tuple[float, float]
    shift: tuple[float, float]


def grid_on_depth(
    layout: PatchLayout,
    depth_size: tuple[int, int],
    mapping: Literal["cropped", "stretched"] = "cropped",
    intrinsics: tuple[Tensor, Tensor] | None = None,
) -> GridOnDepth:
    """Return the position of an encoder's feature grid on a depth image.

    Args:
        layout: the part of the image that the grid covers.
        depth_size: width and height of the depth image.
        mapping: "cropped": a pixel takes the feature at its position in the image, and none outside the part that the
            encoder saw. "stretched": the grid is stretched over the whole depth image, regardless of the crop
            (80chen86/IPDN); for ScanNet this shifts features sideways by up to an eighth of the image width.
        intrinsics: (3, 3) or (4, 4) of the depth and of the colour camera, which are assumed to have the same pose;
            "stretched" ignores them. None: both images show the same view.

    Raises:
        ValueError: an unknown mapping.
    """
    if mapping not in ("cropped", "stretched"):
        raise ValueError(f"mapping: expected cropped or stretched, found {mapping!r}")
    scale, shift = [], []
    for axis, cells in enumerate((layout.columns, layout.rows)):
        if mapping == "stretched":
            first, length, ratio, offset = 0.0, float(depth_size[axis]), 1.0, 0.0
        else:
            first, length = layout.crop[axis], layout.crop[axis + 2] - layout.crop[axis]
            ratio = layout.image_size[axis] / depth_size[axis]
            offset = ratio / 2 - 0.5
            if intrinsics is not None:
                depth, colour = (float(matrix[axis, axis]) for matrix in intrinsics)
                ratio = colour / depth
                offset = float(intrinsics[1][axis, 2]) - ratio * float(intrinsics[0][axis, 2])
        # depth pixel -> image pixel (both with centres at whole numbers) -> cell
        scale.append(ratio * cells / length)
        shift.append((offset + 0.5 - first) * cells / length - 0.5)
    return GridOnDepth(layout.rows, layout.columns, depth_size, (scale[0], scale[1]), (shift[0], shift[1]))


@dataclass(frozen=True, eq=False)
class PixelHits:
    """The scene points that receive the features of one image's pixels.

    Attributes:
        pixels: (P,) int64, pixels that have a depth and a feature, v * width + u, ascending.
        points: (P, k) int64, the points of each pixel, ascending; -1 after the last.
        positions: (P, 2) float32, x and y of the pixel in the grid, in cells, clamped to the grid.
        grid: the grid.
    """

    pixels: Tensor
    points: Tensor
    positions: Tensor
    grid: GridOnDepth

    def counts(self, points: int) -> Tensor:
        """Return (N,) int64: the number of pixels that hit each of N points."""
        return torch.bincount(self.points.flatten() + 1, minlength=points + 1)[1:]


def find_hits(
    points: Tensor,
    depth: Tensor,
    intrinsics: Tensor,
    camera_to_world: Tensor,
    grid: GridOnDepth,
    *,
    radius: float = RADIUS,
    most: int = MOST_POINTS,
    farthest: float = FARTHEST,
) -> PixelHits:
    """Back-project the pixels that have a depth and a feature, and find the scene points around them.

    Args:
        points: (N, 3) float32, metres, world frame.
        depth: (H, W) floating point, metres; pixels with 0 < depth < farthest are used.
        intrinsics: (3, 3) or (4, 4), fx, fy, cx, cy of the depth image, with the centre of its first pixel at (0, 0).
        camera_to_world: (4, 4), camera frame x right, y down, z forward. It, depth and intrinsics are on the points'
            device.
        grid: position of the feature grid on the image.
        radius: metres; distances must be smaller, compared in float32.
        most: maximum number of points that a pixel hits: the first in index order, not the nearest.
        farthest: metres.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the pose is not finite.
    """
    width, height = grid.depth_size
    if depth.shape != (height, width) or not depth.is_floating_point():
        raise ValueError(
            f"depth: expected ({height}, {width}) floating point, found {tuple(depth.shape)} {depth.dtype}"
        )
    if intrinsics.shape not in ((3, 3), (4, 4)):
        raise ValueError(f"intrinsics: expected (3, 3) or (4, 4), found {tuple(intrinsics.shape)}")
    if camera_to_world.shape != (4, 4) or not camera_to_world.isfinite().all():
        raise ValueError(
            f"camera_to_world: expected (4, 4), finite, found {tuple(camera_to_world.shape)}: "
            f"{camera_to_world.tolist()}"
        )
    pixels = ((depth > 0) & (depth < farthest) & _covered(grid, depth.device)).flatten().nonzero()[:, 0]
    z, camera, pose = depth.flatten()[pixels].double(), intrinsics.double(), camera_to_world.double()
    u, v = (pixels % width).double(), (pixels // width).double()
    local = torch.stack([(u - camera[0, 2]) * z / camera[0, 0], (v - camera[1, 2]) * z / camera[1, 1], z], 1)
    seen = (local @ pose[:3, :3].T + pose[:3, 3]).float()
    whole, queries = (torch.tensor([0, len(rows)], device=points.device) for rows in (points, seen))
    found = ball_query(points, seen, radius, most, whole, queries, pad="none")
    x, y = u * grid.scale[0] + grid.shift[0], v * grid.scale[1] + grid.shift[1]
    positions = torch.stack([x.clamp(0, grid.columns - 1), y.clamp(0, grid.rows - 1)], 1).float()
    return PixelHits(pixels, found, positions, grid)


def _covered(grid: GridOnDepth, device: torch.device) -> Tensor:
    """Return (H, W) bool: True for pixels whose centre lies on a cell."""
    inside = []
    for axis, cells in enumerate((grid.columns, grid.rows)):
        place = torch.arange(grid.depth_size[axis], device=device) * grid.scale[axis] + grid.shift[axis]
        inside.append((place >= -0.5) & (place < cells - 0.5))
    return inside[1][:, None] & inside[0]


class PointFeatures:
    """Mean features of points over all pixels that hit them, in one pass.

    The sums take (N, C) float32: 0.6 GB for 150k points with 1024 channels.

    Attributes:
        sums: (N, C) float32.
        counts: (N,) int64, number of pixels that hit each point.
    """

    def __init__(self, points: int, channels: int, device: torch.device | str = "cpu") -> None:
        self.sums = torch.zeros(points, channels, device=device)
        self.counts = torch.zeros(points, dtype=torch.int64, device=device)
        self._rows, self._ones = torch.arange(points, device=device), torch.ones(points, device=device)

    def add(self, hits: PixelHits, tokens: Tensor) -> None:
        """Add an image: tokens (rows, columns, C) floating point, on the points' device."""
        self.counts += hits.counts(len(self.counts))
        _add(self.sums, hits, tokens, self._rows, self._ones)

    def means(self) -> Tensor:
        """Return (N, C) float32; 0 for a point that no pixel hit."""
        return self.sums / self.counts.clamp(min=1)[:, None]

    def superpoint_means(self, superpoints: Tensor, count: int, unseen: Literal["zero", "skip"] = "zero") -> Tensor:
        """Return the mean features of superpoints, (S, C) float32; arguments as for SuperpointFeatures."""
        scale = superpoint_scale(superpoints, self.counts, count, unseen)
        result = self.sums.new_zeros(count, self.sums.shape[1])
        for begin in range(0, self.sums.shape[1], _CHANNELS_AT_ONCE):  # avoids a second (N, C) tensor
            part = slice(begin, begin + _CHANNELS_AT_ONCE)
            result[:, part] = segment_reduce(self.sums[:, part] * scale[:, None], superpoints, count)
        return result


class SuperpointFeatures:
    """Mean features of superpoints over their points, without storing features of points.

    This needs (S, C) values instead of (N, C), but two passes over the images: the mean of a point requires the number
    of pixels that hit it, so the first pass collects PixelHits.counts.

    Args:
        superpoints: (N,) int64, the superpoint of each point, 0 to count - 1.
        counts: (N,) int64, number of pixels that hit each point in all images together.
        count: number of superpoints S.
        channels: C.
        unseen: "zero": the mean is over all points, and a point that no pixel hit counts as 0 (80chen86/IPDN: this
            scales down a superpoint that was seen in part). "skip": the mean is over the points that were hit.

    Attributes:
        means: (S, C) float32, complete after every counted image was added; 0 for a superpoint that no pixel hit.
    """

    def __init__(
        self, superpoints: Tensor, counts: Tensor, count: int, channels: int, unseen: Literal["zero", "skip"] = "zero"
    ) -> None:
        self.means = torch.zeros(count, channels, device=superpoints.device)
        self._superpoints, self._scale = superpoints, superpoint_scale(superpoints, counts, count, unseen)

    def add(self, hits: PixelHits, tokens: Tensor) -> None:
        """Add an image: tokens (rows, columns, C) floating point, on the points' device."""
        _add(self.means, hits, tokens, self._superpoints, self._scale)


def superpoint_scale(superpoints: Tensor, counts: Tensor, count: int, unseen: Literal["zero", "skip"]) -> Tensor:
    """Return (N,) float32: the factor of each point's feature sum in the mean of its superpoint.

    The arguments are those of SuperpointFeatures.

    Raises:
        ValueError: an unknown `unseen`; shapes or dtypes do not fit.
    """
    if unseen not in ("zero", "skip"):
        raise ValueError(f"unseen: expected zero or skip, found {unseen!r}")
    if superpoints.shape != counts.shape or superpoints.dtype != torch.int64:
        wanted = f"({len(counts)},) int64"
        raise ValueError(f"superpoints: expected {wanted}, found {tuple(superpoints.shape)} {superpoints.dtype}")
    seen = counts > 0
    sizes = segment_reduce((torch.ones_like(seen) if unseen == "zero" else seen).double(), superpoints, count)
    return torch.where(seen, 1 / (counts * sizes[superpoints]), 0).float()


@torch.no_grad()
def _add(sums: Tensor, hits: PixelHits, tokens: Tensor, rows: Tensor, scale: Tensor) -> None:
    """Add scale[p] * (feature of pixel i) to sums[rows[p]] for every pixel i and every point p that it hits."""
    grid = hits.grid
    if tokens.shape != (grid.rows, grid.columns, sums.shape[1]):
        wanted = f"({grid.rows}, {grid.columns}, {sums.shape[1]})"
        raise ValueError(f"tokens: expected {wanted}, found {tuple(tokens.shape)}")
    table = tokens.flatten(0, 1).float()
    offsets, cells, weights = lift_weights(
        hits.points, hits.positions, rows, scale, len(sums), (grid.columns, grid.rows)
    )
    rows_with_cells = offsets.diff().nonzero()[:, 0]
    for first in range(0, len(rows_with_cells), _ROWS_AT_ONCE):  # small parts stay in the CPU cache
        touched = rows_with_cells[first : first + _ROWS_AT_ONCE]
        begin, end = int(offsets[touched[0]]), int(offsets[touched[-1] + 1])
        bags = offsets[touched] - begin
        sums.index_add_(
            0,
            touched,
            F.embedding_bag(cells[begin:end], table, bags, mode="sum", per_sample_weights=weights[begin:end]),
        )
