"""Multi-scale deformable attention on CUDA: one program per head and block of queries, one row of channels per query.

The gradient of the maps is summed by atomic additions in float32 (float64 for float64 input), as in the published
operator: its last bits vary between runs. Sums are in the dtype of the weights, whatever the maps' dtype.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

_ELEMENTS = 512  # elements of a program's tile of queries by channels


def ms_deform_attn(value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Return (B, Q, H * D) in the dtype of value (B, S, H, D); locations (B, Q, H, L, P, 2) and weights (B, Q, H, L, P)
    are float32 or float64."""
    batch, positions, heads, channels = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    out = value.new_empty(batch, queries, heads * channels)
    if out.numel():
        grid, sizes, tile = _launch(value, queries)
        forward_kernel[grid](
            value.contiguous(),
            _level_table(tuple(shapes), value.device),
            locations.contiguous(),
            weights.contiguous(),
            out,
            positions,
            queries,
            heads,
            levels,
            points,
            *sizes,
            **tile,
            enable_fp_fusion=False,
        )
    return out


def ms_deform_attn_backward(
    grad: Tensor, value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights from the gradient of the result."""
    positions, heads = value.shape[1:3]
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    to_value = torch.zeros(value.shape, dtype=weights.dtype, device=value.device)
    to_locations, to_weights = locations.new_empty(locations.shape), weights.new_empty(weights.shape)
    if grad.numel():
        grid, sizes, tile = _launch(value, queries)
        backward_kernel[grid](
            grad.contiguous(),
            value.contiguous(),
            _level_table(tuple(shapes), value.device),
            locations.contiguous(),
            weights.contiguous(),
            to_value,
            to_locations,
            to_weights,
            positions,
            queries,
            heads,
            levels,
            points,
            *sizes,
            **tile,
            enable_fp_fusion=False,
        )
    return to_value.to(value.dtype), to_locations, to_weights


def _launch(value: Tensor, queries: int) -> tuple[tuple[int], tuple[int, int], dict[str, int]]:
    """Return the launch grid, (channels, blocks of queries per head), and the tile sizes."""
    batch, _, heads, channels = value.shape
    lanes = triton.next_power_of_2(channels)
    rows = min(max(1, _ELEMENTS // lanes), triton.next_power_of_2(queries))
    blocks = triton.cdiv(queries, rows)
    return (batch * heads * blocks,), (channels, blocks), {"ROWS": rows, "LANES": lanes}


@functools.lru_cache(maxsize=64)
def _level_table(shapes: tuple[int, ...], device: torch.device) -> Tensor:
    """Return (L, 3) int32 on the device: height, width and first position of each level. The result is cached, because
    the copy to the device would wait for the device."""
    table, start = [], 0
    for height, width in zip(shapes[::2], shapes[1::2], strict=True):
        table.append((height, width, start))
        start += height * width
    return torch.tensor(table, dtype=torch.int32, device=device)


@triton.jit
def axis(location, size):
    """Return the pixel before a sample along one axis, the weight of the pixel after it, and whether each is inside."""
    place = location * size - 0.5
    place = tl.where((place > -1) & (place < size), place, -2.0)  # also for NaN
    low = tl.floor(place)
    before = low.to(tl.int32)
    return before, place - low, (before >= 0) & (before < size), (before >= -1) & (before < size - 1)


@triton.jit
def forward_kernel(
    value,
    table,
    locations,
    weights,
    out,
    n_positions,
    n_queries,
    n_heads,
    n_levels,
    n_points,
    n_channels,
    n_blocks,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Compute the attention of one block of queries in one head.

    All tensors are contiguous; table (L, 3) int32; grid = B * H * blocks of ROWS queries.
    """
    work = tl.program_id(0)
    head = work // n_blocks % n_heads
    batch = (work // n_blocks // n_heads).to(tl.int64)
    query = work % n_blocks * ROWS + tl.arange(0, ROWS)
    here = query < n_queries
    channel = tl.arange(0, LANES)
    row = (batch * n_queries + query) * n_heads + head
    step = n_heads * n_channels
    maps = value + batch * n_positions * step + head * n_channels + channel[None, :]
    real = channel[None, :] < n_channels
    total = tl.zeros((ROWS, LANES), dtype=weights.dtype.element_ty)
    for level in range(n_levels):
        height, width, start = (
            tl.load(table + level * 3),
            tl.load(table + level * 3 + 1),
            tl.load(table + level * 3 + 2),
        )
        for point in range(n_points):
            sample = (row * n_levels + level) * n_points + point
            weight = tl.load(weights + sample, mask=here, other=0.0)
            x, right, in_left, in_right = axis(tl.load(locations + sample * 2, mask=here, other=-1.0), width)
            y, bottom, in_top, in_bottom = axis(tl.load(locations + sample * 2 + 1, mask=here, other=-1.0), height)
            pixel = maps + ((start + y * width + x).to(tl.int64) * step)[:, None]
            v00 = tl.load(pixel, mask=(in_top & in_left)[:, None] & real, other=0.0)
            v01 = tl.load(pixel + step, mask=(in_top & in_right)[:, None] & real, other=0.0)
            pixel += width.to(tl.int64) * step
            v10 = tl.load(pixel, mask=(in_bottom & in_left)[:, None] & real, other=0.0)
            v11 = tl.load(pixel + step, mask=(in_bottom & in_right)[:, None] & real, other=0.0)
            total += (
                v00 * (weight * (1 - bottom) * (1 - right))[:, None] + v01 * (weight * (1 - bottom) * right)[:, None]
            )
            total += v10 * (weight * bottom * (1 - right))[:, None] + v11 * (weight * bottom * right)[:, None]
    tl.store(
        out + row[:, None] * n_channels + channel[None, :], total.to(out.dtype.element_ty), mask=here[:, None] & real
    )


@triton.jit
def backward_kernel(
    grad,
    value,
    table,
    locations,
    weights,
    to_value,
    to_locations,
    to_weights,
    n_positions,
    n_queries,
    n_heads,
    n_levels,
    n_points,
    n_channels,
    n_blocks,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Compute the gradients of one block of queries in one head.

    Arguments are those of forward_kernel; to_value is zeroed and in the weights' dtype.
    """
    work = tl.program_id(0)
    head = work // n_blocks % n_heads
    batch = (work // n_blocks // n_heads).to(tl.int64)
    query = work % n_blocks * ROWS + tl.arange(0, ROWS)
    here = query < n_queries
    channel = tl.arange(0, LANES)
    row = (batch * n_queries + query) * n_heads + head
    step = n_heads * n_channels
    origin = batch * n_positions * step + head * n_channels + channel[None, :]
    real = channel[None, :] < n_channels
    kind = weights.dtype.element_ty
    g = tl.load(grad + row[:, None] * n_channels + channel[None, :], mask=here[:, None] & real, other=0.0).to(kind)
    for level in range(n_levels):
        height, width, start = (
            tl.load(table + level * 3),
            tl.load(table + level * 3 + 1),
            tl.load(table + level * 3 + 2),
        )
        for point in range(n_points):
            sample = (row * n_levels + level) * n_points + point
            weight = tl.load(weights + sample, mask=here, other=0.0)
            x, right, in_left, in_right = axis(tl.load(locations + sample * 2, mask=here, other=-1.0), width)
            y, bottom, in_top, in_bottom = axis(tl.load(locations + sample * 2 + 1, mask=here, other=-1.0), height)
            top, left = 1 - bottom, 1 - right
            above = origin + ((start + y * width + x).to(tl.int64) * step)[:, None]
            below = above + width.to(tl.int64) * step
            inside = (in_top & in_left)[:, None] & real
            d00 = tl.sum(tl.load(value + above, mask=inside, other=0.0) * g, 1)
            tl.atomic_add(to_value + above, (weight * top * left)[:, None] * g, mask=inside, sem="relaxed")
            inside = (in_top & in_right)[:, None] & real
            d01 = tl.sum(tl.load(value + above + step, mask=inside, other=0.0) * g, 1)
            tl.atomic_add(to_value + above + step, (weight * top * right)[:, None] * g, mask=inside, sem="relaxed")
            inside = (in_bottom & in_left)[:, None] & real
            d10 = tl.sum(tl.load(value + below, mask=inside, other=0.0) * g, 1)
            tl.atomic_add(to_value + below, (weight * bottom * left)[:, None] * g, mask=inside, sem="relaxed")
            inside = (in_bottom & in_right)[:, None] & real
            d11 = tl.sum(tl.load(value + below + step, mask=inside, other=0.0) * g, 1)
            tl.atomic_add(to_value + below + step, (weight * bottom * right)[:, None] * g, mask=inside, sem="relaxed")
            tl.store(
                to_weights + sample, top * (left * d00 + right * d01) + bottom * (left * d10 + right * d11), mask=here
            )
            to_x = top * (d01 - d00) + bottom * (d11 - d10)
            to_y = left * (d10 - d00) + right * (d11 - d01)
            tl.store(to_locations + sample * 2, weight * width * to_x, mask=here)
            tl.store(to_locations + sample * 2 + 1, weight * height * to_y, mask=here)
