"""Accuracy of boxes that are found for sentences about scenes, as published for ScanRefer, Nr3D and Sr3D.

An answer is right if its IoU with the true box is at least 0.25 or 0.5, the bound included. Boxes are parallel to the
axes in the published data; turned boxes have the rotated IoU. ScanRefer divides sentences into unique and multiple, and
into those about an object of one of 17 classes and of class "others"; Nr3D and Sr3D into easy and hard, and into
view-dependent and view-independent. ReferIt3D's own accuracy, the share of right objects among given candidates, is
another figure.

Source: scripts/joint_scripts/ground_eval.py of ZzZZCHS/WS-3DVG, after daveredrum/ScanRefer; referit3d/referit3d.
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
_SCORED = (0.1, *THRESHOLDS)  # the published training keeps the model with the largest mean of these accuracies
ALL = "overall"
"""Name of the row and of the section of all sentences."""
_PADDED = -1e7


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Comparison of the answers to S sentences with the true boxes.

    Attributes:
        first: (S,) float64, IoU of the first answer; 0 where there is no answer or no true box.
        best: (S,) float64, largest IoU of the first `top` answers.
        top: number of answers that `best` compares.
        right: (S,) bool, whether the first answer has the id of the true object; None unless all answers and objects
            have ids.
        unanswered: number of sentences without an answer.
        without_truth: number of sentences without a true box.
    """

    first: np.ndarray
    best: np.ndarray
    top: int
    right: np.ndarray | None = None
    unanswered: int = 0
    without_truth: int = 0


def answer_overlaps(found: Sequence[SceneBoxes], truth: Sequence[SceneBoxes | None], top: int = 3) -> Overlaps:
    """Return the comparison of answers with true boxes.

    Args:
        found: boxes of each sentence, the answer first, then the runners-up by falling score; may be empty.
        truth: the one true box of each sentence; None if there is none, which makes every answer wrong.
        top: number of answers that count for the top-k accuracy.

    Raises:
        ValueError: the sequences differ in length, or a truth has another number of boxes.
    """
    if len(found) != len(truth):
        raise ValueError(f"answer_overlaps: expected a truth for each of {len(found)} sentences, found {len(truth)}")
    wrong = next((k for k, boxes in enumerate(truth) if boxes is not None and len(boxes) != 1), None)
    if wrong is not None:
        raise ValueError(f"truth[{wrong}]: expected one box, found {len(truth[wrong] or ())}")
    first_rows, second_rows, owners, ranks = [np.zeros((0, 7))], [np.zeros((0, 7))], list[int](), list[int]()
    for sentence, (answers, true) in enumerate(zip(found, truth, strict=True)):
        if true is None or not len(answers):
            continue
        chosen = _rows(answers[:top])
        first_rows.append(chosen)
        second_rows.append(np.repeat(_rows(true), len(chosen), 0))
        owners += [sentence] * len(chosen)
        ranks += range(len(chosen))
    first, best = np.zeros(len(found)), np.zeros(len(found))
    if owners:
        overlaps = _paired_ious(np.concatenate(first_rows), np.concatenate(second_rows))
        np.maximum.at(best, owners, overlaps)
        is_first = np.array(ranks) == 0
        first[np.array(owners)[is_first]] = overlaps[is_first]
    return Overlaps(
        first,
        best,
        top,
        _right_objects(found, truth),
        sum(not len(answers) for answers in found),
        sum(true is None for true in truth),
    )


