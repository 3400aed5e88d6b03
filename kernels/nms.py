"""Non-maximum suppression of boxes in space: the best box goes first and drops every later one that overlaps it too
much.

Boxes come by falling score. A box is kept unless one kept before it, of the same class, overlaps it by more than the
threshold (strictly). Rows are those of kernels/aligned_iou.py (6 numbers: least and largest coordinates) or of
kernels/box_iou.py (7: rotated). On a CPU each kept box passes over the rest (`cpu_suppress` of those two files);
elsewhere all overlaps are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from g3d.kernels import aligned_iou, box_iou

_BLOCK_PAIRS = 1 << 22  # overlaps computed at a time


def reference(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """The oracle: (N, 6) or (N, 7) and int64 (N,) -> which are kept, bool (N,)."""
    return greedy(boxes, classes, threshold, box_iou.reference if boxes.shape[1] == 7 else aligned_iou.reference)


def greedy(
    boxes: Tensor, classes: Tensor, threshold: float, overlap: Callable[[Tensor, Tensor, bool], Tensor]
) -> Tensor:
    """As `reference`; `overlap` gives the IoU of boxes (R, 1, K) and (1, N, K). Takes as many rounds as suppressions
    follow each other."""
    rows = max(1, _BLOCK_PAIRS // max(1, len(boxes)))
    meets = [
        (overlap(some[:, None], boxes[None], some.shape[1] == 7) > threshold) & (kind[:, None] == classes)
        for some, kind in zip(boxes.split(rows), classes.split(rows), strict=True)
    ]
    drops = torch.cat(meets).triu(1)  # by an earlier box, of a later one
    kept, undecided = boxes.new_zeros(len(boxes), dtype=torch.bool), boxes.new_ones(len(boxes), dtype=torch.bool)
    while undecided.any():
        best = undecided & ~(drops & undecided[:, None]).any(0)
        kept = kept | best
        undecided = undecided & ~best & ~(drops & best[:, None]).any(0)
    return kept
