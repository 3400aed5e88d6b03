"""Compare the answer to a sentence with its label: the overlap, and whether the answer is correct at a given threshold.

With one labelled box, the box with the highest score is the answer. With no or several labelled boxes, every box that
scores at least `min_score` belongs to the answer. The answer is correct if all boxes and labels can be matched one to
one with sufficient overlap; its overlap is the sum over the matched pairs, divided by the larger of both counts. For
masks, the mask with the highest score is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from g3d.data.answers import Answer, CameraBoxes, ImageBoxes, PixelMask, PointMask, SceneBoxes
from g3d.ops.box_iou import axis_aligned_iou, axis_aligned_iou_3d, camera_from_scene_boxes, rotated_iou_3d

BOUND_3D, BOUND_2D = 0.25, 0.5
"""Minimum overlap of a correct answer: 0.25 for scenes and 3D boxes, 0.5 for 2D boxes and masks of images."""

MEASURES = {
    CameraBoxes: "3D IoU",
    SceneBoxes: "3D IoU",
    ImageBoxes: "2D IoU",
    PointMask: "point IoU",
    PixelMask: "mask IoU",
}


@dataclass(frozen=True)
class Verdict:
    """Comparison of one answer with its label.

    Attributes:
        measure: name of the overlap.
        iou: the overlap, None if the answer or the label is empty.
        right: whether the answer is correct, None if there is no label of the answer's kind.
        bound: minimum overlap of a correct answer.
    """

    measure: str = ""
    iou: float | None = None
    right: bool | None = None
    bound: float = BOUND_3D


def judge(answers: Sequence[Answer], truth: Answer | None, min_score: float) -> Verdict:
    """Compare answers with a label; answers of another kind than the label are ignored."""
    if truth is None:
        return Verdict()
    measure = MEASURES[type(truth)]
    bound = BOUND_2D if isinstance(truth, (ImageBoxes, PixelMask)) else BOUND_3D
    same = [answer for answer in answers if type(answer) is type(truth)]
    if not same:
        return Verdict(measure, bound=bound)
    if isinstance(truth, (PointMask, PixelMask)):
        best = max((mask for mask in same if isinstance(mask, (PointMask, PixelMask))), key=lambda m: m.score or 0.0)
        return _judge_masks(best.mask, truth.mask, measure, bound)
    boxes = same[0]
    assert not isinstance(boxes, (PointMask, PixelMask))
    scores = np.zeros(len(boxes)) if boxes.scores is None else boxes.scores
    rows = answer_rows(scores, len(truth), min_score)
    if not len(rows) or not len(truth):
        return Verdict(measure, None, len(rows) == len(truth), bound)
    overlaps = box_overlaps(boxes[rows], truth)
    first, second = linear_sum_assignment(-overlaps)
    paired = overlaps[first, second]
    iou = float(paired.sum() / max(overlaps.shape))
    return Verdict(measure, iou, len(rows) == len(truth) and bool((paired >= bound).all()), bound)


def answer_rows(scores: np.ndarray, labels: int | None, min_score: float) -> np.ndarray:
    """Return the indices of the boxes that belong to the answer to a sentence.

    Args:
        scores: (N,) scores of all boxes.
        labels: number of labelled boxes, None if unknown; the best box is then the answer.
        min_score: minimum score for sentences that refer to no object or to several.
    """
    if labels is None or labels == 1:
        return np.array([np.argmax(scores)]) if len(scores) else np.zeros(0, np.int64)
    return np.flatnonzero(scores >= min_score)


def box_overlaps(found: Answer, truth: Answer) -> np.ndarray:
    """Return the IoU of every found box with every labelled box, (N, M) float64; both are boxes of one type.

    Scene boxes get the axis-aligned 3D IoU if all yaws are 0, else the rotated 3D IoU.
    """
    if isinstance(found, SceneBoxes) and isinstance(truth, SceneBoxes):
        first, second = (torch.from_numpy(np.column_stack([b.centers, b.sizes, b.yaws])) for b in (found, truth))
        if not found.yaws.any() and not truth.yaws.any():
            return axis_aligned_iou_3d(first[:, :6], second[:, :6]).numpy()
        return rotated_iou_3d(camera_from_scene_boxes(first), camera_from_scene_boxes(second)).numpy()
    if isinstance(found, ImageBoxes) and isinstance(truth, ImageBoxes):
        return axis_aligned_iou(torch.from_numpy(found.boxes), torch.from_numpy(truth.boxes)).numpy()
    assert isinstance(found, CameraBoxes)
    assert isinstance(truth, CameraBoxes)
    first, second = (torch.from_numpy(np.column_stack([b.locations, b.sizes, b.rotation_y])) for b in (found, truth))
    return rotated_iou_3d(first, second).numpy()


def mask_overlap(found: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the IoU of two masks of the same shape; None if both are empty."""
    union = int(np.count_nonzero(found | truth))
    return int(np.count_nonzero(found & truth)) / union if union else None


def _judge_masks(found: np.ndarray, truth: np.ndarray, measure: str, bound: float) -> Verdict:
    if not found.any() or not truth.any():
        return Verdict(measure, None, bool(found.any()) == bool(truth.any()), bound)
    iou = mask_overlap(found, truth)
    return Verdict(measure, iou, iou is not None and iou >= bound, bound)