def accuracies(
    overlaps: Sequence[np.ndarray], rows: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of IoUs at or above each threshold, for every combination of a row group and a column group.

    Args:
        overlaps: IoUs of the sentences, (S,) each: of the first answer, and the best of the top answers.
        rows, columns: (S,) bool by name: the sentences of each group. The group of all sentences comes last in both.

    Returns:
        (R + 1, C + 1, 2 * len(overlaps)) float64, 0..1, for each overlap the two thresholds; NaN for a group without
        sentences (the published code gives 0). (R + 1, C + 1) int64, the number of sentences.
    """
    count = len(overlaps[0])
    everything = np.ones(count, bool)
    parts = [[r & c for c in (*columns.values(), everything)] for r in (*rows.values(), everything)]
    counts = np.array([[int(part.sum()) for part in row] for row in parts], np.int64)
    hits = [iou >= bound for iou in overlaps for bound in THRESHOLDS]
    shares = [[[h[part].mean() if part.any() else np.nan for h in hits] for part in row] for row in parts]
    return np.array(shares), counts


def scene_grounding_table(
    overlaps: Overlaps,
    rows: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray],
    what: str,
    notes: Sequence[str] = (),
) -> Table:
    """Return accuracy and top-k accuracy in percent, at an IoU of at least 0.25 and 0.5.

    Args:
        overlaps: the comparison of the answers.
        rows: (S,) bool by name, for example unique and multiple.
        columns: (S,) bool by name, for example "not in others" and "in others"; each is a section of the table.
        what: the data for the title, for example "ScanRefer".
        notes: sentences that explain the figures, for example the filters.

    Returns:
        A table with metrics `<row>_acc25`, `<row>_<column>_acc25`, `<row>_top3_acc25` and so on, and `<row>_right` if
        all answers and objects have ids. A group without sentences has no figures. The score is the mean of the
        accuracies at 0.1, 0.25 and 0.5, by which the published training keeps its best model.
    """
    shares, counts = accuracies((overlaps.first, overlaps.best), rows, columns)
    names, sections = (*rows, ALL), (*columns, ALL)
    order = [len(columns), *range(len(columns))]  # the section of all sentences comes first
    right = overlaps.right
    everything = np.ones(len(overlaps.first), bool)
    lines: list[Row] = []
    metrics: dict[str, float] = {}
    for column in order:
        section = sections[column]
        for row, name in enumerate(names):
            values = [None if np.isnan(share) else 100 * float(share) for share in shares[row, column]]
            keys = ["acc25", "acc50", f"top{overlaps.top}_acc25", f"top{overlaps.top}_acc50"]
            if right is not None:
                part = rows.get(name, everything) & columns.get(section, everything)
                values.append(100 * float(right[part].mean()) if part.any() else None)
                keys.append("right")
            prefix = "_".join(
                n.replace(" ", "_").replace("-", "_") for n in ((name,) if section == ALL else (name, section))
            )
            metrics |= {f"{prefix}_{key}": value for key, value in zip(keys, values, strict=True) if value is not None}
            lines.append(Row(name if section == ALL else f"{name}, {section}", tuple(values), section))
    heads = ["Acc@0.25", "Acc@0.5", f"top-{overlaps.top} @0.25", f"top-{overlaps.top} @0.5"]
    score = None
    if len(overlaps.first):
        score = 100 * float(np.mean([(overlaps.first >= bound).mean() for bound in _SCORED]))
        metrics["overall_acc10"] = 100 * float((overlaps.first >= _SCORED[0]).mean())
    return Table(
        f"3D visual grounding, {what}, {len(overlaps.first):,} sentences",
        (*heads, *(["right object"] if right is not None else [])),
        tuple(lines),
        metrics,
        (*notes, *_notes(overlaps, names, sections, counts)),
        score=score,
    )


def _notes(overlaps: Overlaps, rows: Sequence[str], columns: Sequence[str], counts: np.ndarray) -> list[str]:
    parts = [
        f"{row}{'' if column == ALL else f', {column}'} {counts[r, c]:,}"
        for c, column in enumerate(columns)
        for r, row in enumerate(rows)
    ]
    notes = [f"sentences: {'; '.join(parts)}."]
    if overlaps.unanswered:
        notes.append(f"sentences without an answer, which counts as an IoU of 0: {overlaps.unanswered:,}.")
    if overlaps.without_truth:
        notes.append(
            f"sentences whose object has no box in its scene, so that every answer counts as wrong: "
            f"{overlaps.without_truth:,}."
        )
    return notes


def chosen_candidates(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the best allowed candidate of each sentence, (T,) int64.

    Args:
        logits: (T, N) float, score of each candidate object.
        allowed: (T, N) bool; other candidates have the score -1e7, as published.
    """
    return np.where(allowed, logits, _PADDED).argmax(1)


def candidate_accuracies(
    right: np.ndarray, right_of_class: np.ndarray, hard: np.ndarray, view_dependent: np.ndarray
) -> np.ndarray:
    """Return ReferIt3D's accuracies over given candidates in percent, NaN for a group without sentences.

    Args:
        right: (T,) bool, whether the best candidate is the target.
        right_of_class: (T,) bool, the same among the candidates of the target's class.
        hard, view_dependent: (T,) bool.

    Returns:
        (6,) float64: hard, easy, view-dependent, view-independent, all, and all among the target's class.
    """
    everything = np.ones(len(right), bool)
    parts = ((right, hard), (right, ~hard), (right, view_dependent), (right, ~view_dependent), (right, everything))
    return np.array(
        [100 * hit[part].mean() if part.any() else np.nan for hit, part in (*parts, (right_of_class, everything))]
    )


def _right_objects(found: Sequence[SceneBoxes], truth: Sequence[SceneBoxes | None]) -> np.ndarray | None:
    """Return whether the first answer is the true object; None unless all answers and objects have ids."""
    answered = [boxes for boxes in found if len(boxes)]
    true = [boxes for boxes in truth if boxes is not None]
    if not answered or not true or any(boxes.ids[0] < 0 for boxes in (*answered, *true)):
        return None
    pairs = zip(found, truth, strict=True)
    return np.array([t is not None and len(f) > 0 and bool(f.ids[0] == t.ids[0]) for f, t in pairs])


def _rows(boxes: SceneBoxes) -> np.ndarray:
    """Return boxes as (N, 7) float64: centre, size and yaw."""
    return np.column_stack([boxes.centers, boxes.sizes, boxes.yaws]).astype(np.float64)


def _paired_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes (P, 7) row by row, (P,) float64."""
    pair = (torch.arange(len(first)), torch.arange(len(first)))
    one, two = torch.from_numpy(first), torch.from_numpy(second)
    if not first[:, 6].any() and not second[:, 6].any():
        return axis_aligned_iou_3d(one[:, :6], two[:, :6], pair).numpy()
    return rotated_iou_3d(camera_from_scene_boxes(one), camera_from_scene_boxes(two), pair).numpy()
