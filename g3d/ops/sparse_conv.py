"""Sparse convolution operator over kernels/sparse_conv.py: argument checks, dispatch by device, registration and
gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels import sparse_conv as kernel
from g3d.ops.registry import Operator
from g3d.ops.sparse_rules import Rules, strided_rules

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def sparse_conv(features: Tensor, weight: Tensor, rules: Rules) -> Tensor:
    """Convolve the rows of a sparse grid: out[o] = sum over offsets k of features[neighbour of o at k] @ weight[k].

    Args:
        features: (V_in, C_in) floating point.
        weight: (K, C_in, C_out), same dtype and device; under autocast both are cast.
        rules: the rules of a submanifold or strided convolution, or the inverse of such rules.

    Returns:
        (V_out, C_out). The row of a site that no input reaches is exactly 0. Half precision is summed in float32.

    Raises:
        ValueError: shapes, dtypes or devices do not match the rules.

    Source: Graham et al. 2018; semantics of traveller59/spconv: cross-correlation, no bias.
    """
    if torch.is_autocast_enabled(features.device.type):
        dtype = torch.get_autocast_dtype(features.device.type)
        features, weight = features.to(dtype), weight.to(dtype)
    offsets, rows = len(rules.neighbours), len(rules.back_order)
    if features.dim() != 2 or features.shape[0] != rows or features.dtype not in _DTYPES:
        raise ValueError(
            f"features: expected floating point ({rows}, C_in), found {features.dtype} {tuple(features.shape)}"
        )
    if weight.dim() != 3 or weight.shape[:2] != (offsets, features.shape[1]) or weight.dtype != features.dtype:
        expected = f"{features.dtype} ({offsets}, {features.shape[1]}, C_out)"
        raise ValueError(f"weight: expected {expected}, found {weight.dtype} {tuple(weight.shape)}")
    if not features.device == weight.device == rules.order.device:
        raise ValueError(
            f"weight and rules: expected on {features.device}, found on {weight.device} and {rules.order.device}"
        )
    return _operator(features, weight, *rules)


def _cpu(
    features: Tensor,
    weight: Tensor,
    neighbours: Tensor,
    order: Tensor,
    back_neighbours: Tensor,
    back_order: Tensor,
    mirrored: bool,
) -> Tensor:
    if (
        features.dtype == torch.float64 or 0 in features.shape or 0 in weight.shape
    ):  # double precision is used only to check gradients
        return kernel.reference(features, weight, neighbours, order, back_neighbours, back_order, mirrored)
    blocks = -(-weight.shape[2] // kernel.COLUMNS)
    filled = F.pad(weight.float(), (0, blocks * kernel.COLUMNS - weight.shape[2]))
    packed = filled.view(*weight.shape[:2], blocks, kernel.COLUMNS).transpose(1, 2).contiguous()
    out = torch.empty(len(order), weight.shape[2])
    x, table, rows = features.float().contiguous(), neighbours.contiguous(), order.contiguous()
    kernel.cpu(x.numpy(), packed.numpy(), table.numpy(), rows.numpy(), out.numpy())
    return out.to(features.dtype)


def _weight_gradient_cpu(features: Tensor, gradient: Tensor, neighbours: Tensor, order: Tensor) -> Tensor:
    if features.dtype == torch.float64 or 0 in features.shape or 0 in gradient.shape:
        return kernel.weight_gradient_reference(features, gradient, neighbours, order)
    x, g = _filled(features, kernel.ROWS), _filled(gradient, kernel.COLUMNS)
    chunk = max(4096, -(-len(order) // 64))  # depends on the size alone, so the sum does not depend on the thread count
    chunks, offsets = -(-len(order) // chunk), len(neighbours)
    group = offsets if chunks >= 8 else -(-offsets // 4)  # with few chunks, also divide the work by offsets
    partial = torch.empty(chunks, offsets, x.shape[1], g.shape[1])
    table, rows = neighbours.contiguous(), order.contiguous()
    kernel.weight_gradient(x.numpy(), g.numpy(), table.numpy(), rows.numpy(), chunk, group, partial.numpy())
    return partial.sum(0)[:, : features.shape[1], : gradient.shape[1]].to(features.dtype).contiguous()


def _filled(rows: Tensor, multiple: int) -> Tensor:
    """Return the rows in float32, with the channels zero-padded to a multiple of `multiple`."""
    missing = -rows.shape[1] % multiple
    return (F.pad(rows.float(), (0, missing)) if missing else rows.float()).contiguous()


def _example() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, bool]:
    generator = torch.Generator().manual_seed(0)
    sites = torch.randint(0, 8, (200, 4), generator=generator, dtype=torch.int32).unique(dim=0)
    rules = strided_rules(sites, (8, 8, 8))[1]
    return torch.rand(len(sites), 5, generator=generator), torch.rand(8, 5, 40, generator=generator), *rules


def _gradient_example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, weight, neighbours, order = _example()[:4]
    return (
        features,
        torch.rand(len(order), weight.shape[2], generator=torch.Generator().manual_seed(1)),
        neighbours,
        order,
    )


_operator = Operator(
    "sparse_conv",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.sparse_conv_cuda:sparse_conv",
    fake=lambda features, weight, neighbours, order, *rest: features.new_empty(order.shape[0], weight.shape[2]),
    example=_example,
)
_weight_gradient = Operator(
    "sparse_conv_weight_gradient",
    reference=kernel.weight_gradient_reference,
    cpu=_weight_gradient_cpu,
    cuda="g3d.kernels.sparse_conv_cuda:weight_gradient",
    fake=lambda features, gradient, neighbours, order: features.new_empty(
        neighbours.shape[0], features.shape[1], gradient.shape[1]
    ),
    example=_gradient_example,
)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.mirrored = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    features, weight, neighbours, order, back_neighbours, back_order = ctx.saved_tensors
    to_features = to_weight = None
    if ctx.needs_input_grad[0]:  # the inverse convolution with transposed weights
        matrices = (weight.flip(0) if ctx.mirrored else weight).transpose(1, 2)
        to_features = _operator(gradient, matrices, back_neighbours, back_order, neighbours, order, ctx.mirrored)
    if ctx.needs_input_grad[1]:
        to_weight = _weight_gradient(features, gradient, neighbours, order)
    return to_features, to_weight, None, None, None, None, None


_weight_gradient.refuse_gradient()
_operator.register_autograd(_backward, _setup)
