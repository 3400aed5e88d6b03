"""Sort of edges by ascending weight, with equal weights in the order of GNU's std::sort, which is not stable.

The published segmenters use std::sort on Linux. The order of equal weights decides which vertex becomes the root of a
segment. The roots decide the numbers of the superpoints, by which feature files are ordered.

GNU's std::sort works as follows. It splits a part of more than 16 elements around the median of its second, middle and
last element. It first exchanges the median with the first element, then partitions by Hoare's scheme (two indices move
towards each other, and elements equal to the median are exchanged). It finally sorts the remaining parts by insertion,
which is stable. Its depth limit is not implemented: only adversarial input reaches it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part

_SMALL = 16
_BLOCK = 16  # elements that a partition compares at once, at each end


def reference(weights: Tensor) -> Tensor:
    """Return the edges, int64 (E',), by ascending float32 weight (E,), on the device of `weights`; NaN is left out.

    This is the reference of the kernel.
    """
    values = weights.cpu().numpy()
    order = np.flatnonzero(~np.isnan(values))
    parts = [(0, len(order))]
    while parts:
        first, last = parts.pop()
        while last - first > _SMALL:
            cut = _partition(values, order, first, last)
            parts.append((cut, last))
            last = cut
    order = order[values[order].argsort(kind="stable")]
    return torch.from_numpy(order).to(weights.device)


def _partition(values: np.ndarray, order: np.ndarray, first: int, last: int) -> int:
    """Split order[first:last] and return the start of the second part."""
    a, b, c = first + 1, (first + last) // 2, last - 1
    x, y, z = values[order[[a, b, c]]]
    middle = (b if y < z else c if x < z else a) if x < y else (a if x < z else c if y < z else b)
    order[first], order[middle] = order[middle], order[first]
    pivot, rest = values[order[first]], values[order[first + 1 : last]]
    up, down = np.flatnonzero(rest >= pivot), np.flatnonzero(rest <= pivot)[::-1]
    both = min(len(up), len(down))
    swaps = int(
        (up[:both] < down[:both]).sum()
    )  # swap the k-th from the left with the k-th from the right until they meet
    up, down = up + first + 1, down + first + 1
    order[up[:swaps]], order[down[:swaps]] = order[down[:swaps]], order[up[:swaps]]
    return int(min([*up[swaps : swaps + 1], *down[max(0, swaps - 1) : swaps]]))


@part()
def _median(keys: np.ndarray, a: int, b: int, c: int) -> int:
    """Return which of three places holds the median weight; among equal weights, choose as std::sort does."""
    x, y, z = keys[a] >> np.uint64(32), keys[b] >> np.uint64(32), keys[c] >> np.uint64(32)
    if x < y:
        if y < z:
            return b
        return c if x < z else a
    if x < z:
        return a
    return c if y < z else b


@part()
def _split(keys: np.ndarray, first: int, last: int, left: np.ndarray, right: np.ndarray) -> int:
    """Split keys[first:last] and return the start of the second part.

    While the two indices are far apart, each side compares one block without branches: `left` and `right` record the
    elements to exchange. The smaller of the two counts is exchanged, in the order of Hoare's scheme; the remaining
    elements are compared again.
    """
    middle = _median(keys, first + 1, first + (last - first) // 2, last - 1)
    keys[first], keys[middle] = keys[middle], keys[first]
    low = (keys[first] >> np.uint64(32)) << np.uint64(
        32
    )  # keys of smaller weights are below `low`, keys of larger weights above `high`
    high = low | np.uint64(0xFFFFFFFF)
    i, j = first + 1, last
    while j - i > 2 * _BLOCK:
        ups, downs = 0, 0
        for k in range(_BLOCK):
            left[ups], right[downs] = k, k
            ups += keys[i + k] >= low
            downs += keys[j - 1 - k] <= high
        swaps = min(ups, downs)
        for k in range(swaps):
            a, b = i + left[k], j - 1 - right[k]
            keys[a], keys[b] = keys[b], keys[a]
        i += _BLOCK if ups == swaps else left[swaps]
        j -= _BLOCK if downs == swaps else right[swaps]
    while True:
        while keys[i] < low:
            i += 1
        j -= 1
        while keys[j] > high:
            j -= 1
        if i >= j:
            return i
        keys[i], keys[j] = keys[j], keys[i]
        i += 1


@kernel()
def cpu(weights: np.ndarray, keys: np.ndarray) -> int:
    """Fill keys[:E'] of `keys` (E,) uint64 in order and return E'; the lower 32 bits of a key are the edge's number."""
    bits = weights.view(np.uint32)
    count = 0
    for e in range(len(bits)):
        if weights[e] == weights[e]:
            weight = bits[e] ^ np.uint32(
                0xFFFFFFFF if bits[e] >> 31 else 0x80000000
            )  # an integer with the order of the weight: negative weights come first
            keys[count] = np.uint64(weight) << np.uint64(32) | np.uint64(e)
            count += 1
    left, right = np.empty(_BLOCK + 1, np.int64), np.empty(_BLOCK + 1, np.int64)
    waiting = [(0, count)]
    while len(waiting):
        first, last = waiting.pop()
        while last - first > _SMALL:
            cut = _split(keys, first, last, left, right)
            waiting.append((cut, last))
            last = cut
    for n in range(1, count):
        key = keys[n]
        place = n
        while place > 0 and keys[place - 1] >> np.uint64(32) > key >> np.uint64(32):
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key
    return count
