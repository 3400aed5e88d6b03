"""Greedy non-maximum suppression of 3D boxes.

Boxes are sorted by descending score. A box is kept unless an earlier kept box of the same class overlaps it by strictly
more than the threshold. Rows are those of kernels/aligned_iou.py (6 numbers: minimum and maximum coordinates) or of
kernels/box_iou.py (7: rotated). On a CPU each kept box is compared with the later ones (`cpu_suppress` of those two
files); elsewhere the overlaps of all pairs are computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from g3d.kernels import aligned_iou, box_iou

_BLOCK_PAIRS = 1 << 22  # overlaps computed at a time


def reference(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Return which boxes are kept, bool (N,), from boxes (N, 6) or (N, 7) and classes int64 (N,), in plain PyTorch."""
    return greedy(boxes, classes, threshold, box_iou.reference if boxes.shape[1] == 7 else aligned_iou.reference)


def greedy(
    boxes: Tensor, classes: Tensor, threshold: float, overlap: Callable[[Tensor, Tensor, bool], Tensor]
) -> Tensor:
    """Return which boxes are kept, bool (N,); `overlap` returns the IoU of boxes (R, 1, K) and (1, N, K).

    The number of rounds is the length of the longest chain of dependent decisions.
    """
    rows = max(1, _BLOCK_PAIRS // max(1, len(boxes)))
    meets = [
        (overlap(some[:, None], boxes[None], some.shape[1] == 7) > threshold) & (kind[:, None] == classes)
        for some, kind in zip(boxes.split(rows), classes.split(rows), strict=True)
    ]
    drops = torch.cat(meets).triu(1)  # drops[i, j]: the earlier box i can suppress the later box j
    kept, undecided = boxes.new_zeros(len(boxes), dtype=torch.bool), boxes.new_ones(len(boxes), dtype=torch.bool)
    while undecided.any():
        best = undecided & ~(drops & undecided[:, None]).any(0)
        kept = kept | best
        undecided = undecided & ~best & ~(drops & best[:, None]).any(0)
    return kept
