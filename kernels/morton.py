"""Morton order of point clouds: an order in which consecutive points are close together.

Consecutive runs of it form the buckets of the exact searches (furthest_point_sample, three_nn). The buckets have small
boxes, and no tree has to be built.

Shapes: T points of B clouds; `offsets` (B + 1,) int64 are the rows at which the clouds begin and end.
"""

from __future__ import annotations

import numpy as np

from g3d.kernels.compiled import kernel, part, prange

_DIGITS = 3  # passes of the radix sort, of 10 bits each


@kernel(parallel=True)
def order(points: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> None:
    """Fill `rows` (T,) int64 with the rows of each cloud of finite `points` (T, 3) float32 in Morton order. One thread
    sorts a cloud."""
    for cloud in prange(len(offsets) - 1):
        begin, end = offsets[cloud], offsets[cloud + 1]
        if end > begin:
            _sort(points[begin:end], begin, rows[begin:end])


@part()
def _sort(points: np.ndarray, first_row: int, rows: np.ndarray) -> None:
    """Sort the points by code with a stable radix sort, so that points of one code stay in index order."""
    count = len(points)
    codes, places = np.empty((2, count), np.uint32), np.empty((2, count), np.int64)
    begins = _encode(points, codes[0])
    for i in range(count):
        places[0, i] = first_row + i
    for digit in range(_DIGITS):
        a, b = digit & 1, 1 - (digit & 1)
        for i in range(count):
            code = codes[a, i]
            bin_ = (code >> np.uint32(10 * digit)) & 1023
            slot = begins[digit, bin_]
            begins[digit, bin_] = slot + 1
            codes[b, slot], places[b, slot] = code, places[a, i]
    rows[:] = places[_DIGITS & 1]


@part()
def _encode(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Fill the 30-bit codes, 10 bits per axis on a grid of equal cubes; return the start of each bin of each digit, (3,
    1024)."""
    x0, y0, z0 = points[0]
    x1, y1, z1 = points[0]
    for i in range(len(points)):
        x0, x1 = min(x0, points[i, 0]), max(x1, points[i, 0])
        y0, y1 = min(y0, points[i, 1]), max(y1, points[i, 1])
        z0, z1 = min(z0, points[i, 2]), max(z1, points[i, 2])
    extent = max(np.float64(x1) - x0, np.float64(y1) - y0, np.float64(z1) - z0)
    scale = 1023.0 / extent if extent > 0 else 0.0
    counts = np.zeros((_DIGITS, 1024), np.int64)
    for i in range(len(points)):
        x, y, z = (
            (points[i, 0] - np.float64(x0)) * scale,
            (points[i, 1] - np.float64(y0)) * scale,
            (points[i, 2] - np.float64(z0)) * scale,
        )
        code = _spread(np.uint32(x)) | _spread(np.uint32(y)) << 1 | _spread(np.uint32(z)) << 2
        codes[i] = code
        for digit in range(_DIGITS):
            counts[digit, (code >> (10 * digit)) & 1023] += 1
    for digit in range(_DIGITS):
        total = 0
        for bin_ in range(1024):
            total, counts[digit, bin_] = total + counts[digit, bin_], total
    return counts


@part()
def _spread(value: int) -> int:
    """Insert two zero bits after each of the ten bits of `value`."""
    value = (value | value << 16) & 0x030000FF
    value = (value | value << 8) & 0x0300F00F
    value = (value | value << 4) & 0x030C30C3
    return (value | value << 2) & 0x09249249
