"""Operators `group_points` and `gather_points` over kernels/group_points.py: argument checks, dispatch by device,
gradient, registration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from g3d.kernels import group_points as kernel
from g3d.ops.clouds import check_features, check_indices, check_together, computed
from g3d.ops.registry import Operator


def group_points(features: Tensor, indices: Tensor) -> Tensor:
    """Gather the features of each centre's neighbours.

    Args:
        features: (B, C, N) floating point.
        indices: (B, M, K) int64, 0..N - 1, same device, as ball_query returns them.

    Returns:
        (B, C, M, K) in the dtype of `features`. Differentiable with respect to `features`: the gradients of a point
        that is chosen several times are summed. A CPU sums them in index order; CUDA uses PyTorch's scatter_add, whose
        last bits differ from run to run.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: an index is out of range.

    Source: semantics of erikwijmans/Pointnet2_PyTorch.
    """
    _check(features, indices, "(B, M, K)")
    return _operator(features, indices.flatten(1)).view(*features.shape[:2], *indices.shape[1:])


def gather_points(features: Tensor, indices: Tensor) -> Tensor:
    """Gather the features (B, C, N) at indices (B, M) int64, as furthest_point_sample returns them: (B, C, M).

    Dtypes, gradient, errors and source are those of group_points.
    """
    _check(features, indices, "(B, M)")
    return _operator(features, indices)


def _check(features: Tensor, indices: Tensor, shape: str) -> None:
    check_features("features", features, "(B, C, N)")
    if indices.dim() != shape.count(",") + 1 or indices.dtype != torch.int64 or len(indices) != len(features):
        wanted = shape.replace("B", str(len(features)))
        raise ValueError(f"indices: expected {wanted} int64, found {tuple(indices.shape)} {indices.dtype}")
    check_together("indices", indices, "features", features)


def _cpu(features: Tensor, indices: Tensor) -> Tensor:
    check_indices(indices, features.shape[2])
    source = computed(features)
    found = source.new_empty(*features.shape[:2], indices.shape[1])
    kernel.cpu(source.numpy(), indices.contiguous().numpy(), found.numpy())
    return found.to(features.dtype)


def _cpu_backward(gradient: Tensor, indices: Tensor, count: int) -> Tensor:
    check_indices(indices, count)
    source = computed(gradient)
    features = source.new_empty(*gradient.shape[:2], count)
    kernel.cpu_backward(source.numpy(), indices.contiguous().numpy(), features.numpy())
    return features.to(gradient.dtype)


def _example() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 50, generator=draw), torch.randint(0, 50, (2, 80), generator=draw)


def _backward_example() -> tuple[Tensor, Tensor, int]:
    features, indices = _example()
    return kernel.reference(features, indices), indices, features.shape[2]


_operator = Operator(
    "group_points",
    reference=kernel.reference,
    cpu=_cpu,
    cuda=None,
    fake=lambda features, indices: features.new_empty((*features.shape[:2], indices.shape[1])),
    example=_example,
)
_backward_operator = Operator(
    "group_points_backward",
    reference=kernel.backward_reference,
    cpu=_cpu_backward,
    cuda=None,
    fake=lambda gradient, indices, count: gradient.new_empty((*gradient.shape[:2], count)),
    example=_backward_example,
)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    features, indices = inputs
    ctx.save_for_backward(indices)
    ctx.count = features.shape[2]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return _backward_operator(gradient, ctx.saved_tensors[0], ctx.count), None


_backward_operator.refuse_gradient()
_operator.register_autograd(_backward, _setup_context)
