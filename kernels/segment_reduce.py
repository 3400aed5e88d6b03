"""Sums and maxima of rows that belong to one segment, such as the points of a superpoint.

Row r of `values` belongs to segment `segments[r]`; segments need not be sorted. A segment without rows gets 0 (argmax
-1). Rows are summed in their order for any number of threads, so sums are bit-reproducible. In a maximum the lowest row
wins ties, and NaN wins over every number, as in torch.max.

Shapes: N rows, C channels, S segments.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, prange


def reference_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """Return the sums (S, C) of values (N, C) by segments int64 (N,), in plain PyTorch. On CUDA the order of summation
    is not fixed (torch.use_deterministic_algorithms)."""
    return values.new_zeros(count, values.shape[1]).index_add_(0, segments, values)


def reference_max(values: Tensor, segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the maxima (S, C) of values (N, C) by segments int64 (N,) and their rows, int64 (S, C), in plain PyTorch;
    deterministic on every device."""
    rows, channels = values.shape
    where = segments[:, None].expand(rows, channels)
    best = values.new_full((count, channels), -torch.inf).scatter_reduce_(0, where, values, "amax")
    reached = (values == best[segments]) | values.isnan()
    candidates = torch.where(reached, torch.arange(rows, device=values.device)[:, None], rows)
    row = torch.full((count, channels), rows, device=values.device).scatter_reduce_(0, where, candidates, "amin")
    return best.masked_fill(row == rows, 0), row.masked_fill(row == rows, -1)


@kernel(parallel=True)
def cpu_sum(values: np.ndarray, segments: np.ndarray, bounds: np.ndarray, out: np.ndarray) -> None:
    """Sum the rows into `out` (S, C), zeroed. Part p handles the segments bounds[p] .. bounds[p + 1] - 1 and skips the
    rows of other segments."""
    for owner in prange(bounds.shape[0] - 1):
        low, high = bounds[owner], bounds[owner + 1]
        for row in range(values.shape[0]):
            segment = segments[row]
            if low <= segment < high:
                for channel in range(values.shape[1]):
                    out[segment, channel] += values[row, channel]


@kernel(parallel=True)
def cpu_max(
    values: np.ndarray, segments: np.ndarray, bounds: np.ndarray, out: np.ndarray, rows: np.ndarray, met: np.ndarray
) -> None:
    """Fill `out` (S, C), zeroed, and `rows` (S, C), filled with -1; `met` (S,), False, records which segments have a
    row. The parts are those of cpu_sum."""
    for owner in prange(bounds.shape[0] - 1):
        low, high = bounds[owner], bounds[owner + 1]
        for row in range(values.shape[0]):
            segment = segments[row]
            if not low <= segment < high:
                continue
            first = not met[segment]
            met[segment] = True
            for channel in range(values.shape[1]):  # branch-free, so that it vectorises
                here, before, where = values[row, channel], out[segment, channel], rows[segment, channel]
                better = first | (here > before) | ((here != here) & (before == before))
                out[segment, channel] = here if better else before
                rows[segment, channel] = row if better else where
