"""From the proposals of a scene detector to detections: empty boxes, suppression and scores, as published.

Letters in shapes: Q proposals of one scene, C classes, N cloud points. Metres, aligned frame.

Source: models/ap_helper.py and utils/nms.py of facebookresearch/votenet and zeliu98/Group-Free-3D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g3d.data.answers import SceneBoxes
from g3d.nn.scene_box_losses import BoxPrediction
from g3d.ops.nms import nms_3d

_CHUNK = 1 << 22  # pairs of boxes and points that are compared at a time


@dataclass(frozen=True, eq=False)
class Proposals:
    """Decoded proposals of one scene.

    Attributes:
        centers: (Q, 3) float64.
        sizes: (Q, 3) float64; an untrained network predicts negative sizes too.
        objectness: (Q,) float64, probability.
        class_scores: (Q, C) float64, probabilities.
    """

    centers: Tensor
    sizes: Tensor
    objectness: Tensor
    class_scores: Tensor


@dataclass(frozen=True)
class DetectionSettings:
    """The bounds by which proposals become detections; the defaults are those of Group-Free 3D's published evaluation.

    Attributes:
        min_points: boxes that contain fewer points are dropped; 0 keeps all.
        nms_iou: a box is dropped if a kept box of the same class with a higher objectness overlaps it by more.
        min_objectness: kept boxes must exceed this probability.
        per_class: every kept box is C detections, one of each class, that score class probability x objectness.
            Otherwise it is one detection of its best class that scores its objectness.
    """

    min_points: int = 5
    nms_iou: float = 0.25
    min_objectness: float = 0.0
    per_class: bool = True


def decode_proposals(head: BoxPrediction, mean_sizes: Tensor) -> list[Proposals]:
    """Return the proposals of B scenes from the outputs of a head, on its device.

    Sizes are those of the best size class, which may differ from the best semantic class.

    Args:
        head: outputs; the objectness has two logits (softmax) or one (sigmoid).
        mean_sizes: (C, 3) metres.
    """
    means = mean_sizes.to(head.centers.device, torch.float64)
    best = head.size_scores.argmax(-1)
    residuals = head.size_residuals.gather(2, best[..., None, None].expand(*best.shape, 1, 3))[:, :, 0].double()
    sizes = means[best] * (1 + residuals)
    logits = head.objectness.double()
    objectness = logits.softmax(-1)[..., 1] if logits.shape[-1] == 2 else logits[..., 0].sigmoid()
    classes = head.class_scores.double().softmax(-1)
    return [Proposals(*parts) for parts in zip(head.centers.double(), sizes, objectness, classes, strict=True)]


def joined_proposals(heads: Sequence[Sequence[Proposals]]) -> list[Proposals]:
    """Return the proposals of several heads as one set for each scene.

    Group-Free 3D also evaluates the last three heads, and all of them, with one suppression over their proposals.

    Args:
        heads: the proposals of B scenes, from each head.
    """
    return [
        Proposals(*(torch.cat(parts) for parts in zip(*(vars(found).values() for found in scene), strict=True)))
        for scene in zip(*heads, strict=True)
    ]


def kept_proposals(found: Proposals, points: Tensor | None, settings: DetectionSettings) -> Tensor:
    """Return (K,) int64, the proposals that survive, by falling objectness.

    The suppression compares boxes of the same best class and ignores the sign of their sizes.

    Args:
        found: the proposals of one scene.
        points: (N, 3) cloud of the scene; may be None if `min_points` is 0.
        settings: bounds.
    """
    sizes = found.sizes.abs()
    there = torch.arange(len(sizes), device=sizes.device)
    if settings.min_points:
        if points is None:
            raise ValueError("kept_proposals: min_points needs the points of the scene")
        there = there[points_inside(found.centers, sizes, points) >= settings.min_points]
    boxes = torch.cat([found.centers, sizes], 1)[there]
    classes = found.class_scores.argmax(-1)[there]
    return there[nms_3d(boxes, found.objectness[there], settings.nms_iou, classes)]


def points_inside(centers: Tensor, sizes: Tensor, points: Tensor) -> Tensor:
    """Return (Q,) int64, how many of the (N, 3) points lie in each axis-aligned box, its faces included."""
    low, high = centers - sizes / 2, centers + sizes / 2
    points = points.to(centers)
    counts = torch.zeros(len(centers), dtype=torch.int64, device=centers.device)
    for start in range(0, len(centers), step := max(1, _CHUNK // max(1, len(points)))):
        rows = slice(start, start + step)
        inside = torch.ones(len(centers[rows]), len(points), dtype=torch.bool, device=centers.device)
        for axis in range(3):
            place = points[None, :, axis]
            inside &= (place >= low[rows, axis, None]) & (place <= high[rows, axis, None])
        counts[rows] = inside.sum(1)
    return counts


def detections(
    found: Proposals, kept: Tensor, names: Sequence[str], settings: DetectionSettings = DetectionSettings()
) -> SceneBoxes:
    """Return the detections of the kept proposals, those of one box one after another.

    A negative length or width counts as its absolute value and a negative height as 0, which is how the published
    overlap treats them.

    Args:
        found: the proposals of one scene.
        kept: (K,) int64, from `kept_proposals`.
        names: C class names.
        settings: bounds.
    """
    kept = kept[found.objectness[kept] > settings.min_objectness]
    objectness, scores = found.objectness[kept].cpu().numpy(), found.class_scores[kept].cpu().numpy()
    centers, sizes = found.centers[kept].cpu().numpy(), found.sizes[kept].cpu().numpy()
    sizes = np.column_stack([np.abs(sizes[:, :2]), np.maximum(sizes[:, 2:], 0)])
    known = np.array(names, np.str_)
    if not settings.per_class:
        best = known[scores.argmax(1)] if len(kept) else known[:0]
        return SceneBoxes(best, centers, sizes, scores=objectness)
    count = len(known)
    return SceneBoxes(
        np.tile(known, len(kept)),
        np.repeat(centers, count, 0),
        np.repeat(sizes, count, 0),
        scores=(scores * objectness[:, None]).reshape(-1),
    )
