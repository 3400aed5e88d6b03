"""Multi-scale deformable attention: each query sums weighted bilinear samples of feature maps at its own locations, in
each head.

Deformable DETR (Zhu et al. 2021, equation 2), with the published operator's rules: a level's map is sampled at x *
width - 0.5, y * height - 0.5 (grid_sample's align_corners=False), and samples outside the map are 0. A location that is
not finite or is far away counts as outside.

Shapes: B batch items, S positions of all levels, concatenated, each level row-major; H heads of D channels, Q queries,
    L levels, P points, K = L * P samples of a query in a head. `shapes` is the flat list of height and width of each
    level.
"""

from __future__ import annotations

from typing import Any, Sequence  # noqa: UP035

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels.compiled import UNAVAILABLE, kernel, part, prange

if not UNAVAILABLE:
    from g3d.kernels.vectors import add, at, dot, fma, lanes, load, put, store, zeros

Flat = np.ndarray  # one-dimensional and contiguous
Steps = tuple[int, int, int]
Sizes = tuple[int, int, int, int, int]
CHUNK = 16  # samples whose locations are computed together, in vectors
BLOCK = 128  # queries per work item: enough items for many threads, few enough to keep a head's maps in the cache


# The signatures use typing's Sequence: PyTorch 2.6 infers no schema from collections.abc.Sequence.
def reference(value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Return the attention (B, Q, H * D) of value (B, S, H, D) at locations (B, Q, H, L, P, 2) with weights (B, Q, H,
    L, P), in plain PyTorch. Memory is proportional to Q * K * H * D."""
    batch, _, heads, channels = value.shape
    result = weights.new_zeros(batch * heads, channels, locations.shape[1])
    for level, sampled in enumerate(_maps(value, shapes, weights.dtype)):
        samples = F.grid_sample(sampled, _grid(locations[:, :, :, level]), align_corners=False)
        result = result + (samples * _by_head(weights[:, :, :, level])[:, None]).sum(-1)
    return result.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2).to(value.dtype).contiguous()


def reference_backward(
    grad: Tensor, value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of value, locations and weights from the gradient of the result, in plain PyTorch."""
    batch, _, heads, channels = value.shape
    grad = grad.to(weights.dtype).unflatten(2, (heads, channels)).permute(0, 2, 3, 1).flatten(0, 1)[..., None]
    to_value, to_locations, to_weights = [], [], []
    for level, sampled in enumerate(_maps(value, shapes, weights.dtype)):
        grid = _grid(locations[:, :, :, level])
        to_samples = grad * _by_head(weights[:, :, :, level])[:, None]
        to_map, to_grid = torch.ops.aten.grid_sampler_2d_backward(to_samples, sampled, grid, 0, 0, False, [True, True])
        to_value.append(to_map.flatten(2).unflatten(0, (batch, heads)).permute(0, 3, 1, 2))
        to_locations.append(2 * to_grid.unflatten(0, (batch, heads)).transpose(1, 2))
        samples = F.grid_sample(sampled, grid, align_corners=False)
        to_weights.append((grad * samples).sum(1).unflatten(0, (batch, heads)).transpose(1, 2))
    places = torch.where(_within(locations), torch.stack(to_locations, 3), 0)
    return (
        torch.cat(to_value, 1).to(value.dtype).contiguous(),
        places.contiguous(),
        torch.stack(to_weights, 3).contiguous(),
    )


def _maps(value: Tensor, shapes: Sequence[int], dtype: torch.dtype) -> list[Tensor]:
    """Return the map of each level as (B * H, D, height, width)."""
    sizes = list(zip(shapes[::2], shapes[1::2], strict=True))
    levels = value.to(dtype).split([height * width for height, width in sizes], 1)
    return [
        level.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, size) for level, size in zip(levels, sizes, strict=True)
    ]


def _by_head(x: Tensor) -> Tensor:
    """Rearrange (B, Q, H, ...) to (B * H, Q, ...)."""
    return x.transpose(1, 2).flatten(0, 1)


def _within(locations: Tensor) -> Tensor:
    """Return where a coordinate is finite and its pixel number representable; samples beyond do not touch a map."""
    return locations.abs() <= 2


def _grid(locations: Tensor) -> Tensor:
    """Convert a level's locations (B, Q, H, P, 2) to grid_sample's coordinates: (B * H, Q, P, 2), -1..1 in the map."""
    return 2 * _by_head(torch.where(_within(locations), locations, -2)) - 1


