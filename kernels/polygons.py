"""Rasterisation of polygons to run-length coded masks, with exactly the result of COCO's rasteriser.

Vertices are rounded to integers on a grid five times as fine. Each edge is traversed along its longer axis, rounding
the other coordinate. Where two consecutive positions are on both sides of the middle of a column of pixels (fine u =
5 x + 2 and 5 x + 3), the mask changes in column x at row ceil((v - 2) / 5), with v the smaller of the two, clamped to
the image. The value is constant between changes; overlaps of a polygon with itself cancel.

Shapes: N polygons, P points in all (`points` (P, 2) x y in pixels, `sizes` (N,) points of each), R counts in all
    (kernels/mask_rle.py).
Source: cocodataset/cocoapi; the counts are identical, also for points outside the image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part

_FAR = 1 << 40  # beyond any fine coordinate


def reference(points: Tensor, sizes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return counts int64 (R,) and lengths int64 (N,) from points float64 and sizes int64, in plain PyTorch; traverse
    every edge in full."""
    found = []
    for polygon in points.split(sizes.tolist()):
        fine = (5 * polygon + 0.5).trunc()
        changes = torch.cat([_changes(a, b, height, width) for a, b in zip(fine, fine.roll(-1, 0), strict=True)])
        places, times = changes[changes < height * width].unique(return_counts=True)
        ends = torch.cat([places[times % 2 == 1], places.new_full((1,), height * width)])
        found.append(ends.diff(prepend=ends.new_zeros(1)))
    return torch.cat([sizes[:0], *found]), torch.tensor([len(counts) for counts in found], dtype=torch.int64)


def _changes(start: Tensor, end: Tensor, height: int, width: int) -> Tensor:
    """Return the positions at which an edge changes the mask, int64, numbered column by column."""
    steep = bool((end - start).abs()[0] < (end - start).abs()[1])
    if start[int(steep)] > end[int(steep)]:
        start, end = end, start
    steps = torch.arange(int(end[int(steep)] - start[int(steep)]) + 1, dtype=torch.float64)
    other = 1 - int(steep)
    slope = (end[other] - start[other]) / max(1, len(steps) - 1)
    walk = [(start[other] + slope * steps + 0.5).trunc(), start[int(steep)] + steps]
    u, v = (walk[0], walk[1]) if steep else (walk[1], walk[0])
    left, upper = torch.minimum(u[1:], u[:-1]), torch.minimum(v[1:], v[:-1])
    column, row = (left - 2) / 5, ((upper - 2) / 5).ceil().clamp(0, height)
    crossed = (u[1:] != u[:-1]) & (left % 5 == 2) & (column >= 0) & (column < width)
    return (column * height + row)[crossed].long()


@part()
def _columns(start: int, end: int, width: int) -> tuple[int, int]:
    """Return first and end of the columns whose middle is between two fine coordinates."""
    low, high = min(start, end), max(start, end)
    return max(0, -((2 - low) // 5)), min(width, (high - 3) // 5 + 1)


@part()
def _walked_to(start: int, slope: float, u: int, rising: bool) -> int:
    """Return the first step of a steep edge whose rounded u is at least `u` (rising) or at most `u` (falling)."""
    step = max(0, int((u + (-0.5 if rising else 0.5) - start) / slope))
    while step > 0 and (
        int(start + slope * (step - 1) + 0.5) >= u if rising else int(start + slope * (step - 1) + 0.5) <= u
    ):
        step -= 1
    while int(start + slope * step + 0.5) < u if rising else int(start + slope * step + 0.5) > u:
        step += 1
    return step


@part()
def _add_edge(
    x0: int, y0: int, x1: int, y1: int, height: int, width: int, ends: np.ndarray, place: np.ndarray, rows: np.ndarray
) -> None:
    """Insert the rows at which an edge changes the columns that it crosses; each column's rows stay ascending."""
    first, last = _columns(x0, x1, width)
    steep = abs(x1 - x0) < abs(y1 - y0)
    if (y0 > y1) if steep else (x0 > x1):
        x0, y0, x1, y1 = x1, y1, x0, y0
    slope = ((x1 - x0) / (y1 - y0) if steep else (y1 - y0) / (x1 - x0)) if last > first else 0.0
    for x in range(first, last):
        if steep:
            v = y0 - 1 + _walked_to(x0, slope, 5 * x + 3 if x1 > x0 else 5 * x + 2, x1 > x0)
        else:
            step = 5 * x + 2 - x0
            v = min(int(y0 + slope * step + 0.5), int(y0 + slope * (step + 1) + 0.5))
        row = min(max(-((2 - v) // 5), 0), height)
        slot = ends[x]
        while slot > place[x] and rows[slot - 1] > row:
            rows[slot] = rows[slot - 1]
            slot -= 1
        rows[slot] = row
        ends[x] += 1


@kernel()
def cpu(points: np.ndarray, sizes: np.ndarray, height: int, width: int, counts: np.ndarray, lengths: np.ndarray) -> int:
    """Write the runs of every polygon to `counts` and their numbers to `lengths` (N,); return the number of counts.

    If `counts` is too short, it is left incomplete: the caller must retry with an array as long as the result.
    """
    written = begin = 0
    place, ends = np.zeros(width + 1, np.int64), np.empty(width, np.int64)  # range of each column's changes in `rows`
    for n in range(sizes.shape[0]):
        count = sizes[n]
        fine = np.empty((count + 1, 2), np.int64)
        least, most = _FAR, -_FAR
        for k in range(count + 1):
            x, y = points[begin + k % count, 0], points[begin + k % count, 1]
            fine[k, 0], fine[k, 1] = int(5 * x + 0.5), int(5 * y + 0.5)
            least, most = min(least, fine[k, 0]), max(most, fine[k, 0])
        begin += count
        left, right = _columns(least, most, width)
        for column in range(left, right + 1):
            place[column] = 0
        for k in range(count):
            first, last = _columns(fine[k, 0], fine[k + 1, 0], width)
            for column in range(first, last):
                place[column + 1] += 1
        for column in range(left, right):
            place[column + 1] += place[column]
            ends[column] = place[column]
        rows = np.empty(place[right] if right > left else 0, np.int64)
        for k in range(count):
            _add_edge(fine[k, 0], fine[k, 1], fine[k + 1, 0], fine[k + 1, 1], height, width, ends, place, rows)
        start, previous, waiting = written, 0, -1  # waiting: a change that an equal one may still undo
        for column in range(left, right + 1):
            for k in range(place[column], place[column + 1] if column < right else place[column] + 1):
                position = column * height + rows[k] if column < right else height * width
                if position == waiting:
                    waiting = -1
                    continue
                if waiting >= 0:
                    if written < counts.shape[0]:
                        counts[written] = waiting - previous
                    written, previous = written + 1, waiting
                waiting = position
        if written < counts.shape[0]:
            counts[written] = height * width - previous
        written += 1
        lengths[n] = written - start
    return written
