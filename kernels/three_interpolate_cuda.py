"""Interpolation from three neighbours on CUDA: a program processes a block of points, and reads indices and weights
once for 32 channels."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
CHANNELS = 32  # channels per program


def three_interpolate(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Interpolate features (B, C, M) at indices (B, N, 3) int64 with weights (B, N, 3): (B, C, N) in their dtype."""
    clouds, channels, known = features.shape
    count = indices.shape[1]
    result = torch.empty(clouds, channels, count, dtype=features.dtype, device=features.device)
    if result.numel():
        grid = (triton.cdiv(count, BLOCK), triton.cdiv(channels, CHANNELS), clouds)
        three_interpolate_kernel[grid](
            features.contiguous(),
            indices.contiguous(),
            weights.contiguous(),
            result,
            channels,
            known,
            count,
            DOUBLE=features.dtype == torch.float64,
            CHANNELS=CHANNELS,
            BLOCK=BLOCK,
            enable_fp_fusion=False,
        )
    return result


@triton.jit
def three_interpolate_kernel(
    features,
    indices,
    weights,
    result,
    channels,
    known,
    count,
    DOUBLE: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Interpolate one block of channels at one block of points.

    All tensors are contiguous and have the shapes of three_interpolate; grid = blocks of points, blocks of channels,
    clouds.
    """
    compute: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    first_channel = tl.program_id(1) * CHANNELS
    cloud = tl.program_id(2).to(tl.int64)
    here = n < count
    rows = (cloud * count + n) * 3
    i, j, k = (
        tl.load(indices + rows, mask=here),
        tl.load(indices + rows + 1, mask=here),
        tl.load(indices + rows + 2, mask=here),
    )
    u = tl.load(weights + rows, mask=here).to(compute)
    v = tl.load(weights + rows + 1, mask=here).to(compute)
    w = tl.load(weights + rows + 2, mask=here).to(compute)
    channel = first_channel
    while channel < min(first_channel + CHANNELS, channels):
        source = features + (cloud * channels + channel) * known
        value = tl.load(source + i, mask=here).to(compute) * u
        value += tl.load(source + j, mask=here).to(compute) * v
        value += tl.load(source + k, mask=here).to(compute) * w
        tl.store(result + (cloud * channels + channel) * count + n, value.to(result.dtype.element_ty), mask=here)
        channel += 1
