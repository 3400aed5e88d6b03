"""Three nearest neighbours: for each point, the three known points closest to it, and their distances.

This is the search of PointNet++'s feature propagation (Qi et al. 2017, section 3.4), with the published operator's
rules (erikwijmans/Pointnet2_PyTorch): squared distances dx*dx + dy*dy + dz*dz in float32, unfused; at equal distances
the lowest index comes first; if fewer than three points are known, the missing entries have distance inf and index 0.

Shapes: B clouds, N points, M known points. Coordinates in metres, any frame.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

_AT_ONCE = 2**22  # distances that the reference holds in memory at once
_LANES = 16  # points searched together
_WIDTH = 16  # known points per bucket
_NONE = 0x7F800000 << 32  # the key of distance inf and index 0


def reference(points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return ascending distances (B, N, 3) float32 and indices (B, N, 3) int64 of the nearest of `known` (B, M, 3), in
    plain PyTorch."""
    distances, indices = points.new_empty(points.shape), points.new_empty(points.shape, dtype=torch.int64)
    missing = max(0, 3 - known.shape[1])
    for cloud, own in enumerate(known):
        chunk = max(1, _AT_ONCE // max(1, len(own)))
        pieces = (whole[cloud].split(chunk) for whole in (points, distances, indices))
        for some, distance, index in zip(*pieces, strict=True):
            dx, dy, dz = (some[:, axis : axis + 1] - own[:, axis] for axis in range(3))
            nearest = F.pad(dx * dx + dy * dy + dz * dz, (0, missing), value=torch.inf).sort(stable=True)
            distance.copy_(nearest.values[:, :3].double().sqrt())  # PyTorch's float32 root may be wrong in the last bit
            index.copy_(torch.where(nearest.values[:, :3].isinf(), 0, nearest.indices[:, :3]))
    return distances, indices


@kernel(parallel=True)
def cpu(
    points: np.ndarray,
    order: np.ndarray,
    known: np.ndarray,
    known_order: np.ndarray,
    clouds: int,
    distances: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Fill `distances` and `indices` (B * N, 3) for finite points (B * N, 3) and known (B * M, 3) with Morton orders.

    One thread processes 16 nearby points. It searches only the buckets of known points whose box is not further from
    the points' box than the largest third-neighbour distance so far. Rounding is monotonic, so the float32 distance of
    two boxes never exceeds that of points inside: the result is exact.
    """
    count, known_count = len(points) // clouds, len(known) // clouds
    per_cloud, buckets = (count + _LANES - 1) // _LANES, (known_count + _WIDTH - 1) // _WIDTH
    boxes = np.empty((clouds * buckets, 6), np.float32)
    ordered = np.empty((len(known), 3), np.float32)
    for bucket in prange(clouds * buckets):
        _fill_bucket(
            known, known_order, bucket // buckets * known_count, known_count, bucket % buckets, ordered, boxes[bucket]
        )
    for block in prange(clouds * per_cloud):
        _search_block(
            points,
            order,
            ordered,
            known_order,
            boxes,
            clouds,
            block // per_cloud,
            block % per_cloud,
            distances,
            indices,
        )


@part()
def _fill_bucket(
    known: np.ndarray, order: np.ndarray, begin: int, count: int, bucket: int, ordered: np.ndarray, box: np.ndarray
) -> None:
    """Copy the points of one bucket, of the cloud at row `begin`, to `ordered` and fill `box` with their bounds."""
    first, end = begin + bucket * _WIDTH, begin + min(bucket * _WIDTH + _WIDTH, count)
    for i in range(first, end):
        for axis in range(3):
            ordered[i, axis] = known[order[i], axis]
    _enclose(ordered[first:end], box)


@part()
def _search_block(
    points: np.ndarray,
    order: np.ndarray,
    known: np.ndarray,
    known_order: np.ndarray,
    boxes: np.ndarray,
    clouds: int,
    cloud: int,
    block: int,
    distances: np.ndarray,
    indices: np.ndarray,
) -> None:
    count, known_count, buckets = len(points) // clouds, len(known) // clouds, len(boxes) // clouds
    first, first_known = cloud * count + block * _LANES, cloud * known_count
    rows = order[first : min(first + _LANES, (cloud + 1) * count)]
    lanes, keys = np.empty((_LANES, 3), np.float32), np.full((3, _LANES), _NONE)
    for lane in range(_LANES):
        for axis in range(3):
            lanes[lane, axis] = points[rows[min(lane, len(rows) - 1)], axis]
    own, own_boxes = slice(first_known, first_known + known_count), boxes[cloud * buckets : (cloud + 1) * buckets]
    _search(lanes, known[own], known_order[own], first_known, own_boxes, keys)
    for lane in range(len(rows)):
        for rank in range(3):
            distances[rows[lane], rank] = np.sqrt(_as_float(np.int32(keys[rank, lane] >> 32)))
            indices[rows[lane], rank] = keys[rank, lane] & 0x7FFFFFFF


@part()
def _search(
    points: np.ndarray, known: np.ndarray, rows: np.ndarray, first_row: int, boxes: np.ndarray, keys: np.ndarray
) -> None:
    """Fill `keys` (3, 16) with the three smallest keys of each point.

    The upper bits of a key are the distance's bits, which have the order of the distances; the lower bits are the
    index. Buckets are searched in the order of their distance, so that few are compared before the bound is tight.
    """
    lanes, box = np.empty((3, _LANES), np.float32), np.empty(6, np.float32)
    for lane in range(_LANES):
        for axis in range(3):
            lanes[axis, lane] = points[lane, axis]
    _enclose(points, box)
    bounds, near = np.empty(len(boxes), np.int32), np.empty(len(boxes), np.int64)
    nearest, left = 0, len(boxes)
    for bucket in range(left):
        bounds[bucket], near[bucket] = _as_integer(_distance2(box, boxes[bucket])), bucket
        if bounds[bucket] < bounds[nearest]:
            nearest = bucket
    furthest = np.int64(0x7F800000)
    candidates = np.empty(_WIDTH, np.int64)
    while left:
        bucket, near[nearest] = near[nearest], near[left - 1]
        count = 0
        for i in range(bucket * _WIDTH, min(bucket * _WIDTH + _WIDTH, len(known))):
            candidates[count] = i
            count += _as_integer(_to_box2(known[i], box)) <= furthest
        _compare(lanes, known, rows, first_row, candidates[:count], keys)
        furthest = keys[2].max() >> 32
        nearest, left = _drop_far(bounds, near[: left - 1], furthest)


@part()
def _drop_far(bounds: np.ndarray, near: np.ndarray, furthest: int) -> tuple[int, int]:
    """Move the buckets that are near enough to the front of `near`; return the position of the nearest one and their
    number."""
    nearest, left = 0, 0
    for bucket in near:
        if bounds[bucket] <= furthest:
            near[left] = bucket
            if bounds[bucket] < bounds[near[nearest]]:
                nearest = left
            left += 1
    return nearest, left


@part()
def _compare(
    lanes: np.ndarray, known: np.ndarray, rows: np.ndarray, first_row: int, candidates: np.ndarray, keys: np.ndarray
) -> None:
    for i in candidates:
        x, y, z = known[i, 0], known[i, 1], known[i, 2]
        index = rows[i] - first_row
        for lane in range(_LANES):
            dx, dy, dz = lanes[0, lane] - x, lanes[1, lane] - y, lanes[2, lane] - z
            key = np.int64(_as_integer(dx * dx + dy * dy + dz * dz)) << 32 | index
            first, second = keys[0, lane], keys[1, lane]
            keys[0, lane] = min(first, key)
            key = max(first, key)
            keys[1, lane] = min(second, key)
            keys[2, lane] = min(keys[2, lane], max(second, key))


@part()
def _to_box2(point: np.ndarray, box: np.ndarray) -> np.float32:
    zero = np.float32(0)
    dx = max(point[0] - box[3], box[0] - point[0], zero)
    dy = max(point[1] - box[4], box[1] - point[1], zero)
    dz = max(point[2] - box[5], box[2] - point[2], zero)
    return dx * dx + dy * dy + dz * dz


@part()
def _enclose(points: np.ndarray, box: np.ndarray) -> None:
    """Fill the bounding box (6,) of points: minima, then maxima."""
    for axis in range(3):
        low, high = points[0, axis], points[0, axis]
        for i in range(1, len(points)):
            low, high = min(low, points[i, axis]), max(high, points[i, axis])
        box[axis], box[3 + axis] = low, high


@part()
def _distance2(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Return the squared distance between two boxes; 0 if they overlap or touch."""
    zero = np.float32(0)
    dx, dy, dz = (
        max(a[0] - b[3], b[0] - a[3], zero),
        max(a[1] - b[4], b[1] - a[4], zero),
        max(a[2] - b[5], b[2] - a[5], zero),
    )
    return dx * dx + dy * dy + dz * dz


@part()
def _as_integer(value: np.float32) -> np.int32:
    return np.float32(value).view(np.int32)


@part()
def _as_float(value: np.int32) -> np.float32:
    return np.int32(value).view(np.float32)
