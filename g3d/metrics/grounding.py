"""Accuracy of 3D boxes predicted for sentences about images, over the groups of Mono3DRefer's test split.

All figures in the papers use the published IoU. It aligns a box's sides with the axes, ignores its heading, and assigns
height, width and length to x, y and z (the camera's right, down and forward) instead of y, z and x. It is kept for
comparison with the papers, next to the true IoU of the rotated boxes.

Source: ZhanYang-nwpu/Mono3DVG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import torch
from torch import Tensor

from g3d.data.mono3drefer import names as mono3drefer_names
from g3d.data.mono3drefer.names import DIFFICULTY_GROUPS, DISTANCE_GROUPS, UNIQUE_GROUPS
from g3d.data.types import CameraBoxes
from g3d.metrics.table import Row, Table
from g3d.ops.box_iou import axis_aligned_iou_3d, rotated_iou_3d

GROUPS = ("Overall", *mono3drefer_names.GROUPS)
_EXCLUSIVE = (DISTANCE_GROUPS, DIFFICULTY_GROUPS)
_ACCURACIES = {"acc25": 0.25, "acc50": 0.5}


def published_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the published IoU of boxes, row by row.

    Args:
        found, truth: (N, 7) x y z h w l rotation_y: bottom centre, height, width, length in metres, yaw in radians,
            camera frame.

    Returns:
        (N,) float64, 0..1: the IoU of boxes centred at (x, y - h / 2, z) with the extents h, w, l along x, y, z.
    """
    return _row_by_row(axis_aligned_iou_3d, *(_published_extents(boxes) for boxes in (found, truth)))


