"""Three nearest neighbours on CUDA: a program compares a block of points with all known points and keeps the three
smallest keys of each point in registers."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128


def three_nn(points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances (B, N, 3) float32 and indices (B, N, 3) int64 of the nearest of `known` (B, M, 3) float32."""
    points, known = points.contiguous(), known.contiguous()
    clouds, count = points.shape[:2]
    distances, indices = torch.empty_like(points), torch.empty_like(points, dtype=torch.int64)
    blocks = triton.cdiv(count, BLOCK)
    if clouds * blocks:
        three_nn_kernel[(clouds * blocks,)](
            points,
            known,
            distances,
            indices,
            count,
            known.shape[1],
            blocks,
            BLOCK=BLOCK,
            num_warps=4,
            enable_fp_fusion=False,
        )
    return distances, indices


@triton.jit
def three_nn_kernel(points, known, distances, indices, n_points, n_known, blocks, BLOCK: tl.constexpr):
    """Find the three nearest known points of one block of points.

    points, distances, indices (B, N, 3), known (B, M, 3); grid = B * blocks. The upper bits of a key are the bits of
    the squared distance, which have the order of the distances; the lower bits are the index. Keys therefore sort by
    distance, then index.
    """
    program = tl.program_id(0)
    cloud = (program // blocks).to(tl.int64)
    lanes = program % blocks * BLOCK + tl.arange(0, BLOCK)
    here = lanes < n_points
    rows = (cloud * n_points + lanes) * 3
    x, y, z = (
        tl.load(points + rows, mask=here, other=0.0),
        tl.load(points + rows + 1, mask=here, other=0.0),
        tl.load(points + rows + 2, mask=here, other=0.0),
    )
    first = tl.full((BLOCK,), 0x7F800000 << 32, tl.int64)  # distance inf, index 0
    second = first
    third = first
    own = known + cloud * n_known * 3
    m = 0
    while m < n_known:
        dx, dy, dz = x - tl.load(own), y - tl.load(own + 1), z - tl.load(own + 2)
        distance = dx * dx + dy * dy + dz * dz
        key = (distance.to(tl.int32, bitcast=True).to(tl.int64) << 32) | m
        third = tl.minimum(third, tl.maximum(second, tl.maximum(first, key)))
        second = tl.minimum(second, tl.maximum(first, key))
        first = tl.minimum(first, key)
        own += 3
        m += 1
    _store(distances + rows, indices + rows, first, here)
    _store(distances + rows + 1, indices + rows + 1, second, here)
    _store(distances + rows + 2, indices + rows + 2, third, here)


@triton.jit
def _store(distances, indices, key, mask):
    squared = (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    tl.store(distances, tl.sqrt_rn(squared), mask=mask)
    tl.store(indices, key & 0x7FFFFFFF, mask=mask)
