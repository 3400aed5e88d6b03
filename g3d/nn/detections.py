"""From box predictions to detections: drop boxes without points, suppress overlaps, and write entries for each class.

The rules are those of Group-Free 3D's and VoteNet's evaluation of ScanNet (models/ap_helper.py of both), whose boxes
have no heading. Letters in shapes: B scenes, N points, Q proposals, C classes, K detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.nn.box_predictions import BoxPredictions
from g3d.ops.nms import nms_3d

_PAIRS = 2**22  # pairs of a box and a point that are compared at a time


@dataclass(frozen=True)
class Detections:
    """Detected boxes of one scene.

    Attributes:
        boxes: (K, 6) float32 centre and extents, metres, scene frame; extents are not negative.
        classes: (K,) int64.
        scores: (K,) float32, 0..1.
        proposals: (K,) int64, the proposal of each box.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    proposals: Tensor


@torch.no_grad()
def kept_proposals(
    predictions: BoxPredictions, clouds: Tensor, overlap: float = 0.25, least_points: int = 5
) -> list[Tensor]:
    """Return the proposals of each scene that hold points and that no better one of the same class overlaps.

    Args:
        predictions: of one head, or of several (`join_predictions`).
        clouds: (B, N, 3 or more) float32, the network's input.
        overlap: intersection over union above which the box with the lower objectness is dropped.
        least_points: boxes with fewer points inside are dropped before; 0 keeps all.

    Returns:
        For each scene, (K,) int64 proposals by falling objectness.

    Raises:
        ValueError: a prediction is not finite.
    """
    boxes, classes = _boxes(predictions), predictions.sem_cls_scores.argmax(2)
    kept = []
    for rows, kinds, scores, cloud in zip(boxes, classes, predictions.objectness, clouds, strict=True):
        filled = torch.arange(len(rows), device=rows.device)
        if least_points:
            filled = filled[points_inside(cloud[:, :3], rows) >= least_points]
        kept.append(filled[nms_3d(rows[filled], scores[filled], overlap, kinds[filled])])
    return kept


@torch.no_grad()
def detections(
    predictions: BoxPredictions, kept: list[Tensor], least_objectness: float = 0.0, per_class: bool = True
) -> list[Detections]:
    """Return the detections of each scene, ordered by class and then by proposal.

    Args:
        predictions: of one head, or of several.
        kept: from `kept_proposals`.
        least_objectness: proposals with a probability at or below it are dropped; published: 0 for Group-Free 3D, 0.05
            for VoteNet.
        per_class: each box gives an entry for every class, with score class probability x objectness; otherwise, one
            entry for its likeliest class, with score objectness.
    """
    boxes, objectness = _boxes(predictions), predictions.objectness
    semantic = predictions.sem_cls_scores.softmax(2)
    found = []
    for scene, rows in enumerate(kept):
        rows = rows[objectness[scene, rows] > least_objectness].sort().values
        scores = objectness[scene, rows]
        if per_class:
            of_classes = semantic[scene, rows].T * scores  # (C, K)
            classes = torch.arange(len(of_classes), device=rows.device).repeat_interleave(len(rows))
            rows, scores = rows.repeat(len(of_classes)), of_classes.flatten()
        else:
            classes = semantic[scene, rows].argmax(1)
            order = classes.argsort(stable=True)
            rows, scores, classes = rows[order], scores[order], classes[order]
        found.append(Detections(boxes[scene, rows], classes, scores, rows))
    return found


def points_inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Return the number of points inside each axis-parallel box, faces included.

    Args:
        points: (N, 3) metres.
        boxes: (Q, 6) centre and extents, metres, same frame.

    Returns:
        (Q,) int64.
    """
    low, high = boxes[:, :3] - boxes[:, 3:] / 2, boxes[:, :3] + boxes[:, 3:] / 2
    columns = points.T.contiguous()
    counts = []
    for first, last in zip(
        low.split(max(1, _PAIRS // len(points))), high.split(max(1, _PAIRS // len(points))), strict=True
    ):
        inside = torch.ones(len(first), len(points), dtype=torch.bool, device=points.device)
        for axis, column in enumerate(columns):
            inside &= (column >= first[:, axis, None]) & (column <= last[:, axis, None])
        counts.append(inside.sum(1))
    return torch.cat(counts) if counts else torch.zeros(0, dtype=torch.int64, device=points.device)


def _boxes(predictions: BoxPredictions) -> Tensor:
    """Return centre and extents (B, Q, 6).

    A negative extent stands for the box between the same corners, as in published suppression, which compares corners.
    """
    return torch.cat([predictions.center, predictions.pred_size.abs()], 2)
