"""Overlap of rotated boxes, seen from above (x, z) and in space, and of the axis-aligned boxes of an image.

Rotated boxes are rows of 7 numbers, x y z h w l rotation_y: bottom centre, height, width, length in metres and yaw in radians, camera
frame, with the conventions of g3d/geometry/boxes.py. Seen from above a box is a rectangle; in space it is that rectangle times [y - h, y].
The intersection polygon is exact (float64), not sampled. Image boxes are rows of 4, x1 y1 x2 y2, and span [x1, x2] x [y1, y2].
A box with an extent that is not above 0 overlaps nothing, itself included.

Shapes: N and M boxes, P pairs.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

# Each of the four cuts adds one corner to a convex polygon; room for more, because rounding can make it slightly concave.
_CORNERS = 24


def reference(first: Tensor, second: Tensor, volume: bool) -> Tensor:
    """The oracle, on any device and differentiable: boxes (..., 7) and (..., 7), broadcast against each other -> IoU (...).

    It collects the corners of each rectangle that lie in the other and the crossings of their edges, sorts them by angle and takes the
    polygon's area. Memory grows with 24 points a pair.
    """
    dtype = first.dtype
    first, second = torch.broadcast_tensors(first.double(), second.double())
    centre = first[..., [0, 2]]
    ring_a, ring_b = _ring(first, centre), _ring(second, centre)
    crossings, crossed = _edge_crossings(ring_a, ring_b)
    points = torch.cat([ring_a, ring_b, crossings], -2)
    used = torch.cat([_inside(ring_a, second, centre), _inside(ring_b, first, centre), crossed], -1)
    area = _polygon_area(points, used)
    size_a, size_b = first[..., 3:6], second[..., 3:6]
    if volume:
        top = torch.maximum(first[..., 1] - size_a[..., 0], second[..., 1] - size_b[..., 0])
        area = area * (torch.minimum(first[..., 1], second[..., 1]) - top).clamp(min=0)
    real = (size_a > 0).all(-1) & (size_b > 0).all(-1) if volume else (size_a[..., 1:] > 0).all(-1) & (size_b[..., 1:] > 0).all(-1)
    whole = [size.prod(-1) if volume else size[..., 1:].prod(-1) for size in (size_a, size_b)]
    union = torch.where(real, whole[0] + whole[1] - area, 1)
    return torch.where(real, area / union, 0).clamp(0, 1).to(dtype)


def reference_image(first: Tensor, second: Tensor, coverage: bool) -> Tensor:
    """The oracle for image boxes (..., 4) and (..., 4), broadcast: IoU, or the share of the first that the second covers."""
    width = torch.minimum(first[..., 2], second[..., 2]) - torch.maximum(first[..., 0], second[..., 0])
    height = torch.minimum(first[..., 3], second[..., 3]) - torch.maximum(first[..., 1], second[..., 1])
    common = width.clamp(min=0) * height.clamp(min=0)
    area_a, area_b = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]) for boxes in (first, second))
    whole = area_a if coverage else area_a + area_b - common
    return torch.where(common > 0, common / torch.where(common > 0, whole, 1), 0)


def _ring(boxes: Tensor, origin: Tensor) -> Tensor:
    """Corners seen from above, in order: (..., 4, 2) x and z from `origin`."""
    along = boxes[..., 5, None] / 2 * boxes.new_tensor([1, 1, -1, -1])
    across = boxes[..., 4, None] / 2 * boxes.new_tensor([1, -1, -1, 1])
    cos, sin = boxes[..., 6, None].cos(), boxes[..., 6, None].sin()
    return torch.stack([cos * along + sin * across, cos * across - sin * along], -1) + (boxes[..., [0, 2]] - origin)[..., None, :]


def _inside(points: Tensor, boxes: Tensor, origin: Tensor) -> Tensor:
    """Which points (..., K, 2) lie in the rectangle or within a nanometre of it: (..., K)."""
    x, z = (points - (boxes[..., [0, 2]] - origin)[..., None, :]).unbind(-1)
    cos, sin = boxes[..., 6, None].cos(), boxes[..., 6, None].sin()
    margin = 1e-9
    return ((cos * x - sin * z).abs() <= boxes[..., 5, None] / 2 + margin) & ((sin * x + cos * z).abs() <= boxes[..., 4, None] / 2 + margin)


def _edge_crossings(ring_a: Tensor, ring_b: Tensor) -> tuple[Tensor, Tensor]:
    """Where the edges of two rings meet: points (..., 16, 2) and whether each exists (..., 16). Parallel edges never meet."""
    start_a, start_b = ring_a[..., :, None, :], ring_b[..., None, :, :]
    edge_a, edge_b = (torch.roll(ring, -1, -2) - ring for ring in (ring_a, ring_b))
    edge_a, edge_b = edge_a[..., :, None, :], edge_b[..., None, :, :]
    turn = _cross(edge_a, edge_b)
    crossing = turn.abs() > 1e-12 * edge_a.norm(dim=-1) * edge_b.norm(dim=-1)
    turn = torch.where(crossing, turn, 1)
    along_a, along_b = _cross(start_b - start_a, edge_b) / turn, _cross(start_b - start_a, edge_a) / turn
    crossing = crossing & (along_a >= 0) & (along_a <= 1) & (along_b >= 0) & (along_b <= 1)
    return (start_a + along_a[..., None] * edge_a).flatten(-3, -2), crossing.flatten(-2)


def _polygon_area(points: Tensor, used: Tensor) -> Tensor:
    """Area of the convex polygon whose corners are the used points (..., K, 2), in any order and possibly repeated."""
    count = used.sum(-1, keepdim=True).clamp(min=1)
    middle = torch.where(used[..., None], points, 0).sum(-2, keepdim=True) / count[..., None]
    around = (points - middle).detach()
    angle = torch.where(used, torch.atan2(around[..., 1], around[..., 0]), torch.inf)
    order = angle.argsort(-1)
    ring = torch.gather(points - middle, -2, order[..., None].expand_as(points))
    ring = torch.where(torch.gather(used, -1, order)[..., None], ring, ring[..., :1, :])
    area = _cross(ring, torch.roll(ring, -1, -2)).sum(-1) / 2
    return torch.where(used.any(-1), area, 0).clamp(min=0)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


@numba.njit(cache=True)
def _clip(polygon: np.ndarray, count: int, axis: int, sign: float, limit: float, kept: np.ndarray) -> int:
    """Keep the part of `polygon` (count corners) where sign * coordinate <= limit, in `kept`; returns its corners (Sutherland-Hodgman)."""
    found = 0
    previous = count - 1
    depth_before = limit - sign * polygon[previous, axis]
    for k in range(count):
        depth = limit - sign * polygon[k, axis]
        if (depth >= 0) != (depth_before >= 0) and found < _CORNERS:
            step = depth_before / (depth_before - depth)
            kept[found, 1 - axis] = polygon[previous, 1 - axis] + step * (polygon[k, 1 - axis] - polygon[previous, 1 - axis])
            kept[found, axis] = sign * limit
            found += 1
        if depth >= 0 and found < _CORNERS:
            kept[found, 0], kept[found, 1] = polygon[k, 0], polygon[k, 1]
            found += 1
        previous, depth_before = k, depth
    return found


@numba.njit(cache=True)
def _intersection(a: np.ndarray, cos_a: float, sin_a: float, b: np.ndarray, cos_b: float, sin_b: float, scratch: np.ndarray) -> float:
    """Area common to two boxes (7,) seen from above. Works in a's own frame, where a is [-l/2, l/2] x [-w/2, w/2]."""
    length_a, width_a, length_b, width_b = a[5] / 2, a[4] / 2, b[5] / 2, b[4] / 2
    dx, dz = b[0] - a[0], b[2] - a[2]
    reach = length_a + width_a + length_b + width_b
    if not (length_a > 0 and width_a > 0 and length_b > 0 and width_b > 0 and abs(dx) < reach and abs(dz) < reach):
        return 0.0
    p, q = cos_a * dx - sin_a * dz, sin_a * dx + cos_a * dz
    cos, sin = cos_a * cos_b + sin_a * sin_b, sin_b * cos_a - cos_b * sin_a
    # Separating axes: two rectangles that overlap do so on all four of their axes.
    if abs(p) >= length_a + abs(cos) * length_b + abs(sin) * width_b or abs(q) >= width_a + abs(sin) * length_b + abs(cos) * width_b:
        return 0.0
    if (
        abs(cos * p - sin * q) >= length_b + abs(cos) * length_a + abs(sin) * width_a
        or abs(sin * p + cos * q) >= width_b + abs(sin) * length_a + abs(cos) * width_a
    ):
        return 0.0
    current, other = scratch[0], scratch[1]
    for k in range(4):
        along = length_b if k < 2 else -length_b
        across = width_b if k in (0, 3) else -width_b
        current[k, 0], current[k, 1] = p + cos * along + sin * across, q - sin * along + cos * across
    count = 4
    for side in range(4):
        axis = side % 2
        count = _clip(current, count, axis, 1.0 if side < 2 else -1.0, width_a if axis else length_a, other)
        current, other = other, current
    area = 0.0
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        area += current[k, 0] * current[n, 1] - current[k, 1] * current[n, 0]
    return min(abs(area) / 2, 4 * length_a * width_a, 4 * length_b * width_b)


