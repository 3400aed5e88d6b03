"""Values and neighbourhoods of feature maps at given cells.

Dense prediction heads are trained and read at a few dozen cells of a map with tens of thousands of cells. Evaluating
them only there gives the same values and gradients for a hundredth of the computation. A cell is a row-major index y *
W + x, int64.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def take_rows(rows: Tensor, index: Tensor) -> Tensor:
    """Return the rows (N, C) at index (...) int64 as (..., C), with bit-identical gradients in every run.

    Indexing adds the gradients of rows that were taken several times atomically, in an order that changes from run to
    run on a CPU with several threads. The backward pass of an embedding look-up adds them in the order of the index.
    """
    return F.embedding(index, rows)


def gather_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Return the values of maps (B, C, H, W) at cells (B, K), as (B, K, C)."""
    rows, first = _rows(maps)
    return take_rows(rows, first + cells)


def gather_patches(maps: Tensor, cells: Tensor, side: int) -> Tensor:
    """Return the side x side neighbourhoods of cells, zero beyond the border, as a padded convolution reads them.

    Args:
        maps: (B, C, H, W).
        cells: (B, K).
        side: odd.

    Returns:
        (B, K, side * side, C), neighbours in row-major order.
    """
    height, width = maps.shape[2:]
    reach = torch.arange(side, device=maps.device) - side // 2
    dy, dx = reach.repeat_interleave(side), reach.repeat(side)
    y, x = (cells // width)[..., None] + dy, (cells % width)[..., None] + dx
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    rows, first = _rows(maps)
    found = take_rows(rows, first[..., None] + torch.where(inside, y * width + x, 0))
    return found.masked_fill(~inside[..., None], 0)


def _rows(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return all cells of all maps as rows (B * H * W, C), and each map's first row (B, 1).

    The rows are a view if the maps are channels-last.
    """
    batch, channels, height, width = maps.shape
    first = torch.arange(batch, device=maps.device)[:, None] * (height * width)
    return maps.permute(0, 2, 3, 1).reshape(-1, channels), first
