"""Average precision of KITTI's object benchmark: image boxes, bird's-eye-view boxes, 3D boxes, and orientation.

The rules are exactly those of the published evaluator (KITTI's development kit; its Python version in
xinzhuma/monodle); kernels/kitti_ap.py does the matching. Labels count by difficulty: a label that is too small, too
occluded or too truncated is ignored, as are Van for Car and Person_sitting for Pedestrian. Detections lower than the
difficulty's minimum height are ignored, whatever their class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from g3d.data.types import CameraBoxes
from g3d.kernels import kitti_ap as kernel
from g3d.metrics.table import Row, Table
from g3d.ops.box_iou import axis_aligned_coverage, axis_aligned_iou, rotated_iou_3d, rotated_iou_bev

CLASSES = ("Car", "Pedestrian", "Cyclist")
DIFFICULTIES = ("easy", "moderate", "hard")
MEASURES = ("bbox", "bev", "3d")
DISTANCES = ((0, 30), (30, 50), (50, 70))  # metres from the camera, the far end included

# Overlap that a match must exceed, (set, class, measure): the benchmark's own, then the looser one that is often
# reported with it.
THRESHOLDS = np.array(
    [
        [[0.7, 0.7, 0.7], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
        [[0.7, 0.5, 0.5], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]],
    ]
)
STRICT, LOOSE = 0, 1

_LEAST_HEIGHT, _MOST_OCCLUDED, _MOST_TRUNCATED = (40, 25, 25), (0, 1, 2), (0.15, 0.3, 0.5)
_NEIGHBOURS = {"car": "van", "pedestrian": "person_sitting"}
_NO_ALPHA = -10
_KEYS = {"bbox": "image", "bev": "bev", "3d": "3d", "aos": "aos"}  # names in the published dictionary of results
_LABELS = {"bbox": "2D", "bev": "BEV", "3d": "3D", "aos": "AOS"}


@dataclass(frozen=True, eq=False)
class KittiResult:
    """Curves and average precision of a set of frames.

    Attributes:
        classes: the C evaluated classes.
        frames: number of frames.
        curves: by measure ("bbox", "bev", "3d", and "aos" unless the detections have no alpha): (C, 3, 2, 41) float64
            by class, difficulty, threshold set (strict, loose) and recall slot k / 40: precision, or orientation
            similarity for "aos".
        counted: (C, 3) int64, number of labels that count.
        distance_curves: (C, 3, 41) by measure, for distance bands instead of difficulties, with the limits of hard and
            the strict thresholds; None unless requested.
        distance_counted: (C, 3) int64, number of labels that count in each band.
    """

    classes: tuple[str, ...]
    frames: int
    curves: Mapping[str, np.ndarray]
    counted: np.ndarray
    distance_curves: Mapping[str, np.ndarray] | None = None
    distance_counted: np.ndarray | None = None

    def average_precision(self, measure: str, recalls: int = 40) -> np.ndarray:
        """Return AP in percent, (C, 3, 2) by class, difficulty and threshold set.

        Args:
            measure: a key of `curves`.
            recalls: 40 (slots 1-40) or 11 (slots 0, 4, ..., 40).
        """
        return average_precision(self.curves[measure], recalls)

    def metrics(self) -> dict[str, float]:
        """Return AP by the published names, for example `Car_3d_moderate_R40`.

        Names over 11 recalls have no `_R40`; names of the loose set end in `_loose`. If no label counts, there is no AP
        and no entry.
        """
        values = {}
        for c, d, name, label in self._cells():
            for measure, key in _KEYS.items():
                if measure not in self.curves or not self.counted[c, d]:
                    continue
                for recalls, suffix in ((40, "_R40"), (11, "")):
                    strict, loose = self.average_precision(measure, recalls)[c, d]
                    values[f"{name}_{key}_{label}{suffix}"] = float(strict)
                    values[f"{name}_{key}_{label}{suffix}_loose"] = float(loose)
        return values

    def table(self) -> Table:
        """Return a table of AP over 40 and 11 recalls by class, measure, overlap and difficulty.

        It has the metrics of `metrics()`, and notes on what limits the figures. Its score is the AP that KITTI ranks
        by: 3D, moderate, of Car, or of the first class with such an AP if Car has none.
        """
        rows = []
        for c, name in enumerate(self.classes):
            for chosen in (STRICT, LOOSE):
                for measure in ("3d", "bev", "bbox", "aos"):
                    overlap = self._threshold(chosen, measure, name)
                    if measure not in self.curves or (
                        chosen == LOOSE and overlap == self._threshold(STRICT, measure, name)
                    ):
                        continue
                    values = [self.average_precision(measure, recalls)[c, :, chosen] for recalls in (40, 11)]
                    shown = [
                        float(v) if n else None for row in values for v, n in zip(row, self.counted[c], strict=True)
                    ]
                    rows.append(Row(f"{name} {_LABELS[measure]} {overlap:.2f}", tuple(shown), group=name))
        columns = tuple(
            f"AP{recalls} {label}" for recalls in (40, 11) for label in ("easy", "mod.", "hard")
        )  # the table fits 80 columns
        title = f"KITTI average precision, {self.frames:,} frames"
        metrics = self.metrics()
        ranked = next((key for name in ("Car", *self.classes) if (key := f"{name}_3d_moderate_R40") in metrics), "")
        return Table(title, columns, tuple(rows), metrics, tuple(self._notes()), digits=4, score=metrics.get(ranked))

    def distance_table(self) -> Table:
        """Return AP by distance from the camera, with the limits of hard and the strict thresholds.

        Metric names contain 30m, 50m or 70m, the far end of the band.

        Raises:
            ValueError: the evaluation was made without distances.
        """
        if self.distance_curves is None or self.distance_counted is None:
            raise ValueError("distance_table: evaluate(..., distances=True) computes what it shows")
        rows, metrics = [], {}
        for c, name in enumerate(self.classes):
            for measure in (m for m in ("3d", "bev", "bbox", "aos") if m in self.distance_curves):
                values: list[float | None] = []
                for recalls, suffix in ((40, "_R40"), (11, "")):
                    for k, value in enumerate(average_precision(self.distance_curves[measure][c], recalls)):
                        counts = bool(self.distance_counted[c, k])
                        values.append(float(value) if counts else None)
                        if counts:
                            metrics[f"{name}_{_KEYS[measure]}_{DISTANCES[k][1]}m{suffix}"] = float(value)
                rows.append(
                    Row(
                        f"{name} {_LABELS[measure]} {self._threshold(STRICT, measure, name):.2f}",
                        tuple(values),
                        group=name,
                    )
                )
        columns = tuple(f"AP{recalls} {near}-{far} m" for recalls in (40, 11) for near, far in DISTANCES)
        return Table(f"KITTI average precision by distance, {self.frames:,} frames", columns, tuple(rows), metrics)

    def published_text(self) -> str:
        """Return the lines that the published evaluator prints."""
        lines = []
        for c, name in enumerate(self.classes):
            for chosen in (STRICT, LOOSE):
                overlaps = ", ".join(f"{self._threshold(chosen, measure, name):.2f}" for measure in MEASURES)
                for recalls, title in ((11, "AP"), (40, "AP_R40")):
                    lines.append(f"{name} {title}@{overlaps}:")
                    for measure in (m for m in ("bbox", "bev", "3d", "aos") if m in self.curves):
                        digits = 2 if measure == "aos" else 4
                        values = self.average_precision(measure, recalls)[c, :, chosen]
                        lines.append(f"{measure:<4} AP:" + ", ".join(f"{value:.{digits}f}" for value in values))
        return "".join(f"{line}\n" for line in lines)

    def _cells(self) -> Iterator[tuple[int, int, str, str]]:
        for c, name in enumerate(self.classes):
            for d, label in enumerate(DIFFICULTIES):
                yield c, d, name, label

    @staticmethod
    def _threshold(chosen: int, measure: str, name: str) -> float:
        measure = "bbox" if measure == "aos" else measure
        return float(THRESHOLDS[chosen, CLASSES.index(name), MEASURES.index(measure)])

    def _notes(self) -> Iterator[str]:
        for c, name in enumerate(self.classes):
            counts = self.counted[c]
            if not counts.any():
                yield f"{name}: no label counts in these frames, so there is no AP."
            elif counts.min() < kernel.SLOTS:
                few = ", ".join(
                    f"{label} {count} (at most {max(0, 2.5 * (count - 1)):.1f})"
                    for label, count in zip(DIFFICULTIES, counts, strict=True)
                    if count < kernel.SLOTS
                )
                yield (
                    f"{name}: with fewer than {kernel.SLOTS} labels even a perfect detector stays below 100 in "
                    f"AP40; labels: {few}."
                )
        if "aos" not in self.curves:
            yield "no AOS: the first detection has no observation angle (alpha -10), or nothing was detected."


def average_precision(curves: np.ndarray, recalls: int = 40) -> np.ndarray:
    """Return the mean of curves (..., 41) in percent.

    Args:
        curves: (..., 41), by recall slot.
        recalls: 40 (slots 1-40) or 11 (slots 0, 4, ..., 40).

    Raises:
        ValueError: recalls is neither 40 nor 11.
    """
    if recalls not in (40, 11):
        raise ValueError(f"recalls: expected 40 or 11, found {recalls}")
    slots = range(1, 41) if recalls == 40 else range(0, 41, 4)
    # Add one by one, as published: the last bits of the sum sometimes change a rounded digit.
    return sum((curves[..., slot] for slot in slots), np.zeros(curves.shape[:-1])) / recalls * 100


def evaluate(
    labels: Sequence[CameraBoxes],
    detections: Sequence[CameraBoxes],
    classes: Sequence[str] | None = None,
    distances: bool = False,
) -> KittiResult:
    """Evaluate detections against labels, frame by frame.

    Args:
        labels: the label lines of each frame, in file order, all classes, including DontCare.
        detections: the detections of each frame, with scores; the order breaks ties.
        classes: which of CLASSES to evaluate; None for all.
        distances: also evaluate by distance bands.

    Raises:
        ValueError: the numbers of frames differ, detections have no scores, or a class is unknown.
    """
    classes = CLASSES if classes is None else tuple(classes)
    if len(labels) != len(detections):
        raise ValueError(f"detections: expected {len(labels)} frames as in labels, found {len(detections)}")
    for name in classes:
        if name not in CLASSES:
            raise ValueError(f"classes: expected {', '.join(CLASSES)}, found {name}")
    truth, found = _Flat.join(labels, scored=False), _Flat.join(detections, scored=True)
    levels = [_Level(*limits) for limits in zip(_LEAST_HEIGHT, _MOST_OCCLUDED, _MOST_TRUNCATED, strict=True)]
    if distances:
        levels += [_Level(_LEAST_HEIGHT[2], _MOST_OCCLUDED[2], _MOST_TRUNCATED[2], band) for band in DISTANCES]
    label_use, detection_use = _uses(truth, found, classes, levels)
    tasks = _tasks(classes, len(levels))
    precision, similarity = _curves(truth, found, label_use, detection_use, tasks)
    shape = (len(levels), len(classes))
    counted = (label_use == 0).sum(-1).reshape(shape)
    curves = {m: _collect(precision, tasks, k, shape) for k, m in enumerate(MEASURES)}
    first = next((objects for objects in detections if len(objects)), None)
    if first is not None and first.alpha[0] != _NO_ALPHA:
        curves["aos"] = _collect(similarity, tasks, 0, shape)
    return KittiResult(
        classes,
        len(labels),
        {m: curve[:, :3] for m, curve in curves.items()},
        counted[:3].T,
        {m: curve[:, 3:, STRICT] for m, curve in curves.items()} if distances else None,
        counted[3:].T if distances else None,
    )


@dataclass(frozen=True)
class _Level:
    """Limits that a label must satisfy to count, and the minimum height of a detection."""

    least_height: float
    most_occluded: int
    most_truncated: float
    distance: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class _Flat:
    """The objects of all frames, one after the other; `kind` is the class's number from `_kind_number`."""

    starts: np.ndarray  # (F + 1,)
    kind: np.ndarray
    unlabelled: np.ndarray  # DontCare
    boxes2d: np.ndarray
    boxes: np.ndarray  # (N, 7) x y z h w l rotation_y
    alpha: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    scores: np.ndarray

    @staticmethod
    def join(frames: Sequence[CameraBoxes], scored: bool) -> _Flat:
        if scored and any(objects.scores is None for objects in frames):
            raise ValueError("detections: expected scores in every frame, found none in one")
        frames = [CameraBoxes.empty(scored), *frames]  # so that zero frames are no special case
        names = [name for objects in frames for name in objects.classes.tolist()]
        known = {name: _kind_number(name) for name in set(names)}
        scores = (
            np.concatenate([objects.scores for objects in frames if objects.scores is not None])
            if scored
            else np.zeros(0)
        )
        located = [
            np.concatenate([getattr(objects, name) for objects in frames])
            for name in ("locations", "sizes", "rotation_y")
        ]
        return _Flat(
            starts=np.cumsum([len(objects) for objects in frames]),
            kind=np.array([known[name] for name in names], np.int64),
            unlabelled=np.array([name == "DontCare" for name in names], bool),
            boxes2d=np.concatenate([objects.boxes2d for objects in frames]).astype(float),
            boxes=np.column_stack(located).astype(float),
            alpha=np.concatenate([objects.alpha for objects in frames]).astype(float),
            truncated=np.concatenate([objects.truncated for objects in frames]),
            occluded=np.concatenate([objects.occluded for objects in frames]),
            scores=scores.astype(float),
        )

    @property
    def heights(self) -> np.ndarray:
        return self.boxes2d[:, 3] - self.boxes2d[:, 1]


