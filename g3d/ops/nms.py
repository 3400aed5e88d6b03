"""Operator `nms_3d` over kernels/nms.py: argument checks and registration."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.kernels import aligned_iou, box_iou, nms
from g3d.ops.box_iou import camera_from_scene_boxes, check_boxes, scene_box_bounds
from g3d.ops.registry import Operator


def nms_3d(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None = None) -> Tensor:
    """Return the indices of the boxes that 3D non-maximum suppression keeps.

    A box is kept unless a kept box with a higher score overlaps it by more than `threshold`.

    Args:
        boxes: (N, 6) x y z dx dy dz, or (N, 7) with the heading about z in radians as last column: centre and extents
            in metres, scene frame (`camera_from_scene_boxes`). Floating point; overlaps are computed in float64.
        scores: (N,) floating point; at equal scores the lower index goes first.
        threshold: IoU, 0..1; a box is dropped if its IoU is above the threshold, not if it is equal.
        classes: (N,) integers: only boxes of the same class suppress each other. None: all boxes do.

    Returns:
        (K,) int64 indices of the kept boxes, by descending score.

    Raises:
        ValueError: shapes, dtypes or devices do not match, the threshold is outside 0..1; on a CPU also: a box is not
            finite, or a score is NaN.

    Source: the class-wise suppression in the evaluation of Group-Free 3D and VoteNet (zeliu98/Group-Free-3D), extended
        to rotated boxes.
    """
    if boxes.dim() != 2 or boxes.shape[1] not in (6, 7):
        raise ValueError(f"boxes: expected (N, 6) or (N, 7), found {tuple(boxes.shape)}")
    check_boxes("boxes", boxes, boxes.shape[1])
    _check("scores", scores, boxes, scores.is_floating_point())
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected 0..1, found {threshold}")
    if scores.device.type == "cpu" and not torch.compiler.is_compiling() and bool(scores.isnan().any()):
        raise ValueError(f"scores: row {int(scores.isnan().to(torch.uint8).argmax())} is NaN")
    if classes is None:
        classes = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    _check("classes", classes, boxes, not classes.is_floating_point() and not classes.is_complex())
    order = scores.detach().argsort(descending=True, stable=True)
    rows = boxes.detach().double()
    rows = scene_box_bounds(rows) if rows.shape[1] == 6 else camera_from_scene_boxes(rows)
    return order[_operator(rows[order], classes[order].long(), float(threshold))]


def _check(name: str, values: Tensor, boxes: Tensor, right_kind: bool) -> None:
    if values.shape != boxes.shape[:1] or values.device != boxes.device or not right_kind:
        kind = "floating point" if name == "scores" else "integers"
        found = f"{tuple(values.shape)} {values.dtype} on {values.device}"
        raise ValueError(f"{name}: expected ({len(boxes)},) {kind} on {boxes.device}, found {found}")


def _cpu(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    kept = torch.ones(len(boxes), dtype=torch.bool)
    suppress = box_iou.cpu_suppress if boxes.shape[1] == 7 else aligned_iou.cpu_suppress
    suppress(boxes.contiguous().numpy(), classes.contiguous().numpy(), threshold, kept.numpy())
    return kept


def _example() -> tuple[Tensor, Tensor, float]:
    boxes = torch.rand(40, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    return boxes, torch.arange(40) % 3, 0.25


_operator = Operator(
    "nms_3d",
    reference=nms.reference,
    cpu=_cpu,
    cuda="g3d.kernels.box_iou_cuda:nms",
    fake=lambda boxes, classes, threshold: boxes.new_empty(boxes.shape[0], dtype=torch.bool),
    example=_example,
)