@numba.njit(cache=True)
def _iou(a: np.ndarray, cos_a: float, sin_a: float, b: np.ndarray, cos_b: float, sin_b: float, volume: bool, scratch: np.ndarray) -> float:
    """Intersection over union of two boxes (7,), from above or in space."""
    height = 1.0
    if volume:
        height = min(a[1], b[1]) - max(a[1] - a[3], b[1] - b[3])
        if not (height > 0 and a[3] > 0 and b[3] > 0):
            return 0.0
    common = _intersection(a, cos_a, sin_a, b, cos_b, sin_b, scratch) * height
    if common <= 0:
        return 0.0
    whole = a[4] * a[5] * a[3] + b[4] * b[5] * b[3] if volume else a[4] * a[5] + b[4] * b[5]
    return common / (whole - common)


@numba.njit(parallel=True, cache=True)
def cpu_matrix(first: np.ndarray, second: np.ndarray, volume: bool, out: np.ndarray) -> None:
    """Fill `out` (N, M) with the IoU of every box of `first` (N, 7) and every box of `second` (M, 7), all float64."""
    cos_a, sin_a, cos_b, sin_b = np.cos(first[:, 6]), np.sin(first[:, 6]), np.cos(second[:, 6]), np.sin(second[:, 6])
    for i in numba.prange(first.shape[0]):
        scratch = np.empty((2, _CORNERS, 2))
        for j in range(second.shape[0]):
            out[i, j] = _iou(first[i], cos_a[i], sin_a[i], second[j], cos_b[j], sin_b[j], volume, scratch)