def oriented_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the 3D IoU of rotated boxes, row by row; arguments and result as in `published_iou`."""
    return _row_by_row(rotated_iou_3d, found, truth)


def grounding_table(
    found: Sequence[CameraBoxes],
    truth: Sequence[CameraBoxes],
    instances: Sequence[int],
    groups: Mapping[str, AbstractSet[int]] | None = None,
) -> Table:
    """Return the accuracy at an IoU above 0.25 and 0.5, and the mean IoU, in percent, by published and oriented IoU.

    Args:
        found: for each expression the predicted objects, best first; only the first one counts, and no object is an IoU
            of 0.
        truth: for each expression its one object.
        instances: for each expression the number of its object.
        groups: object numbers by group ("Unique", "Near", ...). Every object that is not in Unique is in Multiple,
            whatever Multiple lists. Of Near, Medium and Far, and of Easy, Moderate and Hard, the first group that lists
            an object counts.

    Returns:
        A table with the rows of GROUPS, and metrics `<Group>_acc25`, `_acc50`, `_iou`, `_oriented_acc25`,
        `_oriented_acc50`, `_oriented_iou`. A group without expressions has no figures. If no object is in any group
        (another split), the table has Overall only.

    Raises:
        ValueError: the sequences differ in length, or an expression does not have exactly one true object.
    """
    if not len(found) == len(truth) == len(instances):
        counts = f"{len(found)}, {len(truth)} and {len(instances)}"
        raise ValueError(
            f"grounding_table: expected a prediction, a label and an object number for each expression, found {counts}"
        )
    wrong = next((k for k, objects in enumerate(truth) if len(objects) != 1), None)
    if wrong is not None:
        raise ValueError(f"truth[{wrong}]: expected one object, found {len(truth[wrong])}")

    answered = np.array([len(objects) > 0 for objects in found], bool)
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if len(f)]
    first, second = (box_rows([pair[side] for pair in pairs]) for side in (0, 1))
    overlaps = np.zeros((2, len(found)))
    overlaps[:, answered] = published_iou(first, second), oriented_iou(first, second)

    members = _members(np.asarray(instances, np.int64), groups or {})
    rows: list[Row] = []
    metrics: dict[str, float] = {}
    for name, mask in members.items():
        figures = [figure for iou in overlaps for figure in _figures(iou[mask])]
        section = next((group[0] for group in (*_EXCLUSIVE, UNIQUE_GROUPS) if name in group), name)
        rows.append(Row(name, tuple(figures), group=section))
        keys = [f"{name}_{kind}{key}" for kind in ("", "oriented_") for key in (*_ACCURACIES, "iou")]
        metrics |= {key: figure for key, figure in zip(keys, figures, strict=True) if figure is not None}
    columns = ("Acc@0.25", "Acc@0.5", "mean IoU", "oriented@0.25", "oriented@0.5", "oriented IoU")
    title = f"3D grounding accuracy, {len(found):,} expressions"
    score = (
        metrics["Overall_acc25"] + metrics["Overall_acc50"] if found else None
    )  # the published trainer selects its best checkpoint by this sum
    return Table(title, columns, tuple(rows), metrics, tuple(_notes(members, answered)), score=score)


def _members(instances: np.ndarray, groups: Mapping[str, AbstractSet[int]]) -> dict[str, np.ndarray]:
    """Return, by group, (N,) bool: the expressions that count in it."""
    listed = {name: np.isin(instances, list(groups.get(name, ()))) for name in GROUPS[1:]}
    everything = {"Overall": np.ones(len(instances), bool)}
    if not any(mask.any() for mask in listed.values()):
        return everything
    listed["Multiple"] = ~listed["Unique"]
    for names in _EXCLUSIVE:
        taken = np.zeros(len(instances), bool)
        for name in names:
            listed[name] &= ~taken
            taken |= listed[name]
    return everything | listed


def _figures(iou: np.ndarray) -> list[float | None]:
    """Return the accuracies and the mean in percent; None if there is no expression."""
    if not len(iou):
        return [None] * (len(_ACCURACIES) + 1)
    return [*(100 * float((iou > threshold).mean()) for threshold in _ACCURACIES.values()), 100 * float(iou.mean())]


def _notes(members: Mapping[str, np.ndarray], answered: np.ndarray) -> list[str]:
    notes = [
        "the first three columns have the published IoU: sides along the axes, heading ignored, height, "
        "width and length taken along x, y "
        "and z. The published figures are of this kind; `oriented` is the true overlap of the rotated boxes."
    ]
    if len(members) > 1:
        notes.append("expressions: " + ", ".join(f"{name} {mask.sum():,}" for name, mask in members.items()) + ".")
    for names in _EXCLUSIVE if len(members) > 1 else ():
        rest = len(answered) - sum(int(members[name].sum()) for name in names)
        if rest:
            notes.append(
                f"{_expressions(rest, 'is', 'are')} in none of {', '.join(names)}: the lists do not have the object."
            )
    if not answered.all():
        unanswered = _expressions(int((~answered).sum()), "has", "have")
        notes.append(f"{unanswered} no predicted object, which counts as an IoU of 0.")
    return notes


def _expressions(count: int, one: str, many: str) -> str:
    return f"1 expression {one}" if count == 1 else f"{count:,} expressions {many}"


def box_rows(objects: Sequence[CameraBoxes]) -> np.ndarray:
    """Return the first object of each as a row: (N, 7) float64, x y z h w l rotation_y."""
    rows = [np.concatenate([o.locations[0], o.sizes[0], o.rotation_y[:1]]) for o in objects]
    return np.stack(rows).astype(np.float64) if rows else np.zeros((0, 7))


def _published_extents(boxes: np.ndarray) -> np.ndarray:
    """Return boxes (N, 7) as (N, 6): centre, and height, width, length as extents along x, y, z."""
    return np.column_stack([boxes[:, 0], boxes[:, 1] - boxes[:, 3] / 2, boxes[:, 2], boxes[:, 3:6]])


def _row_by_row(
    overlap: Callable[[Tensor, Tensor, tuple[Tensor, Tensor]], Tensor], found: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    rows = torch.arange(len(found))
    first, second = (torch.from_numpy(np.array(boxes, np.float64)) for boxes in (found, truth))
    return overlap(first, second, (rows, rows)).numpy()