def level_table(shapes: Sequence[int], points: int) -> np.ndarray:
    """Return the heights, widths and first positions of the levels of each chunk of samples; int32, flat, padded."""
    sizes = np.array(shapes, np.int64).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
    samples = np.repeat(np.column_stack([sizes, starts]), points, 0)
    padded = np.pad(samples, ((0, -len(samples) % CHUNK), (0, 0)))
    return padded.reshape(-1, CHUNK, 3).transpose(0, 2, 1).astype(np.int32).ravel()


def vector_for(channels: int, dtype: type[np.floating]) -> np.ndarray:
    """Return an empty array whose dtype sets the number of channels that the kernels process at once, so that only that
    variant is compiled."""
    lanes = 32 if channels % 32 == 0 else 8 if channels % 8 == 0 else 1
    return np.empty(0, [("lanes", dtype, (lanes,))])


@part(inline="always", error_model="numpy")
def _axis(location: float, size: int, one: float) -> tuple[int, int, float, float, float, float]:
    """Locate a sample along one axis of `size` pixels; `one` is 1 in the kernel's type.

    Returns:
        The pixels before and after the sample, clamped to the map; their interpolation weights, 0 outside the map; and
        1 for each pixel that is inside the map, else 0.
    """
    zero = one - one
    length = one * size
    place = location * length - one / 2
    place = place if (place > -one) & (place < length) else -one - one
    low = np.floor(place)
    in_low = one if low >= zero else zero
    in_high = one if (low >= -one) & (low < length - one) else zero
    share = place - low
    before, after = np.int32(max(low, zero)), np.int32(max(min(low + one, length - one), zero))
    return before, after, (one - share) * in_low, share * in_high, in_low, in_high


@kernel(parallel=True, error_model="numpy")
def forward(
    value: Flat, steps: Steps, table: Flat, locations: Flat, weights: Flat, sizes: Sizes, vector: np.ndarray, out: Flat
) -> None:
    """Fill `out`.

    Args:
        value: (B * S * H * D,) in any order of batch, heads and positions; the D channels are contiguous.
        steps: strides of batch, head and position in `value`, in elements.
        table: the result of level_table.
        locations, weights, out: flat; locations and weights have the dtype of `value`.
        sizes: B, Q, H, D, K.
        vector: the result of vector_for.
    """
    batch, queries, heads, _, _ = sizes
    blocks = (queries + BLOCK - 1) // BLOCK
    for work in prange(batch * heads * blocks):
        b, h = work // blocks // heads, work // blocks % heads
        begin = work % blocks * BLOCK
        span = (b, h, begin, min(begin + BLOCK, queries))
        _gather(value, steps, table, locations, weights, sizes, out, span, zeros(vector))


@part(error_model="numpy")
def _gather(
    value: Flat,
    steps: Steps,
    table: Flat,
    locations: Flat,
    weights: Flat,
    sizes: Sizes,
    out: Flat,
    span: tuple[int, int, int, int],
    nothing: Any,
) -> None:
    """Compute `forward` for a span of queries in one head, with as many channels at once as the zero vector `nothing`
    has lanes."""
    _, queries, heads, channels, samples = sizes
    b, h, begin, end = span
    rows, shares = np.empty(4 * CHUNK, np.int32), np.empty(4 * CHUNK, weights.dtype)
    origin, step = b * steps[0] + h * steps[1], steps[2]
    for q in range(begin, end):
        row = (b * queries + q) * heads + h
        for chunk in range(0, max(samples, 1), CHUNK):
            count = min(CHUNK, samples - chunk)
            _corners(table, locations, weights, row * samples + chunk, 3 * chunk, count, rows, shares)
            for c in range(0, channels, lanes(nothing)):
                v00 = v01 = v10 = v11 = nothing
                for k in range(count):
                    v00 = fma(shares[k], load(value, origin + rows[k] * step + c, nothing), v00)
                    v01 = fma(shares[CHUNK + k], load(value, origin + rows[CHUNK + k] * step + c, nothing), v01)
                    v10 = fma(shares[2 * CHUNK + k], load(value, origin + rows[2 * CHUNK + k] * step + c, nothing), v10)
                    v11 = fma(shares[3 * CHUNK + k], load(value, origin + rows[3 * CHUNK + k] * step + c, nothing), v11)
                total = add(add(v00, v01), add(v10, v11))
                if chunk > 0:
                    total = add(load(out, row * channels + c, nothing), total)
                store(out, row * channels + c, total)


