"""Operator `lift_weights` over kernels/lift_weights.py: argument checks, dispatch by device, registration."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import lift_weights as kernel
from g3d.ops.registry import Operator


def lift_weights(
    hits: Tensor, positions: Tensor, rows: Tensor, scale: Tensor, count: int, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sparse matrix that maps a grid of features to sums over the pixels that hit each row.

    Each pixel interpolates its feature bilinearly in the grid and adds it to every point that it hits; a row (a point
    or a superpoint) sums the features of its points, times their scale. sums = matrix @ grid, with grid (height *
    width, C).

    Args:
        hits: (P, k) int64, the points that each of P pixels hits, or -1.
        positions: (P, 2) float32, each pixel's position in the grid: x, y in cells with 0, 0 at the centre of the first
            cell, within 0 .. width - 1 and 0 .. height - 1.
        rows: (N,) int64, the row of each point, 0 .. count - 1.
        scale: (N,) float32, the factor of each point.
        count: number of rows R.
        size: width and height of the grid.

    Returns:
        The matrix (R, height * width), compressed by rows: offsets (R + 1,) int64, cells (Z,) int64, ascending in a
        row, and weights (Z,) float32. Not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: a hit, a row or a position is out of range.
    """
    width, height = size
    if width < 1 or height < 1 or count < 0:
        raise ValueError(
            f"size, count: expected a grid of at least 1 x 1 and no less than 0 rows, found {size}, {count}"
        )
    wanted = {
        "hits": (hits, hits.shape if hits.dim() == 2 else (len(positions), "k"), torch.int64),
        "positions": (positions, (len(hits), 2), torch.float32),
        "rows": (rows, rows.shape if rows.dim() == 1 else ("N",), torch.int64),
        "scale": (scale, (len(rows),), torch.float32),
    }
    for name, (tensor, shape, dtype) in wanted.items():
        if tensor.shape != shape or tensor.dtype != dtype or tensor.device != hits.device:
            text = str(tuple(shape)).replace("'", "")
            raise ValueError(
                f"{name}: expected {text} {dtype} on {hits.device}, found {tuple(tensor.shape)} {tensor.dtype} on "
                f"{tensor.device}"
            )
    result: tuple[Tensor, Tensor, Tensor] = _operator(
        hits, positions.detach(), rows, scale.detach(), count, width, height
    )
    return result


def _cpu(
    hits: Tensor, positions: Tensor, rows: Tensor, scale: Tensor, count: int, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    _check_range("hits", hits, -1, len(rows) - 1)
    _check_range("rows", rows, 0, count - 1)
    _check_range("positions", positions[:, 0], 0, width - 1)
    _check_range("positions", positions[:, 1], 0, height - 1)
    if max(len(hits), len(rows)) > np.iinfo(np.int32).max:
        raise ValueError(f"hits, rows: expected fewer than 2**31 pixels and points, found {len(hits)}, {len(rows)}")
    arrays = [tensor.contiguous().numpy() for tensor in (hits, rows, positions, scale)]
    starts = np.zeros(count + 1, np.int64)
    kernel.cpu_entries(*arrays[:2], starts)
    starts = starts.cumsum()
    entries = np.empty((starts[-1], 2), np.int32)
    kernel.cpu_sort(*arrays[:2], starts.copy(), entries)
    offsets = torch.zeros(count + 1, dtype=torch.int64)
    kernel.cpu_cells(starts, entries, *arrays[2:], (width, height), offsets[1:].numpy())
    offsets = offsets.cumsum(0)
    cells, weights = torch.empty(int(offsets[-1]), dtype=torch.int64), torch.empty(int(offsets[-1]))
    kernel.cpu_weights(starts, entries, *arrays[2:], (width, height), offsets.numpy(), cells.numpy(), weights.numpy())
    return offsets, cells, weights


def _check_range(name: str, values: Tensor, least: int, most: int) -> None:
    if values.numel():
        low, high = values.aminmax()
        if not (low >= least and high <= most):
            raise ValueError(f"{name}: expected {least}..{most}, found {low.item()}..{high.item()}")


def _fake(
    hits: Tensor, positions: Tensor, rows: Tensor, scale: Tensor, count: int, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    stored = torch.library.get_ctx().new_dynamic_size()
    return hits.new_empty(count + 1), hits.new_empty(stored), scale.new_empty(stored)


def _example() -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    draw = torch.Generator().manual_seed(0)
    hits = torch.randint(-1, 40, (300, 4), generator=draw)
    positions = (torch.rand(300, 2, generator=draw) * 9 - 1).clamp(min=0).clamp(max=torch.tensor([5, 3]))
    return hits, positions, torch.randint(0, 12, (40,), generator=draw), torch.rand(40, generator=draw), 15, 6, 4


_operator = Operator("lift_weights", reference=kernel.reference, cpu=_cpu, cuda=None, fake=_fake, example=_example)
