"""Operator `three_interpolate` over kernels/three_interpolate.py: argument checks, dispatch by device, gradients,
registration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from g3d.kernels import three_interpolate as kernel
from g3d.ops.clouds import check_features, check_indices, check_together, computed
from g3d.ops.registry import Operator


def three_interpolate(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Interpolate features from three known points: sum over j of weights[n, j] * features[indices[n, j]].

    Args:
        features: (B, C, M) floating point, features of the known points.
        indices: (B, N, 3) int64, 0..M - 1, same device, as three_nn returns them.
        weights: (B, N, 3) floating point, same device, as interpolation_weights returns them.

    Returns:
        (B, C, N) in the dtype of `features`, computed in float32 or wider. Differentiable with respect to features (as
        published) and to weights. A CPU sums gradients in a fixed order; CUDA sums the gradient of the features with
        PyTorch's scatter_add, whose last bits differ from run to run.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: an index is out of range.

    Source: PointNet++ equation 2; semantics of erikwijmans/Pointnet2_PyTorch.
    """
    check_features("features", features, "(B, C, M)")
    if indices.dim() != 3 or indices.shape[2] != 3 or indices.dtype != torch.int64 or len(indices) != len(features):
        raise ValueError(
            f"indices: expected ({len(features)}, N, 3) int64, found {tuple(indices.shape)} {indices.dtype}"
        )
    if weights.shape != indices.shape or not weights.is_floating_point():
        raise ValueError(
            f"weights: expected {tuple(indices.shape)} floating point, found {tuple(weights.shape)} {weights.dtype}"
        )
    check_together("indices", indices, "features", features)
    check_together("weights", weights, "features", features)
    return _operator(features, indices, weights)


def _cpu(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    check_indices(indices, features.shape[2])
    source = computed(features)
    result = source.new_empty(*features.shape[:2], indices.shape[1])
    kernel.cpu(source.numpy(), indices.contiguous().numpy(), computed(weights).to(source.dtype).numpy(), result.numpy())
    return result.to(features.dtype)


def _cpu_backward(gradient: Tensor, features: Tensor, indices: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    check_indices(indices, features.shape[2])
    source, index = computed(features), indices.contiguous().numpy()
    upstream, weight = computed(gradient), computed(weights).to(source.dtype)
    of_features, of_weights = torch.empty_like(source), torch.empty_like(weight)
    kernel.cpu_backward_features(upstream.numpy(), index, weight.numpy(), of_features.numpy())
    kernel.cpu_backward_weights(upstream.numpy(), source.numpy(), index, of_weights.numpy())
    return of_features.to(features.dtype), of_weights.to(weights.dtype)


def _example() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return (
        torch.rand(2, 4, 20, generator=draw),
        torch.randint(0, 20, (2, 90, 3), generator=draw),
        torch.rand(2, 90, 3, generator=draw),
    )


def _backward_example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, indices, weights = _example()
    return kernel.reference(features, indices, weights), features, indices, weights


_operator = Operator(
    "three_interpolate",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.three_interpolate_cuda:three_interpolate",
    fake=lambda features, indices, weights: features.new_empty((*features.shape[:2], indices.shape[1])),
    example=_example,
)
_backward_operator = Operator(
    "three_interpolate_backward",
    reference=kernel.backward_reference,
    cpu=_cpu_backward,
    cuda=None,
    fake=lambda gradient, features, indices, weights: (
        features.new_empty(features.shape),
        weights.new_empty(weights.shape),
    ),
    example=_backward_example,
)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
    of_features, of_weights = _backward_operator(gradient, *ctx.saved_tensors)
    return of_features, None, of_weights


_backward_operator.refuse_gradient()
_operator.register_autograd(_backward, _setup_context)
