"""`rotated_iou_bev`, `rotated_iou_3d`, `axis_aligned_iou`, `axis_aligned_coverage`: the face of kernels/box_iou.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import box_iou as kernel
from g3d.ops.threads import kernel_threads

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
        ValueError: shapes, dtypes or devices do not fit; on a CPU also: a number is not finite, a pair points outside the boxes.

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
    return _image_overlap(first, second, pairs, coverage=False)


def axis_aligned_coverage(first: Tensor, second: Tensor, pairs: Pairs | None = None) -> Tensor:
    """Share of each box of `first` that a box of `second` covers, 0..1. Arguments and errors are those of axis_aligned_iou."""
    return _image_overlap(first, second, pairs, coverage=True)


def _rotated_iou(first: Tensor, second: Tensor, pairs: Pairs | None, volume: bool) -> Tensor:
    _check(first, second, pairs, 7)
    if _needs_reference(first, second):
        return kernel.reference(*_select(first, second, pairs), volume)
    return _on_cpu(kernel.cpu_matrix, kernel.cpu_pairs, first, second, pairs, volume)


def _image_overlap(first: Tensor, second: Tensor, pairs: Pairs | None, coverage: bool) -> Tensor:
    _check(first, second, pairs, 4)
    if _needs_reference(first, second):
        return kernel.reference_image(*_select(first, second, pairs), coverage)
    return _on_cpu(kernel.cpu_image_matrix, kernel.cpu_image_pairs, first, second, pairs, coverage)


def _needs_reference(first: Tensor, second: Tensor) -> bool:
    return first.device.type != "cpu" or (torch.is_grad_enabled() and (first.requires_grad or second.requires_grad))


def _select(first: Tensor, second: Tensor, pairs: Pairs | None) -> tuple[Tensor, Tensor]:
    """Boxes to compare by broadcasting: (N, 1, K) and (1, M, K), or (P, K) twice."""
    return (first[:, None], second[None]) if pairs is None else (first[pairs[0]], second[pairs[1]])


def _on_cpu(
    matrix: Callable[..., None], by_pairs: Callable[..., None], first: Tensor, second: Tensor, pairs: Pairs | None, option: bool
) -> Tensor:
    a, b = (boxes.detach().double().contiguous().numpy() for boxes in (first, second))
    if pairs is None:
        out = torch.empty(len(first), len(second), dtype=torch.float64)
        with kernel_threads():
            matrix(a, b, option, out.numpy())
    else:
        out = torch.empty(len(pairs[0]), dtype=torch.float64)
        by_pairs(a, b, pairs[0].contiguous().numpy(), pairs[1].contiguous().numpy(), option, out.numpy())
    return out.to(first.dtype)


def _check(first: Tensor, second: Tensor, pairs: Pairs | None, columns: int) -> None:
    for name, boxes in (("first", first), ("second", second)):
        if boxes.dim() != 2 or boxes.shape[1] != columns or not boxes.is_floating_point():
            raise ValueError(f"{name}: expected (N, {columns}) floating point, found {tuple(boxes.shape)} {boxes.dtype}")
        if boxes.device.type == "cpu":
            _check_finite(name, boxes.detach().numpy())
    if first.dtype != second.dtype or first.device != second.device:
        raise ValueError(f"second: expected {first.dtype} on {first.device} as first, found {second.dtype} on {second.device}")
    if pairs is None:
        return
    for name, rows, count in (("pairs[0]", pairs[0], len(first)), ("pairs[1]", pairs[1], len(second))):
        if rows.dtype != torch.int64 or rows.dim() != 1 or rows.device != first.device or len(rows) != len(pairs[0]):
            wanted = f"({len(pairs[0])},) int64 on {first.device}"
            raise ValueError(f"{name}: expected {wanted}, found {tuple(rows.shape)} {rows.dtype} on {rows.device}")
        if rows.device.type == "cpu" and len(rows):
            least, most = int(rows.numpy().min()), int(rows.numpy().max())
            if least < 0 or most >= count:
                raise ValueError(f"{name}: expected rows 0..{count - 1}, found {least}..{most}")


def _check_finite(name: str, boxes: np.ndarray) -> None:
    bad = ~np.isfinite(boxes)
    if bad.any():
        row = int(bad.any(1).argmax())
        raise ValueError(f"{name}: row {row} is not finite: {boxes[row].tolist()}")
