"""Overlap of boxes over kernels/box_iou.py (rotated boxes) and kernels/aligned_iou.py (axis-aligned boxes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import aligned_iou, box_iou
from g3d.ops.registry import Operator

Pairs = tuple[Tensor, Tensor]


def rotated_iou_bev(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Return the bird's-eye-view IoU of boxes, as rotated rectangles in the x-z plane.

    Args:
        first: (N, 7) floating point, x y z h w l rotation_y: bottom centre, height, width, length in metres, yaw in
            radians, camera frame (g3d/geometry/boxes.py).
        second: (M, 7), same dtype and device.
        pairs: two int64 tensors (P,), rows of `first` and rows of `second`: only these pairs are computed. None: all
            pairs are computed.

    Returns:
        (N, M), or (P,) for pairs, in the dtype of the input, 0..1; computed in float64. A box without extent overlaps
        nothing. Differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: a number is not finite, or a pair index is
            out of range.

    Source: the overlap of KITTI's object benchmark.
    """
    _check(first, second, pairs, 7)
    return _rotated(first, second, *(pairs or (None, None)), False)


def rotated_iou_3d(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Return the 3D IoU of boxes: the intersection is the bird's-eye-view overlap times that of the ranges [y - h, y].

    Arguments, result and errors are those of rotated_iou_bev. Convert boxes of the scene frame with
    `camera_from_scene_boxes` first.
    """
    _check(first, second, pairs, 7)
    return _rotated(first, second, *(pairs or (None, None)), True)


def axis_aligned_iou(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Return the IoU of image boxes (N, 4) and (M, 4), x1 y1 x2 y2: (N, M), or (P,) for `pairs` of rows.

    A box spans [x1, x2] x [y1, y2] (no pixel is added); a box with x2 <= x1 or y2 <= y1 overlaps nothing.
    Differentiable.

    Raises:
        ValueError: for the reasons that rotated_iou_bev lists.
    """
    _check(first, second, pairs, 4)
    return _aligned(first, second, *(pairs or (None, None)), False)


def axis_aligned_coverage(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Return the share of each box of `first` that a box of `second` covers, 0..1. Arguments and errors are those of
    axis_aligned_iou."""
    _check(first, second, pairs, 4)
    return _aligned(first, second, *(pairs or (None, None)), True)


def axis_aligned_iou_3d(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Return the 3D IoU of axis-aligned boxes (N, 6) and (M, 6): (N, M), or (P,) for `pairs` of rows.

    A box is x y z dx dy dz: its centre and its extents in metres, scene frame. A box with an extent that is not above 0
    overlaps nothing. Differentiable.

    Raises:
        ValueError: for the reasons that rotated_iou_bev lists.

    Source: the overlap in the tables of ScanRefer and Nr3D; daveredrum/ScanRefer adds 1e-8 to the union, which g3d does
        not need.
    """
    _check(first, second, pairs, 6)
    return _aligned(scene_box_bounds(first), scene_box_bounds(second), *(pairs or (None, None)), False).to(first.dtype)


def scene_box_bounds(boxes: Tensor) -> Tensor:
    """Convert boxes (N, 6) from centre and extents to minimum and maximum x y z, (N, 6) float64, in which halves of
    float32 numbers are exact."""
    centre, size = boxes.double().chunk(2, -1)
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def camera_from_scene_boxes(boxes: Tensor) -> Tensor:
    """Convert boxes of the scene frame to the camera-frame rows that the rotated overlaps take.

    Args:
        boxes: (N, 7) x y z dx dy dz heading: centre, extents in metres, and the turn about z (up) from +x towards +y in
            radians.

    Returns:
        (N, 7) x y z h w l rotation_y, camera frame, in the dtype of the input: its x is the scene's x, its z the
        scene's y, its y points down, and its yaw turns the other way.
    """
    x, y, z, dx, dy, dz, heading = boxes.unbind(-1)
    return torch.stack([x, dz / 2 - z, y, dz, dy, dx, -heading], -1)


def _select(first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the boxes to compare by broadcasting: (N, 1, K) and (1, M, K), or (P, K) twice."""
    return (first[:, None], second[None]) if rows is None or columns is None else (first[rows], second[columns])


def _rotated_reference(
    first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None, volume: bool
) -> Tensor:
    return box_iou.reference(*_select(first, second, rows, columns), volume)


def _aligned_reference(
    first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None, coverage: bool
) -> Tensor:
    return aligned_iou.reference(*_select(first, second, rows, columns), coverage)


def _cpu_path(matrix: Callable[..., None], by_pairs: Callable[..., None]) -> Callable[..., Tensor]:
    def cpu(first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None, option: bool) -> Tensor:
        a, b = (boxes.double().contiguous().numpy() for boxes in (first, second))
        if rows is None or columns is None:
            out = torch.empty(len(first), len(second), dtype=torch.float64)
            matrix(a, b, option, out.numpy())
        else:
            out = torch.empty(len(rows), dtype=torch.float64)
            by_pairs(a, b, rows.contiguous().numpy(), columns.contiguous().numpy(), option, out.numpy())
        return out.to(first.dtype)

    return cpu


def _fake(first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None, option: bool) -> Tensor:
    return first.new_empty((first.shape[0], second.shape[0]) if rows is None else (rows.shape[0],))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    first, second, rows, columns, ctx.option = inputs
    ctx.save_for_backward(first, second, rows, columns, output)


def _gathered(slope: Tensor, grad: Tensor, boxes: Tensor, rows: Tensor | None, over: int) -> Tensor:
    """Return the gradient of `boxes`: slopes times the gradient of the overlaps, summed over the other boxes or over
    each box's pairs."""
    found = slope * grad[..., None].double()
    total = found.sum(over) if rows is None else found.new_zeros(boxes.shape).index_add(0, rows, found)
    return total.to(boxes.dtype)


def _rotated_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    first, second, rows, columns, iou = ctx.saved_tensors
    a, b = _select(first.double(), second.double(), rows, columns)
    by_first = by_second = None
    if ctx.needs_input_grad[0]:
        by_first = _gathered(box_iou.gradient(a, b, iou.double(), ctx.option), grad, first, rows, 1)
    if ctx.needs_input_grad[1]:
        by_second = _gathered(box_iou.gradient(b, a, iou.double(), ctx.option), grad, second, columns, 0)
    return by_first, by_second, None, None, None


def _aligned_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    first, second, rows, columns, _ = ctx.saved_tensors
    slopes = aligned_iou.gradient(*_select(first.double(), second.double(), rows, columns), ctx.option)
    return _gathered(slopes[0], grad, first, rows, 1), _gathered(slopes[1], grad, second, columns, 0), None, None, None


def _rotated_example() -> tuple[Tensor, Tensor, None, None, bool]:
    boxes = torch.rand(16, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 0.5
    return boxes, boxes[:9], None, None, True


def _aligned_example() -> tuple[Tensor, Tensor, Tensor, Tensor, bool]:
    low = torch.rand(16, 3, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([low, low + 0.5], 1)
    return boxes, boxes[:9], torch.arange(16), torch.arange(16) % 9, False


_rotated = Operator(
    "rotated_iou",
    reference=_rotated_reference,
    cpu=_cpu_path(box_iou.cpu_matrix, box_iou.cpu_pairs),
    cuda="g3d.kernels.box_iou_cuda:rotated_iou",
    fake=_fake,
    example=_rotated_example,
)
_rotated.register_autograd(_rotated_backward, _save)
_aligned = Operator(
    "aligned_iou",
    reference=_aligned_reference,
    cpu=_cpu_path(aligned_iou.cpu_matrix, aligned_iou.cpu_pairs),
    cuda=None,
    fake=_fake,
    example=_aligned_example,
)
_aligned.register_autograd(_aligned_backward, _save)


def _check(first: Tensor, second: Tensor, pairs: Pairs | None, columns: int) -> None:
    for name, boxes in (("first", first), ("second", second)):
        check_boxes(name, boxes, columns)
    if first.dtype != second.dtype or first.device != second.device:
        raise ValueError(
            f"second: expected {first.dtype} on {first.device} as first, found {second.dtype} on {second.device}"
        )
    if pairs is None:
        return
    for name, rows, count in (("pairs[0]", pairs[0], len(first)), ("pairs[1]", pairs[1], len(second))):
        if rows.dtype != torch.int64 or rows.dim() != 1 or rows.device != first.device or len(rows) != len(pairs[0]):
            wanted = f"({len(pairs[0])},) int64 on {first.device}"
            raise ValueError(f"{name}: expected {wanted}, found {tuple(rows.shape)} {rows.dtype} on {rows.device}")
        if rows.device.type == "cpu" and len(rows) and not torch.compiler.is_compiling():
            least, most = int(rows.numpy().min()), int(rows.numpy().max())
            if least < 0 or most >= count:
                raise ValueError(f"{name}: expected rows 0..{count - 1}, found {least}..{most}")


def check_boxes(name: str, boxes: Tensor, columns: int) -> None:
    """Raise ValueError unless `boxes` is (N, columns) floating point and, on a CPU, finite."""
    if boxes.dim() != 2 or boxes.shape[1] != columns or not boxes.is_floating_point():
        raise ValueError(f"{name}: expected (N, {columns}) floating point, found {tuple(boxes.shape)} {boxes.dtype}")
    if boxes.device.type != "cpu" or torch.compiler.is_compiling():
        return
    bad = ~np.isfinite(
        boxes.detach().float().numpy() if boxes.dtype in (torch.bfloat16, torch.float16) else boxes.detach().numpy()
    )
    if bad.any():
        row = int(bad.any(1).argmax())
        raise ValueError(f"{name}: row {row} is not finite: {boxes[row].tolist()}")
