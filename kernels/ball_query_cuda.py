"""Ball query on CUDA: one program per centre reads the cloud in blocks and stops when the centre's slots are full."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from g3d.kernels.ball_query import squared


def ball_query(
    points: Tensor, offsets: Tensor, centres: Tensor, centre_offsets: Tensor, radius: float, k: int, repeat: bool
) -> Tensor:
    """Return (Q, k) int64 rows of points (T, 3) for centres (Q, 3); the offsets are (B + 1,)."""
    count = len(centres)
    found = torch.empty(count, k, dtype=torch.int64, device=points.device)
    if count:
        cloud = (
            torch.searchsorted(centre_offsets.contiguous(), torch.arange(count, device=points.device), right=True) - 1
        )
        ball_query_kernel[(count,)](
            points.contiguous(),
            offsets.contiguous(),
            centres.contiguous(),
            cloud,
            found,
            squared(radius),
            k,
            REPEAT=repeat,
            SLOTS=triton.next_power_of_2(k),
            BLOCK=1024,
            enable_fp_fusion=False,
        )
    return found


@triton.jit
def ball_query_kernel(
    points, offsets, centres, cloud, found, radius2, k, REPEAT: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr
):
    """Fill the slots of one centre.

    points (T, 3), offsets (B + 1,) int64, centres (Q, 3), cloud (Q,) int64, found (Q, k) int64; grid = Q, SLOTS >= k.
    """
    row = tl.program_id(0).to(tl.int64)
    own = tl.load(cloud + row)
    begin, end = tl.load(offsets + own), tl.load(offsets + own + 1)
    x, y, z = tl.load(centres + row * 3), tl.load(centres + row * 3 + 1), tl.load(centres + row * 3 + 2)
    found += row * k
    hits = 0
    first = begin
    start = begin
    while (start < end) & (hits < k):
        n = start + tl.arange(0, BLOCK)
        here = n < end
        dx = tl.load(points + n * 3, mask=here, other=float("inf")) - x
        dy = tl.load(points + n * 3 + 1, mask=here, other=float("inf")) - y
        dz = tl.load(points + n * 3 + 2, mask=here, other=float("inf")) - z
        inside = dx * dx + dy * dy + dz * dz < radius2
        count = tl.sum(inside.to(tl.int32), 0)
        if (hits == 0) & (count > 0):
            first = tl.min(tl.where(inside, n, end), 0)
        slot = hits + tl.cumsum(inside.to(tl.int32), 0) - 1
        tl.store(found + slot, n, mask=inside & (slot < k))
        hits += count
        start += BLOCK
    slots = tl.arange(0, SLOTS)
    filler = first if REPEAT else first * 0 - 1
    tl.store(found + slots, filler + tl.zeros((SLOTS,), tl.int64), mask=(slots >= hits) & (slots < k))
