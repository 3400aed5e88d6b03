"""Operator `ms_deform_attn` over kernels/ms_deform_attn.py: argument checks, dispatch by device, registration and
gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import ms_deform_attn as kernel
from g3d.ops.registry import Operator


def ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Sum weighted bilinear samples of multi-scale feature maps, for each query and head.

    Args:
        value: (B, S, H, D) floating point: the concatenated row-major maps of all levels, split into H heads.
        shapes: height and width of each level, as numbers; the products height * width sum to S.
        locations: (B, Q, H, L, P, 2), x and y in 0..1 over each level's map. A location that is outside the map or not
            finite samples 0.
        weights: (B, Q, H, L, P).

    Returns:
        (B, Q, H * D) in the dtype of `value`. The result and the gradients of locations and weights are computed in
        float32 or wider. On CUDA the gradient of `value` is summed by atomic additions, as in the published operator,
        so its last bits vary between runs. On a CPU it is deterministic for any number of threads.

    Raises:
        ValueError: shapes, dtypes or devices do not match.

    Source: Deformable DETR equation 2; semantics of fundamentalvision/Deformable-DETR.
    """
    _check(value, shapes, locations, weights)
    dtype = torch.promote_types(value.dtype, torch.float32)
    return _forward(value, [size for shape in shapes for size in shape], locations.to(dtype), weights.to(dtype))


def _check(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> None:
    if value.dim() != 4 or value.shape[3] == 0:
        raise ValueError(f"value: expected (B, S, H, D > 0), found {tuple(value.shape)}")
    if len(shapes) == 0 or any(height < 1 or width < 1 for height, width in shapes):
        raise ValueError(f"shapes: expected at least one height and width above 0, found {list(shapes)}")
    positions = sum(height * width for height, width in shapes)
    if value.shape[1] != positions:
        raise ValueError(
            f"value: expected {positions} positions as the levels {list(shapes)} have, found {value.shape[1]}"
        )
    if positions >= 2**31 or max(max(shape) for shape in shapes) > 2**24:
        raise ValueError(f"shapes: more than 2^31 positions, or a side above 2^24, cannot be indexed: {list(shapes)}")
    batch, _, heads, _ = value.shape
    size = tuple(locations.shape)
    if locations.dim() != 6 or (size[0], *size[2:4], size[5]) != (batch, heads, len(shapes), 2):
        raise ValueError(f"locations: expected ({batch}, Q, {heads}, {len(shapes)}, P, 2), found {size}")
    if weights.shape != locations.shape[:-1]:
        raise ValueError(f"weights: expected {tuple(locations.shape[:-1])}, found {tuple(weights.shape)}")
    for name, tensor in (("value", value), ("locations", locations), ("weights", weights)):
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: expected a floating dtype, found {tensor.dtype}")
        if tensor.device != value.device:
            raise ValueError(f"{name}: expected on {value.device} as value, found on {tensor.device}")


def _cpu(value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, channels = value.shape
    out = torch.empty(batch, locations.shape[1], heads * channels, dtype=weights.dtype)
    maps = _arranged(value, weights)
    kernel.forward(
        _memory(maps), _steps(maps), *_samples(shapes, locations, weights), *_sizes(maps, locations), _flat(out)
    )
    return out.to(value.dtype)


def _cpu_backward(
    grad: Tensor, value: Tensor, shapes: Sequence[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    maps = _arranged(value, weights)
    to_value, to_locations, to_weights = (
        torch.zeros_like(maps),
        locations.new_empty(locations.shape),
        weights.new_empty(weights.shape),
    )
    kernel.backward(
        _flat(grad.to(weights.dtype)),
        _memory(maps),
        _steps(maps),
        *_samples(shapes, locations, weights),
        *_sizes(maps, locations),
        _memory(to_value),
        _flat(to_locations),
        _flat(to_weights),
    )
    return to_value.to(value.dtype).contiguous(), to_locations, to_weights


def _arranged(value: Tensor, weights: Tensor) -> Tensor:
    """Return `value` in the dtype of the weights. If there are many samples, store it head by head, so that the maps of
    one head fit in the cache."""
    if weights[:1, :, :1].numel() < value.shape[1]:
        return value.to(weights.dtype).contiguous()
    batch, positions, heads, channels = value.shape
    return torch.empty(batch, heads, positions, channels, dtype=weights.dtype).transpose(1, 2).copy_(value)


def _steps(maps: Tensor) -> tuple[int, int, int]:
    """Return the strides, in elements, of the batch, head and position dimensions."""
    return maps.stride(0), maps.stride(2), maps.stride(1)


def _memory(maps: Tensor) -> np.ndarray:
    """Return the elements of a dense tensor as a flat array in memory order."""
    return maps.as_strided((maps.numel(),), (1,)).numpy()


def _flat(x: Tensor) -> np.ndarray:
    return x.contiguous().view(-1).numpy()


def _samples(shapes: Sequence[int], locations: Tensor, weights: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the kernels' level table, the flat locations and the flat weights."""
    return kernel.level_table(shapes, locations.shape[4]), _flat(locations), _flat(weights)


def _sizes(maps: Tensor, locations: Tensor) -> tuple[tuple[int, int, int, int, int], np.ndarray]:
    """Return (B, Q, H, D, K) with K = L * P, and the number of channels that the kernels process at once."""
    batch, queries, heads, levels, points, _ = locations.shape
    channels = maps.shape[3]
    return (batch, queries, heads, channels, levels * points), kernel.vector_for(channels, maps.numpy().dtype.type)


def _example() -> tuple[Tensor, list[int], Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    value = torch.randn(2, 6 * 9 + 3 * 4, 2, 8, generator=draw)
    locations = torch.rand(2, 30, 2, 2, 4, 2, generator=draw) * 1.4 - 0.2
    return value, [6, 9, 3, 4], locations, torch.rand(2, 30, 2, 2, 4, generator=draw)


def _backward_example() -> tuple[Tensor, Tensor, list[int], Tensor, Tensor]:
    return torch.randn(2, 30, 16, generator=torch.Generator().manual_seed(1)), *_example()


_forward = Operator(
    "ms_deform_attn",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.ms_deform_attn_cuda:ms_deform_attn",
    fake=lambda value, shapes, locations, weights: value.new_empty(
        (*locations.shape[:2], value.shape[2] * value.shape[3])
    ),
    example=_example,
)
_backward = Operator(
    "ms_deform_attn_backward",
    reference=kernel.reference_backward,
    cpu=_cpu_backward,
    cuda="g3d.kernels.ms_deform_attn_cuda:ms_deform_attn_backward",
    fake=lambda grad, value, shapes, locations, weights: (
        value.new_empty(value.shape),
        locations.new_empty(locations.shape),
        weights.new_empty(weights.shape),
    ),
    example=_backward_example,
)


def _setup(ctx: Any, inputs: tuple[Tensor, list[int], Tensor, Tensor], output: Tensor) -> None:
    value, ctx.shapes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
    value, locations, weights = ctx.saved_tensors
    to_value, to_locations, to_weights = _backward(grad, value, ctx.shapes, locations, weights)
    return to_value, None, to_locations, to_weights


_backward.refuse_gradient()
_forward.register_autograd(_differentiate, _setup)
