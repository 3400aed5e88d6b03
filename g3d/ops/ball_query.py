"""Operator `ball_query` over kernels/ball_query.py: argument checks, dense and ragged batches, registration."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import ball_query as kernel
from g3d.ops.clouds import check_finite, check_offsets, check_points, check_rise, check_together, dense_offsets
from g3d.ops.registry import Operator


def ball_query(
    points: Tensor,
    centres: Tensor,
    radius: float,
    k: int,
    offsets: Tensor | None = None,
    centre_offsets: Tensor | None = None,
    pad: Literal["first", "none"] = "first",
) -> Tensor:
    """Return the indices of the first `k` points closer than `radius` to each centre.

    Args:
        points: dense (B, N, 3) or, with offsets, ragged (T, 3), float32, metres.
        centres: dense (B, M, 3) or ragged (Q, 3), float32, same frame and device.
        radius: metres, above 0.
        k: slots per centre, at least 1.
        offsets: (B + 1,) int64, the rows at which the ragged clouds begin and end.
        centre_offsets: (B + 1,) int64, the same for the centres.
        pad: content of the slots after the last hit. "first": the first hit, or the cloud's first point if there is no
            hit; "none": -1.

    Returns:
        (B, M, k) int64 indices into each cloud of a dense batch, or (Q, k) rows of `points` for a ragged batch. Not
        differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; a cloud is empty and `pad` is "first"; on a CPU also: a
            coordinate is not finite.

    Source: PointNet++ section 3.3; semantics of erikwijmans/Pointnet2_PyTorch, and of facebookresearch/pytorch3d for
        pad "none".
    """
    if not radius > 0:
        raise ValueError(f"radius: expected above 0, found {radius}")
    if k < 1:
        raise ValueError(f"k: expected at least 1, found {k}")
    if pad not in ("first", "none"):
        raise ValueError(f"pad: expected first or none, found {pad!r}")
    check_together("centres", centres, "points", points)
    points, centres = points.detach(), centres.detach()
    if offsets is None and centre_offsets is None:
        return _dense(points, centres, radius, k, pad == "first")
    if offsets is None or centre_offsets is None:
        raise ValueError(
            f"{'offsets' if offsets is None else 'centre_offsets'}: expected for ragged clouds, found None"
        )
    check_points("points", points, "(T, 3)")
    check_points("centres", centres, "(Q, 3)")
    check_offsets("offsets", offsets, points)
    check_offsets("centre_offsets", centre_offsets, points)
    if len(offsets) != len(centre_offsets):
        raise ValueError(f"centre_offsets: expected ({len(offsets)},) as offsets, found ({len(centre_offsets)},)")
    return _operator(points, offsets, centres, centre_offsets, radius, k, pad == "first")


def _dense(points: Tensor, centres: Tensor, radius: float, k: int, repeat: bool) -> Tensor:
    check_points("points", points, "(B, N, 3)")
    check_points("centres", centres, "(B, M, 3)")
    (clouds, count), (centre_clouds, centre_count) = points.shape[:2], centres.shape[:2]
    if repeat and count == 0:
        raise ValueError(f"points: expected (B, N > 0, 3), found {tuple(points.shape)}")
    if clouds != centre_clouds:
        raise ValueError(f"centres: expected ({clouds}, M, 3), found {tuple(centres.shape)}")
    begins, centre_begins = (
        dense_offsets(clouds, count, points.device),
        dense_offsets(clouds, centre_count, points.device),
    )
    rows = _operator(points.reshape(-1, 3), begins, centres.reshape(-1, 3), centre_begins, radius, k, repeat)
    rows = rows.view(clouds, centre_count, k)
    if clouds == 1:
        return rows
    indices = rows - begins[:-1, None, None]
    return indices if repeat else torch.where(rows < 0, -1, indices)


def _cpu(
    points: Tensor, offsets: Tensor, centres: Tensor, centre_offsets: Tensor, radius: float, k: int, repeat: bool
) -> Tensor:
    check_rise("offsets", offsets, len(points), least=int(repeat))
    check_rise("centre_offsets", centre_offsets, len(centres))
    check_finite("points", points)
    check_finite("centres", centres)
    found = torch.empty(len(centres), k, dtype=torch.int64)
    arrays = [tensor.contiguous().numpy() for tensor in (points, offsets, centres, centre_offsets)]
    kernel.cpu(*arrays, np.float32(radius), repeat, found.numpy())
    return found


def _example() -> tuple[Tensor, Tensor, Tensor, Tensor, float, int, bool]:
    points = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    return points, torch.tensor([0, 150, 400]), points[140:158], torch.tensor([0, 10, 18]), 0.2, 8, True


_operator = Operator(
    "ball_query",
    reference=kernel.reference,
    cpu=_cpu,
    cuda="g3d.kernels.ball_query_cuda:ball_query",
    fake=lambda points, offsets, centres, centre_offsets, radius, k, repeat: centres.new_empty(
        (centres.shape[0], k), dtype=torch.int64
    ),
    example=_example,
)