@part(inline="always", error_model="numpy")
def _corners(
    table: Flat, locations: Flat, weights: Flat, first: int, level: int, count: int, rows: Flat, shares: Flat
) -> None:
    """Fill `rows` and `shares` with the four pixels around each of `count` samples from `first` and their weights,
    CHUNK apart. LLVM vectorises this loop."""
    one = weights.dtype.type(1)
    for k in range(count):
        width, start = at(table, level + CHUNK + k), at(table, level + 2 * CHUNK + k)
        x0, x1, left, right, _, _ = _axis(at(locations, 2 * (first + k)), width, one)
        y0, y1, top, bottom, _, _ = _axis(at(locations, 2 * (first + k) + 1), at(table, level + k), one)
        weight = at(weights, first + k)
        rows[k] = start + y0 * width + x0
        rows[CHUNK + k] = start + y0 * width + x1
        rows[2 * CHUNK + k] = start + y1 * width + x0
        rows[3 * CHUNK + k] = start + y1 * width + x1
        shares[k] = weight * top * left
        shares[CHUNK + k] = weight * top * right
        shares[2 * CHUNK + k] = weight * bottom * left
        shares[3 * CHUNK + k] = weight * bottom * right


@kernel(parallel=True, error_model="numpy")
def backward(
    grad: Flat,
    value: Flat,
    steps: Steps,
    table: Flat,
    locations: Flat,
    weights: Flat,
    sizes: Sizes,
    vector: np.ndarray,
    to_value: Flat,
    to_locations: Flat,
    to_weights: Flat,
) -> None:
    """Add to `to_value`, which has the memory order of `value`, and fill `to_locations` and `to_weights`.

    One thread processes a head of a batch item, so that the gradients of a pixel are added in the order of the queries.
    """
    batch, _, heads, _, _ = sizes
    for work in prange(batch * heads):
        b, h = work // heads, work % heads
        _scatter(
            grad,
            value,
            steps,
            table,
            locations,
            weights,
            sizes,
            to_value,
            to_locations,
            to_weights,
            b,
            h,
            zeros(vector),
        )


@part(error_model="numpy")
def _scatter(
    grad: Flat,
    value: Flat,
    steps: Steps,
    table: Flat,
    locations: Flat,
    weights: Flat,
    sizes: Sizes,
    to_value: Flat,
    to_locations: Flat,
    to_weights: Flat,
    b: int,
    h: int,
    nothing: Any,
) -> None:
    """Compute `backward` for one head of a batch item."""
    _, queries, heads, channels, samples = sizes
    rows, shares, dots = (
        np.empty(4 * CHUNK, np.int32),
        np.empty(4 * CHUNK, weights.dtype),
        np.empty(4 * CHUNK, weights.dtype),
    )
    origin, step = b * steps[0] + h * steps[1], steps[2]
    for q in range(queries):
        row = (b * queries + q) * heads + h
        for chunk in range(0, samples, CHUNK):
            count = min(CHUNK, samples - chunk)
            first = row * samples + chunk
            _corners(table, locations, weights, first, 3 * chunk, count, rows, shares)
            dots[:] = 0
            for c in range(0, channels, lanes(nothing)):
                g = load(grad, row * channels + c, nothing)
                for k in range(count):
                    for corner in range(k, k + 4 * CHUNK, CHUNK):
                        pixel = origin + rows[corner] * step + c
                        dots[corner] += dot(g, load(value, pixel, nothing))
                        store(to_value, pixel, fma(shares[corner], g, load(to_value, pixel, nothing)))
            _slopes(table, locations, weights, first, 3 * chunk, count, dots, to_locations, to_weights)


@part(inline="always", error_model="numpy")
def _slopes(
    table: Flat,
    locations: Flat,
    weights: Flat,
    first: int,
    level: int,
    count: int,
    dots: Flat,
    to_locations: Flat,
    to_weights: Flat,
) -> None:
    """Fill the gradients of the locations and weights of `count` samples from the dot products of the result's gradient
    with the four pixels."""
    one = weights.dtype.type(1)
    for k in range(count):
        height, width = at(table, level + k), at(table, level + CHUNK + k)
        _, _, left, right, in_left, in_right = _axis(at(locations, 2 * (first + k)), width, one)
        _, _, top, bottom, in_top, in_bottom = _axis(at(locations, 2 * (first + k) + 1), height, one)
        weight = at(weights, first + k)
        d00, d01, d10, d11 = dots[k], dots[CHUNK + k], dots[2 * CHUNK + k], dots[3 * CHUNK + k]
        column_left, column_right = top * d00 + bottom * d10, top * d01 + bottom * d11
        put(to_weights, first + k, left * column_left + right * column_right)
        put(to_locations, 2 * (first + k), weight * (one * width) * (in_right * column_right - in_left * column_left))
        difference = left * (in_bottom * d10 - in_top * d00) + right * (in_bottom * d11 - in_top * d01)
        put(to_locations, 2 * (first + k) + 1, weight * (one * height) * difference)
