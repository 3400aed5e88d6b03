"""Furthest point sampling: start at index 0, then repeatedly choose the point furthest from all points chosen so far.

PointNet++ (Qi et al. 2017, section 3.2), with the rules of the published CUDA operator (erikwijmans/Pointnet2_PyTorch),
so that the indices are identical:

- The running squared distance of every point starts at 1e10; it is float32, dx*dx + dy*dy + dz*dz in this order, not
  fused.
- With `skip_origin`, points with |p|^2 <= 1e-3 are never chosen, except index 0, and never updated. If all points are
  such, index 0 repeats.
- Ties are broken by `tie_order`, as in the block reduction of the published operator. This matters for coincident
  points, and decides which point repeats once all distances are 0, as when there are fewer points than samples.

Shapes: T points of B clouds, k samples; `offsets` (B + 1,) int64 are the rows at which the clouds begin and end.
    Metres, any frame.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

FAR = 1e10
ORIGIN = float(np.float32(1e-3))  # float32(1e-3) is above 1e-3: a float32 is <= 1e-3 exactly if it is < this
_BLOCK_BITS = 9  # the published block has as many threads as the largest power of two <= the points, at most 512
_WIDTH = 64  # points per bucket
_FAN = 16  # buckets per group
_FAR_KEY = 0x7F000000 << 32  # above the key of any distance


def reference(points: Tensor, offsets: Tensor, k: int, skip_origin: bool) -> Tensor:
    """Return the samples int64 (B, k), rows of `points` (T, 3) float32, in plain PyTorch."""
    chosen = torch.empty(len(offsets) - 1, k, dtype=torch.int64, device=points.device)
    for row, (begin, end) in zip(chosen, itertools.pairwise(offsets.tolist()), strict=True):
        order = tie_order(end - begin, points.device)
        x, y, z = points[begin:end][order].unbind(1)
        skipped = (x * x + y * y + z * z < ORIGIN) & skip_origin
        nearest = torch.where(skipped, -1.0, torch.full_like(x, FAR))  # -1 never changes: no distance is smaller
        place = torch.zeros((), dtype=torch.int64, device=points.device)
        for step in range(k):
            row[step] = place
            dx, dy, dz = x - x[place], y - y[place], z - z[place]
            nearest = torch.minimum(nearest, dx * dx + dy * dy + dz * dz)
            place = nearest.argmax()  # the first of equal distances
            place = torch.where(nearest[place] < 0, 0, place)
        row.copy_(begin + order[row])
    return chosen


def tie_order(count: int, device: torch.device) -> Tensor:
    """Return the indices of a cloud, (N,) int64, in the published reduction's order of preference at equal distances.

    Thread t of the block keeps the lowest of its indices t, t + block, ...; the tree reduction over the threads then
    prefers the lower half at each step, so that threads are ordered by their bit-reversed numbers.
    """
    bits = min(_BLOCK_BITS, count.bit_length() - 1)
    index = torch.arange(count, device=device)
    reversed_thread = sum((index >> bit & 1) << (bits - 1 - bit) for bit in range(bits)) + torch.zeros_like(index)
    return reversed_thread.argsort(stable=True)


@kernel(parallel=True)
def cpu(points: np.ndarray, offsets: np.ndarray, order: np.ndarray, skip_origin: bool, chosen: np.ndarray) -> None:
    """Fill `chosen` (B, k) with rows of finite `points` (T, 3). `order` (T,): the rows of each cloud in Morton order.

    One thread processes a cloud. The result is exact although most distances are not recomputed: the distances in a
    bucket of nearby points can change only if the new sample is closer to the bucket's box than its largest distance.
    Rounding is monotonic, so the float32 distance of a box never exceeds that of a point inside: no margin is needed.
    """
    for cloud in prange(len(offsets) - 1):
        begin, end = offsets[cloud], offsets[cloud + 1]
        _sample(points[begin:end], order[begin:end], begin, skip_origin, chosen[cloud])


@part()
def _sample(points: np.ndarray, order: np.ndarray, begin: int, skip_origin: bool, chosen: np.ndarray) -> None:
    bits = _block_bits(len(points))
    buckets, ties, boxes = _fill_buckets(points, order, begin, bits, skip_origin)
    group_boxes = _enclose(boxes)
    keys, group_keys = np.full(len(buckets), _FAR_KEY), np.full(len(group_boxes), _FAR_KEY)
    current = 0
    for step in range(len(chosen)):
        chosen[step] = begin + current
        if step + 1 == len(chosen):
            break
        x, y, z = points[current]
        best = np.int64(-1)
        for group in range(len(group_boxes)):
            if _as_integer(_distance2(group_boxes[group], x, y, z)) < group_keys[group] >> 32:
                largest = np.int64(-1)
                for bucket in range(group * _FAN, min(group * _FAN + _FAN, len(buckets))):
                    if _as_integer(_distance2(boxes[bucket], x, y, z)) < keys[bucket] >> 32:
                        keys[bucket] = _update(buckets[bucket], ties[bucket], x, y, z)
                    largest = max(largest, keys[bucket])
                group_keys[group] = largest
            best = max(best, group_keys[group])
        current = 0 if best < 0 else _index_of(0x7FFFFFFF - (best & 0x7FFFFFFF), bits)


@part()
def _update(bucket: np.ndarray, ties: np.ndarray, x: np.float32, y: np.float32, z: np.float32) -> np.int64:
    """Lower the bucket's distances to those from the new sample and return the largest key.

    The upper bits of a key are the distance's bits, which have the order of non-negative numbers; the lower bits are a
    tie-breaker. The next sample has the largest key.
    """
    largest = np.int64(-1)
    for i in range(_WIDTH):
        dx, dy, dz = bucket[0, i] - x, bucket[1, i] - y, bucket[2, i] - z
        distance2 = dx * dx + dy * dy + dz * dz
        nearest = distance2 if distance2 < bucket[3, i] else bucket[3, i]
        bucket[3, i] = nearest
        largest = max(largest, np.int64(_as_integer(nearest)) << 32 | np.int64(ties[i]))
    return largest


@part()
def _distance2(box: np.ndarray, x: np.float32, y: np.float32, z: np.float32) -> np.float32:
    """Return the squared distance from a point to a box (6,), minima then maxima; 0 inside."""
    zero = np.float32(0)
    dx, dy, dz = max(box[0] - x, x - box[3], zero), max(box[1] - y, y - box[4], zero), max(box[2] - z, z - box[5], zero)
    return dx * dx + dy * dy + dz * dz


@part()
def _as_integer(value: np.float32) -> np.int32:
    return np.float32(value).view(np.int32)


@part()
def _fill_buckets(
    points: np.ndarray, order: np.ndarray, begin: int, bits: int, skip_origin: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return buckets of the Morton order: x, y, z, distance (n, 4, width); tie-breakers (n, width); boxes (n, 6).

    The last bucket is padded with copies of its last point that are never chosen.
    """
    count = (len(points) + _WIDTH - 1) // _WIDTH
    buckets, ties = np.empty((count, 4, _WIDTH), np.float32), np.empty((count, _WIDTH), np.int32)
    boxes = np.empty((count, 6), np.float32)
    for bucket in range(count):
        for i in range(_WIDTH):
            place = bucket * _WIDTH + i
            index = order[min(place, len(points) - 1)] - begin
            x, y, z = points[index]
            never = place >= len(points) or (skip_origin and x * x + y * y + z * z < np.float32(ORIGIN))
            buckets[bucket, 0, i], buckets[bucket, 1, i], buckets[bucket, 2, i] = x, y, z
            buckets[bucket, 3, i] = -1.0 if never else FAR
            ties[bucket, i] = 0x7FFFFFFF - _tie(index, bits)
        for axis in range(3):
            boxes[bucket, axis], boxes[bucket, 3 + axis] = buckets[bucket, axis].min(), buckets[bucket, axis].max()
    return buckets, ties, boxes


@part()
def _enclose(boxes: np.ndarray) -> np.ndarray:
    """Return the box around each group of boxes."""
    groups = np.empty(((len(boxes) + _FAN - 1) // _FAN, 6), np.float32)
    for group in range(len(groups)):
        members = boxes[group * _FAN : group * _FAN + _FAN]
        for axis in range(3):
            groups[group, axis], groups[group, 3 + axis] = members[:, axis].min(), members[:, 3 + axis].max()
    return groups


@part()
def _block_bits(count: int) -> int:
    bits = 0
    while bits < _BLOCK_BITS and 2 << bits <= count:
        bits += 1
    return bits


@part()
def _tie(index: int, bits: int) -> int:
    """Return a number below 2^31 that sorts indices in the order of `tie_order`."""
    return _reverse(index & ((1 << bits) - 1), bits) << 22 | index >> bits


@part()
def _index_of(tie: int, bits: int) -> int:
    """Return the index of a tie-breaker; the inverse of `_tie`."""
    return (tie & 0x3FFFFF) << bits | _reverse(tie >> 22, bits)


@part()
def _reverse(value: int, bits: int) -> int:
    result = 0
    for _ in range(bits):
        result, value = result << 1 | value & 1, value >> 1
    return result
