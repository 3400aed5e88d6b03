"""Operator `three_nn` over kernels/three_nn.py: argument checks, dispatch by device, registration; and
`interpolation_weights`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import morton
from g3d.kernels import three_nn as kernel
from g3d.ops.clouds import check_finite, check_points, check_together, dense_offsets
from g3d.ops.registry import Operator


def three_nn(points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Find the three known points nearest to each point.

    Args:
        points: (B, N, 3) float32, metres.
        known: (B, M, 3) float32, same frame and device.

    Returns:
        distances (B, N, 3) float32, metres, ascending, and indices (B, N, 3) int64 into `known`. At equal distances the
        lowest index comes first; if M < 3, the missing entries have distance inf and index 0. Not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: a coordinate is not finite.

    Source: PointNet++ section 3.4; semantics of erikwijmans/Pointnet2_PyTorch.
    """
    check_points("points", points, "(B, N, 3)")
    check_points("known", known, "(B, M, 3)")
    check_together("known", known, "points", points)
    if len(known) != len(points):
        raise ValueError(f"known: expected ({len(points)}, M, 3), found {tuple(known.shape)}")
    distances, indices = _operator(points.detach(), known.detach())
    return distances, indices


def interpolation_weights(distances: Tensor) -> Tensor:
    """Return inverse-distance weights of neighbours: 1 / (d + 1e-8), normalised to sum 1 over the last dimension.

    Args:
        distances: (..., K) floating point, metres, at least one of each K finite; an infinite distance gets weight 0.

    Source: PointNet++ equation 2 with p = 1, as published by erikwijmans/Pointnet2_PyTorch.
    """
    weights = 1 / (distances + 1e-8)
    return weights / weights.sum(-1, keepdim=True)


def _cpu(points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    check_finite("points", points)
    check_finite("known", known)
    distances, indices = torch.empty(points.shape), torch.empty(points.shape, dtype=torch.int64)
    if points.numel():
        arrays = (*_ordered(points), *_ordered(known))
        kernel.cpu(*arrays, len(points), distances.view(-1, 3).numpy(), indices.view(-1, 3).numpy())
    return distances, indices


def _ordered(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows (B * N, 3) and their Morton order cloud by cloud, (B * N,) int64."""
    rows, order = points.contiguous().view(-1, 3).numpy(), np.empty(points.numel() // 3, np.int64)
    sort = morton.order.serial if len(points) == 1 else morton.order
    sort(rows, dense_offsets(points.shape[0], points.shape[1], points.device).numpy(), order)
    return rows, order


def _example() -> tuple[Tensor, Tensor]:
    points = torch.rand(2, 200, 3, generator=torch.Generator().manual_seed(0))
    return points, points[:, :40] + 0.01


_operator = Operator(
    "three_nn",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.three_nn_cuda:three_nn",
    fake=lambda points, known: (points.new_empty(points.shape), points.new_empty(points.shape, dtype=torch.int64)),
    example=_example,
)