def _kind_number(name: str) -> int:
    """Return the position among the names that matter, -1 for any other; case does not matter."""
    names = [known.lower() for known in CLASSES] + list(_NEIGHBOURS.values())
    return names.index(name.lower()) if name.lower() in names else -1


def _uses(
    truth: _Flat, found: _Flat, classes: Sequence[str], levels: Sequence[_Level]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the use of each label and of each detection, by level and class.

    The shapes are (levels * classes, G) and (levels * classes, D), int8: 0 counts, 1 is ignored, -1 takes no part.
    """
    label_use = np.full((len(levels), len(classes), len(truth.kind)), -1, np.int8)
    detection_use = np.full((len(levels), len(classes), len(found.kind)), -1, np.int8)
    distance = np.linalg.norm(truth.boxes[:, :3], axis=1)
    for v, level in enumerate(levels):
        beyond = (
            (truth.occluded > level.most_occluded)
            | (truth.truncated > level.most_truncated)
            | (truth.heights <= level.least_height)
        )
        if level.distance is not None:
            near, far = level.distance
            beyond |= (distance > far) | ((distance <= near) & (near > 0))
        small = np.abs(found.heights) < level.least_height
        for c, name in enumerate(classes):
            kind, neighbour = _kind_number(name), _kind_number(_NEIGHBOURS.get(name.lower(), name))
            label_use[v, c, truth.kind == neighbour] = 1
            label_use[v, c, truth.kind == kind] = beyond[truth.kind == kind]
            detection_use[v, c, found.kind == kind] = 0
            detection_use[v, c, small] = 1
    rows = len(levels) * len(classes)
    return label_use.reshape(rows, len(truth.kind)), detection_use.reshape(rows, len(found.kind))


def _tasks(classes: Sequence[str], levels: int) -> list[tuple[int, int, int, int, float]]:
    """Return one task for each curve: (measure, level, class, threshold set, threshold).

    Distance bands (levels from 3) have tasks for the strict set only; a threshold that both sets share has one task.
    """
    tasks = []
    for chosen in (STRICT, LOOSE):
        for measure in range(len(MEASURES)):
            for level in range(levels if chosen == STRICT else min(levels, 3)):
                for c, name in enumerate(classes):
                    threshold = float(THRESHOLDS[chosen, CLASSES.index(name), measure])
                    if chosen == STRICT or threshold != THRESHOLDS[STRICT, CLASSES.index(name), measure]:
                        tasks.append((measure, level, c, chosen, threshold))
    return tasks


def _collect(
    values: np.ndarray, tasks: Sequence[tuple[int, int, int, int, float]], measure: int, shape: tuple[int, int]
) -> np.ndarray:
    """Return the curves of one measure, (classes, levels, sets, 41).

    The loose set repeats the strict one where the thresholds are the same.
    """
    levels, classes = shape
    curves = np.zeros((classes, levels, len(THRESHOLDS), kernel.SLOTS))
    for row, (task_measure, level, c, chosen, _) in zip(values, tasks, strict=True):
        if task_measure == measure:
            curves[c, level, chosen:] = row
    return curves


def _curves(
    truth: _Flat,
    found: _Flat,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    tasks: Sequence[tuple[int, int, int, int, float]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and orientation similarity of every task, (T, 41) each."""
    rows, columns = _pairs_in_frames(truth, found, np.any(label_use >= 0, 0), np.any(detection_use >= 0, 0))
    overlaps = _overlaps(truth, found, rows, columns)
    wanted = (overlaps > THRESHOLDS.min()).any(0)
    rows, columns, overlaps = rows[wanted], columns[wanted], np.ascontiguousarray(overlaps[:, wanted])
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(truth.kind)))])
    covered = np.zeros((len(MEASURES), len(found.kind)))
    covered[0] = _covered_by_unlabelled(truth, found)
    classes = label_use.shape[0] // (1 + max((level for _, level, *_ in tasks), default=0))
    chosen = np.array([(measure, level * classes + c) for measure, level, c, _, _ in tasks], np.int64).reshape(-1, 2)
    limits = np.array([threshold for *_, threshold in tasks])
    precision, similarity = np.zeros((2, len(tasks), kernel.SLOTS))
    kernel.cpu(
        starts.astype(np.int64),
        columns,
        overlaps,
        label_use,
        detection_use,
        truth.alpha,
        found.alpha,
        found.scores,
        np.argsort(-found.scores),
        covered,
        chosen,
        limits,
        precision,
        similarity,
    )
    return precision, similarity


