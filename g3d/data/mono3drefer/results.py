"""Reader and writer of the published result.json: one entry per expression, with the predicted box and its label.

    {"000152_37_181": {"im_name": "000152", "instanceID": 37, "ann_id": 181,
                       "label_2_pre": "[1, alpha, x1, y1, x2, y2, h, w, l, x, y, z, rotation_y, score]",
                       "label_2_gt": [h, w, l, x, y, z], "IoU": 0.61, "description": "the white car ..."}}

The key is the expression's id, <im_name>_<instanceID>_<ann_id>. label_2_pre is text; its first number is the index of
the class in CLASS_NAMES. Units and frames are those of g3d.data.types; IoU is `published_iou`.

Source: ZhanYang-nwpu/Mono3DVG, val.py.
"""

from __future__ import annotations

import ast
import json
import logging
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.mono3drefer.names import CLASS_NAMES
from g3d.data.mono3drefer.raw import Expression
from g3d.data.types import CameraBoxes, ImageSource, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.metrics.grounding import box_rows, published_iou

FILE = "result.json"
_ROW = ("class", "alpha", "x1", "y1", "x2", "y2", "height", "width", "length", "x", "y", "z", "rotation_y", "score")
_BEGINNING = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\{\s*"[^"]+_\d+_\d+"\s*:\s*\{'
)  # the first key of a file is an expression's id
_NUMPY_NUMBER = re.compile(r"np\.float\d+\(([^()]*)\)")  # the published code prints numbers in this form with numpy 2
log = logging.getLogger(__name__)


