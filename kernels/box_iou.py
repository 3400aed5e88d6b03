"""Overlap of rotated boxes in the bird's-eye view (x, z) and in 3D.

Boxes are rows of 7 numbers, x y z h w l rotation_y: bottom centre, height, width, length in metres and yaw in radians,
camera frame, with the conventions of g3d/geometry/boxes.py. In the bird's-eye view a box is a rectangle; in 3D it is
that rectangle times [y - h, y]. The intersection polygon is exact (float64), not sampled. A box with an extent that is
not above 0 overlaps nothing, not even itself.

Shapes: N and M boxes, P pairs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange


def reference(first: Tensor, second: Tensor, volume: bool) -> Tensor:
    """Return the IoU (...) of boxes (..., 7) and (..., 7), broadcast against each other.

    This is the reference of the kernels; it runs on any device and is differentiable. It collects the corners of each
    rectangle that are inside the other and the crossings of their edges, sorts them by angle and computes the polygon's
    area. It needs memory for 24 points per pair.
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
    real = (
        (size_a > 0).all(-1) & (size_b > 0).all(-1)
        if volume
        else (size_a[..., 1:] > 0).all(-1) & (size_b[..., 1:] > 0).all(-1)
    )
    whole = [size.prod(-1) if volume else size[..., 1:].prod(-1) for size in (size_a, size_b)]
    union = torch.where(real, whole[0] + whole[1] - area, 1)
    return torch.where(real, area / union, 0).clamp(0, 1).to(dtype)


def _ring(boxes: Tensor, origin: Tensor) -> Tensor:
    """Return the corners in the bird's-eye view, in order: (..., 4, 2), x and z relative to `origin`."""
    along = boxes[..., 5, None] / 2 * boxes.new_tensor([1, 1, -1, -1])
    across = boxes[..., 4, None] / 2 * boxes.new_tensor([1, -1, -1, 1])
    cos, sin = boxes[..., 6, None].cos(), boxes[..., 6, None].sin()
    return (
        torch.stack([cos * along + sin * across, cos * across - sin * along], -1)
        + (boxes[..., [0, 2]] - origin)[..., None, :]
    )


def _inside(points: Tensor, boxes: Tensor, origin: Tensor) -> Tensor:
    """Return which points (..., K, 2) are in the rectangle or within a nanometre of it: (..., K)."""
    x, z = (points - (boxes[..., [0, 2]] - origin)[..., None, :]).unbind(-1)
    cos, sin = boxes[..., 6, None].cos(), boxes[..., 6, None].sin()
    margin = 1e-9
    return ((cos * x - sin * z).abs() <= boxes[..., 5, None] / 2 + margin) & (
        (sin * x + cos * z).abs() <= boxes[..., 4, None] / 2 + margin
    )