def _pairs_in_frames(a: _Flat, b: _Flat, use_a: np.ndarray, use_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of a used object of `a` and a used object of `b` in the same frame.

    The result is two index arrays, sorted by the first, then the second.
    """
    rows_a, rows_b = np.flatnonzero(use_a), np.flatnonzero(use_b)
    frame_a = np.searchsorted(a.starts, rows_a, side="right") - 1
    first_b = np.searchsorted(rows_b, b.starts)  # each frame's first position in rows_b
    counts = (first_b[1:] - first_b[:-1])[frame_a]
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return np.repeat(rows_a, counts), rows_b[np.repeat(first_b[frame_a], counts) + within]


def _overlaps(truth: _Flat, found: _Flat, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the overlap of each pair by each measure: (3, P)."""
    pairs = torch.from_numpy(rows), torch.from_numpy(columns)
    flat = axis_aligned_iou(torch.from_numpy(truth.boxes2d), torch.from_numpy(found.boxes2d), pairs)
    boxes = torch.from_numpy(truth.boxes), torch.from_numpy(found.boxes)
    return np.stack(
        [measured.numpy() for measured in (flat, rotated_iou_bev(*boxes, pairs), rotated_iou_3d(*boxes, pairs))]
    )


def _covered_by_unlabelled(truth: _Flat, found: _Flat) -> np.ndarray:
    """Return (D,), the largest share of each detection's image box that one DontCare region covers."""
    rows, columns = _pairs_in_frames(found, truth, np.ones(len(found.kind), bool), truth.unlabelled)
    pairs = torch.from_numpy(rows), torch.from_numpy(columns)
    shares = axis_aligned_coverage(torch.from_numpy(found.boxes2d), torch.from_numpy(truth.boxes2d), pairs)
    covered = np.zeros(len(found.kind))
    np.maximum.at(covered, rows, shares.numpy())
    return covered
