"""Sparse convolution on CUDA: a program gathers the neighbours of a tile of output rows, offset by offset, and sums in
registers.

No two programs write to the same element, so results are the same from run to run. float32 is not rounded to
TensorFloat-32; float64, which is used only for checks, runs the reference.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from g3d.kernels import sparse_conv as plain

ROWS = 64  # rows of a tile of the output
PAIRS = 32  # pairs that one step of the weight's gradient sums over
# With these sizes and the blocks below, no registers spill on sm_80 and sm_90.


def sparse_conv(
    features: Tensor,
    weight: Tensor,
    neighbours: Tensor,
    order: Tensor,
    back_neighbours: Tensor,
    back_order: Tensor,
    mirrored: bool,
) -> Tensor:
    """Return the convolution; arguments and result are those of `reference` in kernels/sparse_conv.py."""
    if features.dtype == torch.float64:
        return plain.reference(features, weight, neighbours, order, back_neighbours, back_order, mirrored)
    (offsets, channels_in, channels_out), rows = weight.shape, len(order)
    out = features.new_empty(rows, channels_out)
    block_in, block_out = _block(channels_in, 16 if features.dtype == torch.float32 else 32), _block(channels_out, 64)
    grid = (triton.cdiv(rows, ROWS), triton.cdiv(channels_out, block_out))
    if out.numel():
        sparse_conv_kernel[grid](
            features.contiguous(),
            weight.contiguous(),
            neighbours.contiguous(),
            order.contiguous(),
            out,
            rows,
            offsets,
            channels_in,
            channels_out,
            ROWS,
            block_in,
            block_out,
        )
    return out


def weight_gradient(features: Tensor, gradient: Tensor, neighbours: Tensor, order: Tensor) -> Tensor:
    """Return the gradient of the weight, as `weight_gradient_reference` in kernels/sparse_conv.py does."""
    if features.dtype == torch.float64:
        return plain.weight_gradient_reference(features, gradient, neighbours, order)
    offsets, rows, channels_in, channels_out = neighbours.shape[0], len(order), features.shape[1], gradient.shape[1]
    block_in, block_out = _block(channels_in, 32), _block(channels_out, 64)
    chunk = max(
        2048, triton.cdiv(triton.cdiv(rows, 64), PAIRS) * PAIRS
    )  # depends on the size alone, so that the order of summation never changes
    partial = torch.empty(triton.cdiv(rows, chunk), offsets, channels_in, channels_out, device=features.device)
    grid = (offsets, triton.cdiv(channels_in, block_in) * triton.cdiv(channels_out, block_out), partial.shape[0])
    if partial.numel():
        weight_gradient_kernel[grid](
            features.contiguous(),
            gradient.contiguous(),
            neighbours.contiguous(),
            order.contiguous(),
            partial,
            rows,
            offsets,
            channels_in,
            channels_out,
            chunk,
            PAIRS,
            block_in,
            block_out,
        )
    return partial.sum(0).to(features.dtype)


def _block(channels: int, most: int) -> int:
    return min(most, max(16, triton.next_power_of_2(channels)))  # 16 is the minimum of the matrix units


@triton.jit
def sparse_conv_kernel(
    features,
    weight,
    neighbours,
    order,
    out,
    rows,
    offsets,
    channels_in,
    channels_out,
    ROWS: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
):
    """Compute one tile of output rows in one block of channels.

    grid = tiles of ROWS output rows, blocks of BLOCK_OUT channels. Shapes are those of the reference; order and
    neighbours are int32.
    """
    j = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = j < rows
    column = tl.program_id(1) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    sums = tl.zeros((ROWS, BLOCK_OUT), tl.float32)
    for k in range(offsets):
        source = tl.load(neighbours + j, mask=here, other=-1)
        neighbours += rows
        if tl.max(source, 0) >= 0:
            gathered = features + source.to(tl.int64)[:, None] * channels_in
            for begin in range(0, channels_in, BLOCK_IN):
                channel = begin + tl.arange(0, BLOCK_IN)
                x = tl.load(
                    gathered + channel[None, :],
                    mask=(source >= 0)[:, None] & (channel < channels_in)[None, :],
                    other=0.0,
                )
                at = (k * channels_in + channel)[:, None] * channels_out + column[None, :]
                w = tl.load(
                    weight + at, mask=(channel < channels_in)[:, None] & (column < channels_out)[None, :], other=0.0
                )
                sums = tl.dot(x, w, sums, input_precision="ieee")
    row = tl.load(order + j, mask=here, other=0).to(tl.int64)
    to = out + row[:, None] * channels_out + column[None, :]
    tl.store(to, sums.to(out.dtype.element_ty), mask=here[:, None] & (column < channels_out)[None, :])


@triton.jit
def weight_gradient_kernel(
    features,
    gradient,
    neighbours,
    order,
    partial,
    rows,
    offsets,
    channels_in,
    channels_out,
    chunk,
    PAIRS: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
):
    """Compute one block of one offset's gradient over one chunk of output rows.

    grid = offsets, blocks of a matrix, chunks of output rows. partial (chunks, K, C_in, C_out) float32.
    """
    k = tl.program_id(0).to(tl.int64)
    across = tl.cdiv(channels_out, BLOCK_OUT)
    channel = tl.program_id(1) // across * BLOCK_IN + tl.arange(0, BLOCK_IN)
    column = tl.program_id(1) % across * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    first = tl.program_id(2) * chunk
    sums = tl.zeros((BLOCK_IN, BLOCK_OUT), tl.float32)
    for begin in range(first, min(first + chunk, rows), PAIRS):
        j = begin + tl.arange(0, PAIRS)
        source = tl.load(neighbours + k * rows + j, mask=j < rows, other=-1)
        if tl.max(source, 0) >= 0:
            hit = (source >= 0)[:, None]
            row = tl.load(order + j, mask=source >= 0, other=0).to(tl.int64)
            x_at = source.to(tl.int64)[:, None] * channels_in + channel[None, :]
            g_at = row[:, None] * channels_out + column[None, :]
            x = tl.load(features + x_at, mask=hit & (channel < channels_in)[None, :], other=0.0)
            g = tl.load(gradient + g_at, mask=hit & (column < channels_out)[None, :], other=0.0)
            sums = tl.dot(tl.trans(x), g, sums, input_precision="ieee")
    at = ((tl.program_id(2) * offsets + k) * channels_in + channel)[:, None] * channels_out + column[None, :]
    tl.store(partial + at, sums, mask=(channel < channels_in)[:, None] & (column < channels_out)[None, :])