def write_results(path: Path | str, predictions: Sequence[Prediction], expressions: Sequence[Expression]) -> None:
    """Write the first object of each prediction and its label; after an error, `path` is unchanged.

    Args:
        path: the file, usually named FILE.
        predictions: one for each expression; the best object comes first.
        expressions: the expressions in the same order.

    Raises:
        InputError: a prediction has no object, an object with a class outside the data set, or a number that is not
            finite.
        ValueError: the ids of predictions and expressions differ.
        EnvironmentProblem: the file cannot be written.
    """
    if [p.sample for p in predictions] != [e.id for e in expressions]:
        raise ValueError("write_results: expected a prediction for each expression, in their order")
    rows = [_row(path, prediction) for prediction in predictions]
    overlaps = published_iou(
        box_rows([p.answer(CameraBoxes) for p in predictions]), box_rows([e.objects for e in expressions])
    )
    entries = {
        e.id: {
            "im_name": e.image,
            "instanceID": e.instance,
            "ann_id": e.annotation,
            "label_2_pre": str(row),
            "label_2_gt": [*e.objects.sizes[0].tolist(), *e.objects.locations[0].tolist()],
            "IoU": overlap,
            "description": e.sentence,
        }
        for e, row, overlap in zip(expressions, rows, overlaps.tolist(), strict=True)
    }
    with atomic_write(path) as file:
        file.write(json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_results(path: Path | str, ids: Sequence[str]) -> list[Prediction]:
    """Return the predictions for expressions, with one object each, in the order of `ids`.

    Entries of other expressions are not used; their number is logged.

    Raises:
        MissingDataError: the file does not exist, or has no entry for an expression.
        InputError: the file is not a result file, or an entry cannot be used. The message names the file, the entry,
            the field, the found and the expected value.
    """
    entries = _read_entries(Path(path))
    missing = [name for name in ids if name not in entries]
    if missing:
        raise MissingDataError(
            f"{path}: {len(missing)} of {len(ids)} expressions have no entry (first: {missing[0]})",
            "Is it the result of another --split?",
        )
    extra = entries.keys() - set(ids)
    if extra:
        log.info(
            "%s: entries of expressions outside the split are not used: %d (first: %s)", path, len(extra), min(extra)
        )
    return [_read_entry(path, name, entries[name]) for name in ids]


def is_result_file(path: Path | str) -> bool:
    """Return whether a file begins like a result.json; the rest may still be damaged."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(1000)) is not None


def _row(path: Path | str, prediction: Prediction) -> list[int | float]:
    """Return the 14 numbers of the prediction's first object."""
    o, where = prediction.answer(CameraBoxes), f"{path}: prediction for {prediction.sample!r}"
    if not len(o) or o.scores is None:
        raise InputError(f"{where}: found no object, expected one with a score: {FILE} has a box for every expression")
    if o.classes[0] not in CLASS_NAMES:
        raise InputError(f"{where}: class: found {str(o.classes[0])!r}, expected one of {', '.join(CLASS_NAMES)}")
    vectors = (
        np.concatenate([o.alpha[:1], o.boxes2d[0], o.sizes[0], o.locations[0], o.rotation_y[:1], o.scores[:1]])
        .astype(float)
        .tolist()
    )
    wrong = [name for name, value in zip(_ROW[1:], vectors, strict=True) if not math.isfinite(value)]
    if wrong:
        raise InputError(
            f"{where}: found a number that is not finite in {', '.join(wrong)}", "Did the training diverge?"
        )
    return [CLASS_NAMES.index(o.classes[0]), *vectors]


def _read_entries(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingDataError(f"result file {path}: not found", "`g3d eval --native DIR` writes one.")
    with reading(path, problem="not the JSON of a published result file"):
        entries = json.loads(path.read_bytes(), object_pairs_hook=_no_key_twice)
    if not isinstance(entries, dict):
        raise InputError(
            f"{path}: found a {type(entries).__name__}, expected a JSON object with an entry for each expression"
        )
    return entries


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} comes twice")
    return content


def _read_entry(path: Path | str, name: str, entry: Any) -> Prediction:
    where = f"{path}: entry {name!r}"
    if not isinstance(entry, dict):
        _refuse(where, entry, "a JSON object")
    for field, kind, words in (
        ("im_name", str, "text"),
        ("instanceID", int, "a whole number"),
        ("ann_id", int, "a whole number"),
        ("label_2_pre", str, "the text of a list"),
        ("description", str, "the sentence"),
    ):
        if field not in entry:
            raise InputError(f"{where}: {field} is missing (found: {', '.join(entry) or 'nothing'})")
        if type(entry[field]) is not kind:
            _refuse(f"{where}: {field}", entry[field], words)
    identity = f"{entry['im_name']}_{entry['instanceID']}_{entry['ann_id']}"
    if identity != name:
        _refuse(f"{where}: im_name, instanceID and ann_id", identity, "the same as the key")
    box = _read_row(f"{where}: label_2_pre", entry["label_2_pre"])
    return Prediction(name, ImageSource(), (box,), entry["description"])


def _read_row(where: str, text: str) -> CameraBoxes:
    try:
        values = ast.literal_eval(_NUMPY_NUMBER.sub(r"\1", text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        values = None
    if not isinstance(values, (list, tuple)) or len(values) != len(_ROW):
        _refuse(where, text, f"the text of a list of {len(_ROW)} numbers: {', '.join(_ROW)}")
    for name, value in zip(_ROW, values, strict=True):
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            _refuse(f"{where}, {name}", value, "a finite number")
    if values[0] not in range(len(CLASS_NAMES)):
        _refuse(f"{where}, class", values[0], f"0..{len(CLASS_NAMES) - 1}, the place among {', '.join(CLASS_NAMES)}")
    row = np.array([values], np.float64)
    return CameraBoxes(
        classes=np.array([CLASS_NAMES[int(values[0])]]),
        boxes2d=row[:, 2:6],
        sizes=row[:, 6:9],
        locations=row[:, 9:12],
        rotation_y=row[:, 12],
        alpha=row[:, 1],
        truncated=np.full(1, -1.0),
        occluded=np.full(1, -1),
        scores=row[:, 13],
    )


def _refuse(where: str, found: Any, expected: str) -> NoReturn:
    shown = repr(found)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise InputError(f"{where}: found {shown}, expected {expected}")
