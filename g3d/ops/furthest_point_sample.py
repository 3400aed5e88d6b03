"""Operator `furthest_point_sample` over kernels/furthest_point_sample.py: argument checks, dense and ragged batches,
registration."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.kernels import furthest_point_sample as kernel
from g3d.kernels import morton
from g3d.ops.clouds import check_finite, check_offsets, check_points, check_rise, dense_offsets
from g3d.ops.registry import Operator


def furthest_point_sample(points: Tensor, k: int, offsets: Tensor | None = None, skip_origin: bool = False) -> Tensor:
    """Sample `k` points of each cloud, starting at index 0; each next point is the furthest from those already chosen.

    Args:
        points: dense (B, N, 3) or, with offsets, ragged (T, 3), float32, metres, any frame.
        k: samples per cloud, at least 1. If `k` exceeds the number of points, indices repeat.
        offsets: (B + 1,) int64, the rows at which ragged clouds begin and end; each cloud has at least one point.
        skip_origin: apply the published operator's rule that points with |p|^2 <= 1e-3 are never chosen, except index
            0.

    Returns:
        (B, k) int64: indices into each cloud of a dense batch, or rows of `points` for a ragged batch. Ties are broken
        as in the published operator (kernels/furthest_point_sample.py). Not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; a cloud is empty; on a CPU also: a coordinate is not finite.

    Source: PointNet++ section 3.2; semantics of erikwijmans/Pointnet2_PyTorch.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, found {k}")
    if offsets is not None:
        check_points("points", points, "(T, 3)")
        check_offsets("offsets", offsets, points)
        return _operator(points.detach(), offsets, k, skip_origin)
    check_points("points", points, "(B, N, 3)")
    clouds, count = points.shape[:2]
    if count == 0:
        raise ValueError(f"points: expected (B, N > 0, 3), found {tuple(points.shape)}")
    begins = dense_offsets(clouds, count, points.device)
    return _operator(points.detach().reshape(-1, 3), begins, k, skip_origin) - begins[:-1, None]


def _cpu(points: Tensor, offsets: Tensor, k: int, skip_origin: bool) -> Tensor:
    check_rise("offsets", offsets, len(points), least=1)
    check_finite("points", points)
    rows, begins = points.contiguous().numpy(), offsets.contiguous().numpy()
    order, chosen = torch.empty(len(points), dtype=torch.int64), torch.empty(len(offsets) - 1, k, dtype=torch.int64)
    one = len(begins) == 2
    (morton.order.serial if one else morton.order)(rows, begins, order.numpy())
    (kernel.cpu.serial if one else kernel.cpu)(rows, begins, order.numpy(), skip_origin, chosen.numpy())
    return chosen


def _example() -> tuple[Tensor, Tensor, int, bool]:
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    return points, torch.tensor([0, 20, 300]), 40, True


_operator = Operator(
    "furthest_point_sample",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.furthest_point_sample_cuda:furthest_point_sample",
    fake=lambda points, offsets, k, skip_origin: points.new_empty((offsets.shape[0] - 1, k), dtype=torch.int64),
    example=_example,
)
