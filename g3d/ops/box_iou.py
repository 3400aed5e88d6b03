"""`rotated_iou_bev`, `rotated_iou_3d`: the face of kernels/box_iou.py; beside them the overlaps of axis-aligned boxes of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.kernels import box_iou as kernel

Pairs = tuple[Tensor, Tensor]


def rotated_iou_bev(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Intersection over union of boxes seen from above, as rotated rectangles in the x-z plane.

    Args:
        first: (N, 7) float32 or float64, x y z h w l rotation_y: bottom centre, height, width, length in metres, yaw in radians,
            camera frame (g3d/geometry/boxes.py).
        second: (M, 7), same dtype and device.
        pairs: two int64 tensors (P,), rows of `first` and rows of `second`: only these pairs are computed. None computes all.

    Returns:
        (N, M), or (P,) for pairs, in the dtype of the input, 0..1; computed in float64. Boxes without extent overlap nothing.
        Differentiable: where a gradient is asked for, and on other devices than a CPU, plain PyTorch computes it.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; a number is not finite; a pair points outside the boxes.

    Source: the overlap of KITTI's object benchmark; intersection by Sutherland-Hodgman clipping.
    """
    return _rotated_iou(first, second, pairs, volume=False)


def rotated_iou_3d(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Intersection over union of boxes in space: the overlap from above times that of the height ranges [y - h, y].

    Arguments, result and errors are those of rotated_iou_bev.
    """
    return _rotated_iou(first, second, pairs, volume=True)


def axis_aligned_iou(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Intersection over union of boxes of an image, (N, 4) and (M, 4) x1 y1 x2 y2 -> (N, M), or (P,) for `pairs` of rows.

    A box spans [x1, x2] x [y1, y2] (no pixel is added); one with x2 <= x1 or y2 <= y1 overlaps nothing.

    Raises:
        ValueError: as rotated_iou_bev.
    """
    a, b = _select(first, second, pairs, 4)
    common = _common_area(a, b)
    return torch.where(common > 0, common / (_area(a) + _area(b) - common), 0)


def axis_aligned_coverage(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Share of each box of `first` that a box of `second` covers, 0..1. Arguments and errors are those of axis_aligned_iou."""
    a, b = _select(first, second, pairs, 4)
    common = _common_area(a, b)
    return torch.where(common > 0, common / _area(a), 0)


def _rotated_iou(first: Tensor, second: Tensor, pairs: Pairs | None, volume: bool) -> Tensor:
    _check(first, second, pairs, 7)
    if first.device.type != "cpu" or first.requires_grad or second.requires_grad:
        return kernel.reference(*_select(first, second, pairs, 7), volume)
    a, b = (boxes.double().contiguous().numpy() for boxes in (first, second))
    if pairs is None:
        out = torch.empty(len(first), len(second), dtype=torch.float64)
        kernel.cpu_matrix(a, b, volume, out.numpy())
    else:
        out = torch.empty(len(pairs[0]), dtype=torch.float64)
        kernel.cpu_pairs(a, b, pairs[0].contiguous().numpy(), pairs[1].contiguous().numpy(), volume, out.numpy())
    return out.to(first.dtype)


def _select(first: Tensor, second: Tensor, pairs: Pairs | None, columns: int) -> tuple[Tensor, Tensor]:
    """Boxes to compare by broadcasting: (N, 1, columns) and (1, M, columns), or (P, columns) twice."""
    _check(first, second, pairs, columns)
    return (first[:, None], second[None]) if pairs is None else (first[pairs[0]], second[pairs[1]])


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _common_area(a: Tensor, b: Tensor) -> Tensor:
    """Overlap of boxes that are broadcast against each other, 0 where one of them has no extent."""
    width = torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])
    height = torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])
    return width.clamp(min=0) * height.clamp(min=0)


def _check(first: Tensor, second: Tensor, pairs: Pairs | None, columns: int) -> None:
    for name, boxes in (("first", first), ("second", second)):
        if boxes.dim() != 2 or boxes.shape[1] != columns or not boxes.is_floating_point():
            raise ValueError(f"{name}: expected (N, {columns}) floating point, found {tuple(boxes.shape)} {boxes.dtype}")
        if not boxes.isfinite().all():
            row = int((~boxes.isfinite()).any(1).nonzero()[0])
            raise ValueError(f"{name}: row {row} is not finite: {boxes[row].tolist()}")
    if first.dtype != second.dtype or first.device != second.device:
        raise ValueError(f"second: expected {first.dtype} on {first.device} as first, found {second.dtype} on {second.device}")
    if pairs is None:
        return
    for name, rows, count in (("pairs[0]", pairs[0], len(first)), ("pairs[1]", pairs[1], len(second))):
        if rows.dtype != torch.int64 or rows.dim() != 1 or rows.device != first.device or len(rows) != len(pairs[0]):
            raise ValueError(
                f"{name}: expected ({len(pairs[0])},) int64 on {first.device}, found {tuple(rows.shape)} {rows.dtype} on {rows.device}"
            )
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            raise ValueError(f"{name}: expected rows 0..{count - 1}, found {int(rows.min())}..{int(rows.max())}")