@numba.njit(cache=True)
def cpu_pairs(first: np.ndarray, second: np.ndarray, rows: np.ndarray, columns: np.ndarray, volume: bool, out: np.ndarray) -> None:
    """Fill `out` (P,) with the IoU of first[rows[p]] and second[columns[p]]; boxes float64, rows and columns int64."""
    cos_a, sin_a, cos_b, sin_b = np.cos(first[:, 6]), np.sin(first[:, 6]), np.cos(second[:, 6]), np.sin(second[:, 6])
    scratch = np.empty((2, _CORNERS, 2))
    for p in range(rows.shape[0]):
        i, j = rows[p], columns[p]
        out[p] = _iou(first[i], cos_a[i], sin_a[i], second[j], cos_b[j], sin_b[j], volume, scratch)


@numba.njit(cache=True)
def _image_overlap(a: np.ndarray, b: np.ndarray, coverage: bool) -> float:
    """IoU of two image boxes (4,), or the share of a that b covers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if not (width > 0 and height > 0):
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1])
    return width * height / (area if coverage else area + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


@numba.njit(cache=True)
def cpu_image_matrix(first: np.ndarray, second: np.ndarray, coverage: bool, out: np.ndarray) -> None:
    """Fill `out` (N, M) for every image box of `first` (N, 4) and every one of `second` (M, 4), all float64."""
    for i in range(first.shape[0]):
        for j in range(second.shape[0]):
            out[i, j] = _image_overlap(first[i], second[j], coverage)


@numba.njit(cache=True)
def cpu_image_pairs(first: np.ndarray, second: np.ndarray, rows: np.ndarray, columns: np.ndarray, coverage: bool, out: np.ndarray) -> None:
    """Fill `out` (P,) for image boxes first[rows[p]] and second[columns[p]]; boxes float64, rows and columns int64."""
    for p in range(rows.shape[0]):
        out[p] = _image_overlap(first[rows[p]], second[columns[p]], coverage)