def _edge_crossings(ring_a: Tensor, ring_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the crossings (..., 16, 2) of the edges of two rings and whether each exists (..., 16). Parallel edges
    have no crossing."""
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
    """Return the area of the convex polygon whose corners are the used points (..., K, 2), in any order, possibly
    repeated."""
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


def area_gradient(first: Tensor, second: Tensor) -> Tensor:
    """Return d area / d (x, z, w, l, rotation_y) of the first box, (..., 5), for the common bird's-eye-view area.

    Boxes are (..., 7) and (..., 7). Only the part of an edge that is inside the other rectangle contributes: its length
    to the derivative by a shift, its first moment to the derivative by a rotation.
    """
    first, second = torch.broadcast_tensors(first, second)
    cos, sin = first[..., 6].cos(), first[..., 6].sin()
    dx, dz = second[..., 0] - first[..., 0], second[..., 2] - first[..., 2]
    p, q = (
        cos * dx - sin * dz,
        sin * dx + cos * dz,
    )  # centre of the second box in the frame of the first (u along its length, v across)
    turn = second[..., 6] - first[..., 6]
    reach_u, reach_v = second[..., 5, None] / 2, second[..., 4, None] / 2
    half_u, half_v = first[..., 5, None] / 2, first[..., 4, None] / 2
    sign = first.new_tensor([1.0, -1.0])
    cos_t, sin_t = turn.cos()[..., None], turn.sin()[..., None]
    p, q = p[..., None], q[..., None]
    # A point is in the second box if |cos_t (u - p) - sin_t (v - q)| <= reach_u and |sin_t (u - p) + cos_t (v - q)| <=
    # reach_v.
    at_u, at_v = sign * half_u - p, sign * half_v - q
    length_u, moment_u = _edge_within(
        half_v, -sin_t, cos_t * at_u + sin_t * q, reach_u, cos_t, sin_t * at_u - cos_t * q, reach_v
    )
    length_v, moment_v = _edge_within(
        half_u, cos_t, -cos_t * p - sin_t * at_v, reach_u, sin_t, cos_t * at_v - sin_t * p, reach_v
    )
    shift_u, shift_v = length_u[..., 0] - length_u[..., 1], length_v[..., 0] - length_v[..., 1]
    rotation = moment_u[..., 0] - moment_u[..., 1] - moment_v[..., 0] + moment_v[..., 1]
    by_x, by_z = cos * shift_u + sin * shift_v, cos * shift_v - sin * shift_u
    return torch.stack([by_x, by_z, length_v.sum(-1) / 2, length_u.sum(-1) / 2, rotation], -1)


def _edge_within(
    half: Tensor, slope_a: Tensor, at_a: Tensor, reach_a: Tensor, slope_b: Tensor, at_b: Tensor, reach_b: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the length and first moment of the s in [-half, half] with |slope s + at| <= reach for both a and b."""
    low, high = -half, half
    for slope, at, reach in ((slope_a, at_a, reach_a), (slope_b, at_b, reach_b)):
        slope = torch.where(slope.abs() < 1e-12, 1e-12, slope)  # parallel: inside everywhere or nowhere
        ends = torch.stack([(-reach - at) / slope, (reach - at) / slope])
        low, high = torch.maximum(low, ends.amin(0)), torch.minimum(high, ends.amax(0))
    length = (high - low).clamp(min=0)
    return length, length * (high + low) / 2


def gradient(first: Tensor, second: Tensor, iou: Tensor, volume: bool) -> Tensor:
    """Return d IoU / d first, (..., 7), in closed form, for broadcast boxes (..., 7) and their IoU (...).

    Where edges or the ends of the height ranges coincide, the result is a one-sided derivative.
    """
    first, second = torch.broadcast_tensors(first, second)
    size_a, size_b = first[..., 3:6], second[..., 3:6]
    whole_a, whole_b = (size.prod(-1) if volume else size[..., 1:].prod(-1) for size in (size_a, size_b))
    height, ends_a, starts_a = torch.ones_like(iou), torch.zeros_like(iou), torch.zeros_like(iou)
    if volume:
        top_a, top_b = first[..., 1] - size_a[..., 0], second[..., 1] - size_b[..., 0]
        height = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(top_a, top_b)
        ends_a, starts_a = (first[..., 1] < second[..., 1]).to(iou.dtype), (top_a > top_b).to(iou.dtype)
    common = iou * (whole_a + whole_b) / (1 + iou)
    used = iou > 0
    union = torch.where(used, whole_a + whole_b - common, 1)
    area = common / torch.where(used, height, 1)
    by_x, by_z, by_w, by_l, by_yaw = (area_gradient(first, second) * height[..., None]).unbind(-1)
    change = torch.stack([by_x, area * (ends_a - starts_a), by_z, area * starts_a, by_w, by_l, by_yaw], -1)
    zero = torch.zeros_like(iou)
    by_size = [whole_a / size_a[..., k] for k in range(3)] if volume else [zero, size_a[..., 2], size_a[..., 1]]
    change_whole = torch.stack([zero, zero, zero, *by_size, zero], -1)
    slope = (change * (whole_a + whole_b)[..., None] - change_whole * common[..., None]) / (union * union)[..., None]
    return torch.where(used[..., None], slope, 0)


# Rows of a kernel's table of boxes: centre, half sizes, rotation, half diagonal, height range ([0, 1] in the bird's-eye
# view), volume or area.
_X, _Z, _LENGTH, _WIDTH, _COS, _SIN, _REACH, _LOW, _HIGH, _WHOLE, _ROWS = range(11)


@part()
def _table(boxes: np.ndarray, volume: bool) -> np.ndarray:
    """Convert boxes (N, 7) to a table (_ROWS, N). A box without extent gets the reach -inf, so that it meets no box."""
    table = np.empty((_ROWS, boxes.shape[0]))
    for n in range(boxes.shape[0]):
        x, y, z, height, width, length, yaw = boxes[n]
        table[_X, n], table[_Z, n] = x, z
        table[_LENGTH, n], table[_WIDTH, n] = length / 2, width / 2
        table[_COS, n], table[_SIN, n] = np.cos(yaw), np.sin(yaw)
        real = length > 0 and width > 0 and (height > 0 or not volume)
        table[_REACH, n] = math.hypot(length / 2, width / 2) if real else -np.inf
        table[_LOW, n], table[_HIGH, n] = (y - height, y) if volume else (0.0, 1.0)
        table[_WHOLE, n] = length * width * height if volume else length * width
    return table


@part(inline="always")
def _may_meet(a: np.ndarray, i: int, b: np.ndarray, j: int) -> bool:
    reach = a[_REACH, i] + b[_REACH, j]
    return (
        (abs(a[_X, i] - b[_X, j]) < reach)
        & (abs(a[_Z, i] - b[_Z, j]) < reach)
        & (a[_LOW, i] < b[_HIGH, j])
        & (b[_LOW, j] < a[_HIGH, i])
    )


@part()
def _below_edge(x0: float, y0: float, x1: float, y1: float, length: float, width: float) -> float:
    """Return the integral of y over x along an edge, with x clipped to [-length, length] and y clamped to [-width,
    width]."""
    start, end = min(max(x0, -length), length), min(max(x1, -length), length)
    if start == end:
        return 0.0
    ya, yb = y0 + (start - x0) / (x1 - x0) * (y1 - y0), y0 + (end - x0) / (x1 - x0) * (y1 - y0)
    held_a, held_b = min(max(ya, -width), width), min(max(yb, -width), width)
    if ya == yb:
        return (end - start) * held_a
    beyond = (max(yb, width) - max(ya, width)) - (min(yb, -width) - min(ya, -width))
    return (end - start) * ((held_b - held_a) * (held_a + held_b) / 2 + width * beyond) / (yb - ya)


@part()
def _common_area(a: np.ndarray, i: int, b: np.ndarray, j: int) -> float:
    """Return the common bird's-eye-view area of two boxes, computed in a's frame, where a is [-l/2, l/2] x [-w/2, w/2].

    At each x, the length of b's section inside a is the y of b's upper edge minus the y of its lower edge, both clamped
    to a's range. The area is therefore the integral of the clamped y along b's outline. No corners have to be found,
    and coinciding edges need no special case.
    """
    length_a, width_a, length_b, width_b = a[_LENGTH, i], a[_WIDTH, i], b[_LENGTH, j], b[_WIDTH, j]
    dx, dz = b[_X, j] - a[_X, i], b[_Z, j] - a[_Z, i]
    p, q = a[_COS, i] * dx - a[_SIN, i] * dz, a[_SIN, i] * dx + a[_COS, i] * dz
    cos, sin = a[_COS, i] * b[_COS, j] + a[_SIN, i] * b[_SIN, j], b[_SIN, j] * a[_COS, i] - b[_COS, j] * a[_SIN, i]
    # Separating axes: two rectangles that overlap also overlap in projection on all four axes.
    if (
        abs(p) >= length_a + abs(cos) * length_b + abs(sin) * width_b
        or abs(q) >= width_a + abs(sin) * length_b + abs(cos) * width_b
    ):
        return 0.0
    if (
        abs(cos * p - sin * q) >= length_b + abs(cos) * length_a + abs(sin) * width_a
        or abs(sin * p + cos * q) >= width_b + abs(sin) * length_a + abs(cos) * width_a
    ):
        return 0.0
    along_x, along_y, across_x, across_y = cos * length_b, -sin * length_b, sin * width_b, cos * width_b
    x0, y0, x1, y1 = p + along_x + across_x, q + along_y + across_y, p + along_x - across_x, q + along_y - across_y
    x2, y2, x3, y3 = p - along_x - across_x, q - along_y - across_y, p - along_x + across_x, q - along_y + across_y
    area = _below_edge(x0, y0, x1, y1, length_a, width_a) + _below_edge(x1, y1, x2, y2, length_a, width_a)
    area += _below_edge(x2, y2, x3, y3, length_a, width_a) + _below_edge(x3, y3, x0, y0, length_a, width_a)
    return min(abs(area), 4 * length_a * width_a, 4 * length_b * width_b)


@part()
def _iou(a: np.ndarray, i: int, b: np.ndarray, j: int) -> float:
    common = _common_area(a, i, b, j) * (min(a[_HIGH, i], b[_HIGH, j]) - max(a[_LOW, i], b[_LOW, j]))
    return common / (a[_WHOLE, i] + b[_WHOLE, j] - common) if common > 0 else 0.0


@kernel(parallel=True)
def cpu_matrix(first: np.ndarray, second: np.ndarray, volume: bool, out: np.ndarray) -> None:
    """Fill `out` (N, M) with the IoU of every box of `first` (N, 7) and every box of `second` (M, 7), all float64."""
    a, b = _table(first, volume), _table(second, volume)
    for i in prange(first.shape[0]):
        for j in range(second.shape[0]):  # branch-free, so that it vectorises
            out[i, j] = _may_meet(a, i, b, j)
        for j in range(second.shape[0]):
            if out[i, j] > 0:
                out[i, j] = _iou(a, i, b, j)


@kernel(parallel=True)
def cpu_pairs(
    first: np.ndarray, second: np.ndarray, rows: np.ndarray, columns: np.ndarray, volume: bool, out: np.ndarray
) -> None:
    """Fill `out` (P,) with the IoU of first[rows[p]] and second[columns[p]]; boxes float64, rows and columns int64."""
    a, b = _table(first, volume), _table(second, volume)
    for p in prange(rows.shape[0]):
        i, j = rows[p], columns[p]
        out[p] = _iou(a, i, b, j) if _may_meet(a, i, b, j) else 0.0


@kernel()
def cpu_suppress(boxes: np.ndarray, classes: np.ndarray, threshold: float, kept: np.ndarray) -> None:
    """Clear kept[j] for each suppressed box (kernels/nms.py). Boxes (N, 7) are float64 by descending score; `kept` (N,)
    is True on entry."""
    table = _table(boxes, True)
    near = np.empty(boxes.shape[0], np.bool_)
    for i in range(boxes.shape[0]):
        if kept[i]:
            for j in range(i + 1, boxes.shape[0]):  # branch-free, so that it vectorises
                near[j] = _may_meet(table, i, table, j)
            for j in range(i + 1, boxes.shape[0]):
                if near[j] and kept[j] and classes[i] == classes[j] and _iou(table, i, table, j) > threshold:
                    kept[j] = False
