"""Average precision of 3D detections in scenes, as published for ScanNet: per class, at an IoU above 0.25 and 0.5.

All detections of a class, over all scenes, are taken by falling score. Each is compared with the true box of its class
and scene that it overlaps most; it is right if the overlap is above the threshold and no earlier detection has this
box. The average precision is the area below the monotone envelope of precision over recall.

Source: utils/eval_det.py of facebookresearch/votenet, after the PASCAL VOC development kit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from g3d.data.answers import SceneBoxes
from g3d.metrics.table import Row, Table
from g3d.ops.box_iou import axis_aligned_iou_3d, camera_from_scene_boxes, rotated_iou_3d

THRESHOLDS = (0.25, 0.5)


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class at one threshold.

    Attributes:
        ap: average precision, 0..1; None if no scene has a box of the class.
        recall: share of the true boxes that are found at any score; None as above.
        boxes: number of true boxes.
    """

    ap: float | None
    recall: float | None
    boxes: int


def class_figures(
    found: Mapping[str, SceneBoxes], truth: Mapping[str, SceneBoxes], name: str, thresholds: Sequence[float]
) -> list[ClassFigures]:
    """Return the figures of one class at each threshold.

    Args:
        found: detections with scores by scene.
        truth: true boxes of the same scenes.
        name: the class.
        thresholds: bounds of the IoU.
    """
    scores, best, overlaps, boxes = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0)], 0
    for scene, labels in truth.items():
        true = labels[labels.classes == name]
        detected = found[scene][found[scene].classes == name]
        if detected.scores is None:
            raise ValueError(f"class_figures: the boxes found in {scene} have no scores")
        iou = box_ious(detected, true)
        scores.append(detected.scores)
        best.append(iou.argmax(1) + boxes if len(true) else np.zeros(len(detected), np.int64))
        overlaps.append(iou.max(1) if len(true) else np.zeros(len(detected)))
        boxes += len(true)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    taken, overlap = np.concatenate(best)[order], np.concatenate(overlaps)[order]
    figures = []
    for threshold in thresholds:
        if not boxes:
            figures.append(ClassFigures(None, None, 0))
            continue
        right = np.zeros(len(order), bool)
        hits = np.flatnonzero(overlap > threshold)
        right[hits[np.unique(taken[hits], return_index=True)[1]]] = True  # the first detection of each true box
        figures.append(_figures(right, boxes))
    return figures


def _figures(right: np.ndarray, boxes: int) -> ClassFigures:
    """Return the figures from which detections are right, by falling score, and the number of true boxes."""
    if not len(right):
        return ClassFigures(0.0, 0.0, boxes)
    hits = np.cumsum(right)
    recall, precision = hits / boxes, hits / np.arange(1, len(right) + 1)
    return ClassFigures(voc_area(recall, precision), float(recall[-1]), boxes)


def voc_area(recall: np.ndarray, precision: np.ndarray) -> float:
    """Return the area below the monotone envelope of precision over recall; both are (D,), recall rising."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def box_ious(found: SceneBoxes, truth: SceneBoxes) -> np.ndarray:
    """Return the IoU of every found box with every true one, (N, M) float64; turned boxes have the rotated IoU."""
    first, second = (
        torch.from_numpy(np.column_stack([b.centers, b.sizes, b.yaws]).astype(np.float64)) for b in (found, truth)
    )
    if not found.yaws.any() and not truth.yaws.any():
        return axis_aligned_iou_3d(first[:, :6], second[:, :6]).numpy()
    return rotated_iou_3d(camera_from_scene_boxes(first), camera_from_scene_boxes(second)).numpy()


def detection_table(
    found: Mapping[str, SceneBoxes], truth: Mapping[str, SceneBoxes], classes: Sequence[str], scenes: str = "scenes"
) -> Table:
    """Return average precision and recall of every class in percent, at an IoU above 0.25 and 0.5.

    A class without true boxes is left out of the means, and a note states it; the published code gives NaN.

    Args:
        found: detections with scores by scene.
        truth: true boxes by scene; its scenes are evaluated.
        classes: class names, in the order of the rows.
        scenes: what the scenes are called in the title.

    Returns:
        A table with metrics `mAP25`, `mAP50`, `AR25`, `AR50`, and `AP25_<class>`, `AP50_<class>`; the score is mAP25.

    Raises:
        ValueError: the detections of a scene are missing or have no scores.
    """
    missing = [scene for scene in truth if scene not in found]
    if missing:
        raise ValueError(f"detection_table: no detections of {missing[0]} ({len(missing)} scenes)")
    figures = {name: class_figures(found, truth, name, THRESHOLDS) for name in classes}
    rows, metrics = [], {}
    for name, of_class in figures.items():
        rows.append(Row(name, tuple(_percent(value) for f in of_class for value in (f.ap, f.recall)), "classes"))
        for bound, figure in zip(THRESHOLDS, of_class, strict=True):
            if figure.ap is not None:
                metrics[f"AP{bound * 100:.0f}_{name}"] = 100 * figure.ap
    means = [_mean([getattr(f[k], field) for f in figures.values()]) for k in (0, 1) for field in ("ap", "recall")]
    rows.append(Row("mean", tuple(means), "mean"))
    metrics = {
        name: value for name, value in zip(("mAP25", "AR25", "mAP50", "AR50"), means, strict=True) if value is not None
    } | metrics
    notes = []
    absent = [name for name, of_class in figures.items() if not of_class[0].boxes]
    if absent:
        notes.append(f"classes without boxes in these scenes, left out of the means: {', '.join(absent)}.")
    others = sorted({str(name) for boxes in truth.values() for name in boxes.classes} - set(classes))
    if others:
        notes.append(f"true boxes of other classes are not evaluated: {', '.join(others)}.")
    columns = ("AP@0.25", "recall@0.25", "AP@0.5", "recall@0.5")
    title = f"3D detection, {len(truth):,} {scenes}"
    return Table(title, columns, tuple(rows), metrics, tuple(notes), score=metrics.get("mAP25"))


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _mean(values: Sequence[float | None]) -> float | None:
    """Return 100 times the mean of the values that exist; None if none does."""
    there = [value for value in values if value is not None]
    return 100 * float(np.mean(there)) if there else None
