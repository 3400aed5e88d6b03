"""`ball_query`: the face of kernels/ball_query.py. Checks, dispatch by device, registration."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import ball_query as kernel
from g3d.ops.registry import Operator


def ball_query(points: Tensor, centres: Tensor, radius: float, k: int) -> Tensor:
    """Indices of the first `k` points closer than `radius` to each centre.

    Args:
        points: (B, N, 3) float32, metres.
        centres: (B, M, 3) float32, same frame and device.
        radius: metres, above 0.
        k: slots per centre, at least 1.

    Returns:
        (B, M, k) int64. Slots beyond the last hit repeat the first; without a hit all are 0.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; N is 0.

    Source: PointNet++ section 3.3; semantics of erikwijmans/Pointnet2_PyTorch.
    """
    if points.dim() != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f"points: expected (B, N > 0, 3), found {tuple(points.shape)}")
    if centres.shape[::2] != points.shape[::2]:
        raise ValueError(f"centres: expected ({points.shape[0]}, M, 3), found {tuple(centres.shape)}")
    return _operator(points, centres, radius, k)


def _cpu(points: Tensor, centres: Tensor, radius: float, k: int) -> Tensor:
    found = torch.zeros(*centres.shape[:2], k, dtype=torch.int64)
    kernel.cpu(points.contiguous().numpy(), centres.contiguous().numpy(), np.float32(radius * radius), found.numpy())
    return found


def _example() -> tuple[Tensor, Tensor, float, int]:
    points = torch.rand(2, 200, 3, generator=torch.Generator().manual_seed(0))
    return points, points[:, :9], 0.2, 8


_operator = Operator(
    "ball_query",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.ball_query_cuda:ball_query",
    fake=lambda points, centres, radius, k: centres.new_empty((*centres.shape[:2], k), dtype=torch.int64),
    example=_example,
)
