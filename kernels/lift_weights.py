"""Lift weights: the weight of each cell of a grid of features in the sum over the pixels that hit a row.

Each pixel interpolates its feature bilinearly in a grid and adds it to every point that it hits; a row sums the
features of its points. All of this is linear, so the sums are a sparse matrix (rows x cells) times the grid, and the
features of the pixels are never computed:

    sum[rows[p]] += scale[p] * interpolate(grid, positions[i])        for every pixel i and every point p in hits[i]

Shapes: P pixels, k slots, N points, R rows; `hits` (P, k) int64 holds points, or -1; `positions` (P, 2) float32 x, y in
    cells, a cell's centre at its index, within 0 .. width - 1 and 0 .. height - 1; `rows` (N,) int64 and `scale` (N,)
    float32.
The matrix is compressed by rows, cells ascending: offsets (R + 1,) int64, cells (Z,) int64 as y * width + x, weights
(Z,) float32, summed in float64. It contains a cell if a pixel's interpolation weight there is above 0.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

_CHUNK = 512  # rows per work item of a thread


def reference(
    hits: Tensor, positions: Tensor, rows: Tensor, scale: Tensor, count: int, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return offsets (R + 1,), cells (Z,) and weights (Z,) of the matrix, in plain PyTorch."""
    pixels, slots = (hits >= 0).nonzero(as_tuple=True)
    points = hits[pixels, slots]
    low = positions.floor()
    right, down = (positions - low)[pixels].double().unbind(1)
    x, y = low.long()[pixels].unbind(1)
    first = rows[points] * (width * height) + y * width + x
    keys = torch.cat([first, first + 1, first + width, first + width + 1])
    shares = torch.cat([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
    weights = shares * scale.double()[points].repeat(4)
    there = shares > 0  # otherwise the cell may be beyond the border
    found, places = keys[there].unique(return_inverse=True)
    sums = torch.zeros(len(found), dtype=torch.float64, device=hits.device).index_add_(0, places, weights[there])
    offsets = torch.searchsorted(found, torch.arange(count + 1, device=hits.device) * (width * height))
    return offsets, found % (width * height), sums.float()


@kernel()
def cpu_entries(hits: np.ndarray, rows: np.ndarray, starts: np.ndarray) -> None:
    """Add the number of hits of row r to starts[r + 1]."""
    for i in range(hits.shape[0]):
        for slot in range(hits.shape[1]):
            point = hits[i, slot]
            if point >= 0:
                starts[rows[point] + 1] += 1


@kernel()
def cpu_sort(hits: np.ndarray, rows: np.ndarray, cursors: np.ndarray, entries: np.ndarray) -> None:
    """Fill `entries` (E, 2) int32 with the pixels and points of row r from cursors[r] on, in the order of the pixels,
    and advance the cursors."""
    for i in range(hits.shape[0]):
        for slot in range(hits.shape[1]):
            point = hits[i, slot]
            if point >= 0:
                cursor = cursors[rows[point]]
                cursors[rows[point]] = cursor + 1
                entries[cursor, 0], entries[cursor, 1] = i, point


@kernel(parallel=True)
def cpu_cells(
    starts: np.ndarray,
    entries: np.ndarray,
    positions: np.ndarray,
    scale: np.ndarray,
    size: tuple[int, int],
    numbers: np.ndarray,
) -> None:
    """Set numbers[r] to the number of cells of row r; `size` is the grid's width and height."""
    rows = len(starts) - 1
    for chunk in prange((rows + _CHUNK - 1) // _CHUNK):
        sums, met = np.zeros(size[0] * size[1]), np.zeros(size[0] * size[1], np.bool_)
        for row in range(chunk * _CHUNK, min(rows, chunk * _CHUNK + _CHUNK)):
            low, end = _collect(entries[starts[row] : starts[row + 1]], positions, scale, size[0], sums, met)
            number = 0
            for cell in range(low, end):
                number += met[cell]
                met[cell] = False
            numbers[row] = number


@kernel(parallel=True)
def cpu_weights(
    starts: np.ndarray,
    entries: np.ndarray,
    positions: np.ndarray,
    scale: np.ndarray,
    size: tuple[int, int],
    offsets: np.ndarray,
    cells: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Fill `cells` and `weights` (Z,)."""
    rows = len(starts) - 1
    for chunk in prange((rows + _CHUNK - 1) // _CHUNK):
        sums, met = np.zeros(size[0] * size[1]), np.zeros(size[0] * size[1], np.bool_)
        for row in range(chunk * _CHUNK, min(rows, chunk * _CHUNK + _CHUNK)):
            low, end = _collect(entries[starts[row] : starts[row + 1]], positions, scale, size[0], sums, met)
            place = offsets[row]
            for cell in range(low, end):
                if met[cell]:
                    cells[place], weights[place] = cell, sums[cell]
                    place += 1
                    sums[cell], met[cell] = 0, False


@part()
def _collect(
    entries: np.ndarray, positions: np.ndarray, scale: np.ndarray, width: int, sums: np.ndarray, met: np.ndarray
) -> tuple[int, int]:
    """Add the weights of a row's entries to `sums` (cells,), mark the touched cells in `met`, and return first and end
    of their range first..end - 1."""
    first, last = len(sums), -1
    for entry in range(entries.shape[0]):
        pixel, factor = entries[entry, 0], np.float64(scale[entries[entry, 1]])
        x, y = np.int64(positions[pixel, 0]), np.int64(positions[pixel, 1])
        right, down = np.float64(positions[pixel, 0]) - x, np.float64(positions[pixel, 1]) - y
        cell = y * width + x
        first, farthest = min(first, cell), cell
        sums[cell] += factor * ((1 - right) * (1 - down))
        met[cell] = True
        if right > 0:  # otherwise the next column may not exist
            sums[cell + 1] += factor * (right * (1 - down))
            met[cell + 1] = True
            farthest += 1
        if down > 0:
            sums[cell + width] += factor * ((1 - right) * down)
            met[cell + width] = True
            farthest += width
            if right > 0:
                sums[cell + width + 1] += factor * (right * down)
                met[cell + width + 1] = True
        last = max(last, farthest)
    return first, last + 1
