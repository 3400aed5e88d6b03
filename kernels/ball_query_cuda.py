"""Ball query on CUDA: one program per centre walks the cloud in blocks and stops when its slots are full."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def ball_query(points: Tensor, centres: Tensor, radius: float, k: int) -> Tensor:
    """(B, N, 3) and (B, M, 3) float32 -> (B, M, k) int64."""
    found = torch.zeros(*centres.shape[:2], k, dtype=torch.int64, device=points.device)
    grid = (centres.shape[0] * centres.shape[1],)
    if grid[0]:
        ball_query_kernel[grid](
            points.contiguous(), centres.contiguous(), found, points.shape[1], centres.shape[1], radius * radius, k, 1024, enable_fp_fusion=False
        )
    return found


@triton.jit
def ball_query_kernel(points, centres, found, n_points, n_centres, radius2, K: tl.constexpr, BLOCK: tl.constexpr):
    """points (B, N, 3), centres (B, M, 3), found (B, M, K) int64, zeroed; grid = B * M."""
    row = tl.program_id(0)
    points += (row // n_centres).to(tl.int64) * n_points * 3
    x, y, z = tl.load(centres + row * 3), tl.load(centres + row * 3 + 1), tl.load(centres + row * 3 + 2)
    hits = 0
    start = 0
    while (start < n_points) & (hits < K):
        n = start + tl.arange(0, BLOCK)
        here = n < n_points
        dx = tl.load(points + n * 3, mask=here, other=float("inf")) - x
        dy = tl.load(points + n * 3 + 1, mask=here, other=float("inf")) - y
        dz = tl.load(points + n * 3 + 2, mask=here, other=float("inf")) - z
        inside = dx * dx + dy * dy + dz * dz < radius2
        slot = hits + tl.cumsum(inside.to(tl.int32), 0) - 1
        tl.store(found + row * K + slot, n.to(tl.int64), mask=inside & (slot < K))
        hits += tl.sum(inside.to(tl.int32), 0)
        start += BLOCK
    tl.debug_barrier()
    first = tl.load(found + row * K)
    slots = tl.arange(0, K)
    tl.store(found + row * K + slots, first + tl.zeros((K,), tl.int64), mask=slots >= hits)
