"""Predictions files: JSON lines, one record per (sample, sentence), enough to evaluate and to draw without the model.

A record, on one line:
    {"schema": 1, "sample": "000008", "expression": null, "image": "image_2/000008.png", "image_size": [1242, 375],
     "camera": [[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]],
     "objects": [{"class": "Car", "score": 0.93, "box2d": [x1, y1, x2, y2], "size_hwl": [h, w, l], "location": [x, y,
     z],
                  "rotation_y": 1.57, "alpha": 1.49}]}

Units, frames and shapes are those of g3d.data.types. `image`, `image_size` and `camera` are null where unknown; an
object carries `truncated` and `occluded` only where they are known (not -1). Floats are written so that they read back
to the same bits.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from g3d.data.files import atomic_write
from g3d.data.types import Objects, Prediction
from g3d.errors import InputError, MissingDataError

SCHEMA = 1
_RECORD_FIELDS = ("schema", "sample", "expression", "image", "image_size", "camera", "objects")
_OBJECT_FIELDS = ("class", "score", "box2d", "size_hwl", "location", "rotation_y", "alpha", "truncated", "occluded")
_OBJECT_VECTORS = {"box2d": 4, "size_hwl": 3, "location": 3}
_UNKNOWN = -1


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write one line per prediction; `path` is complete or, after an error, as it was before.

    Raises:
        InputError: a score, box or camera is not finite, or `scores` is None.
        EnvironmentProblem: the file cannot be written.
    """
    with atomic_write(path) as file:
        for prediction in predictions:
            try:
                line = json.dumps(to_record(prediction), allow_nan=False, ensure_ascii=False)
            except ValueError as error:
                found = f"found a number that is not finite in {_not_finite(prediction)}"
                raise InputError(
                    f"{path}: prediction for {prediction.sample!r}: {found}", "Did the training diverge?"
                ) from error
            file.write(line.encode() + b"\n")


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read and check a predictions file; blank lines are skipped.

    Raises:
        MissingDataError: there is no such file.
        InputError: a line is not a record: the message names the file, the line, the field, what was found and what was
            expected.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"predictions file {path}: not found", "`g3d eval` and `g3d infer` write one.")
    predictions: list[Prediction] = []
    detections: dict[
        str, int
    ] = {}  # sample -> line; the same sentence may be asked twice of one sample, detection may not
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            prediction = _Line(path, number).read(raw)
            if prediction.expression is None:
                first = detections.setdefault(prediction.sample, number)
                if first != number:
                    raise InputError(f"{path}:{number}: sample {prediction.sample!r} is already on line {first}")
            predictions.append(prediction)
    return predictions


def to_record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain data: one line of a predictions file."""
    objects = prediction.objects
    if objects.scores is None:
        raise InputError(
            f"prediction for {prediction.sample!r}: objects without scores are labels; expected a score for each"
        )
    rows = [
        {
            "class": str(name),
            "score": score,
            "box2d": box,
            "size_hwl": size,
            "location": location,
            "rotation_y": yaw,
            "alpha": alpha,
        }
        for name, score, box, size, location, yaw, alpha in zip(
            objects.classes,
            _floats(objects.scores),
            _floats(objects.boxes2d),
            _floats(objects.sizes),
            _floats(objects.locations),
            _floats(objects.rotation_y),
            _floats(objects.alpha),
            strict=True,
        )
    ]
    for row, truncated, occluded in zip(rows, _floats(objects.truncated), objects.occluded.tolist(), strict=True):
        if truncated != _UNKNOWN:
            row["truncated"] = truncated
        if occluded != _UNKNOWN:
            row["occluded"] = int(occluded)
    size = prediction.image_size
    camera = prediction.camera
    return {
        "schema": SCHEMA,
        "sample": prediction.sample,
        "expression": prediction.expression,
        "image": prediction.image,
        "image_size": None if size is None else [int(size[0]), int(size[1])],
        "camera": None if camera is None else _floats(camera),
        "objects": rows,
    }


def _floats(values: np.ndarray) -> list:
    return np.asarray(values, np.float64).tolist()


def _not_finite(prediction: Prediction) -> str:
    objects = prediction.objects
    arrays = {
        "score": objects.scores,
        "box2d": objects.boxes2d,
        "size_hwl": objects.sizes,
        "location": objects.locations,
        "rotation_y": objects.rotation_y,
        "alpha": objects.alpha,
        "truncated": objects.truncated,
        "camera": prediction.camera,
    }
    return ", ".join(name for name, array in arrays.items() if array is not None and not np.isfinite(array).all())


class _Line:
    """Checks one line of a predictions file and says what is wrong with it."""

    def __init__(self, path: Path, number: int) -> None:
        self.where = f"{path}:{number}"

    def fail(self, field: str, found: Any, expected: str) -> NoReturn:
        shown = json.dumps(found, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise InputError(f"{self.where}: {field}: found {shown}, expected {expected}")

    def read(self, raw: bytes) -> Prediction:
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as error:
            reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            raise InputError(
                f"{self.where}: not a JSON record: {reason}", "A predictions file holds one JSON object per line."
            ) from error
        if not isinstance(record, dict):
            self.fail("record", record, "a JSON object")
        version = record.get("schema")
        if isinstance(version, bool) or version != SCHEMA:
            self.fail("schema", version, f"{SCHEMA}, the version that this g3d reads")
        self.names(record, "", _RECORD_FIELDS, _RECORD_FIELDS)
        if not isinstance(record["sample"], str) or not record["sample"]:
            self.fail("sample", record["sample"], "the sample's id, a string")
        if not isinstance(record["objects"], list):
            self.fail("objects", record["objects"], "a list")
        return Prediction(
            record["sample"],
            self.objects(record["objects"]),
            self.text(record, "expression"),
            self.text(record, "image"),
            self.image_size(record["image_size"]),
            self.camera(record["camera"]),
        )

    def names(self, record: Mapping[str, Any], prefix: str, known: tuple[str, ...], required: tuple[str, ...]) -> None:
        for name in required:
            if name not in record:
                raise InputError(f"{self.where}: {prefix}{name} is missing (found: {', '.join(record) or 'nothing'})")
        for name in record:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise InputError(
                    f"{self.where}: {prefix}{name} is not a known field", f"Did you mean {near[0]}?" if near else None
                )

    def text(self, record: Mapping[str, Any], field: str) -> str | None:
        value = record[field]
        if value is not None and not isinstance(value, str):
            self.fail(field, value, "a string or null")
        return value

    def image_size(self, value: Any) -> tuple[int, int] | None:
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2 or any(type(v) is not int or v <= 0 for v in value):
            self.fail("image_size", value, "[width, height] in pixels, or null")
        return value[0], value[1]

    def camera(self, value: Any) -> np.ndarray | None:
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 3:
            self.fail("camera", value, "3 rows of 4 numbers, or null")
        return np.array([self.numbers(row, 4, f"camera[{k}]") for k, row in enumerate(value)])

    def objects(self, rows: list) -> Objects:
        if not rows:
            return Objects.empty(scored=True)
        for k, row in enumerate(rows):
            if not isinstance(row, dict):
                self.fail(f"objects[{k}]", row, "a JSON object")
            self.names(row, f"objects[{k}].", _OBJECT_FIELDS, _OBJECT_FIELDS[:7])
            if not isinstance(row["class"], str) or not row["class"]:
                self.fail(f"objects[{k}].class", row["class"], "a class name")
            if type(row.get("occluded", _UNKNOWN)) is not int:
                self.fail(f"objects[{k}].occluded", row["occluded"], "an integer")
        boxes, sizes, locations = (
            np.array([self.numbers(row[field], count, f"objects[{k}].{field}") for k, row in enumerate(rows)])
            for field, count in _OBJECT_VECTORS.items()
        )
        scores, yaws, alphas, truncated = (
            np.array(
                [self.numbers([row.get(field, _UNKNOWN)], 1, f"objects[{k}].{field}")[0] for k, row in enumerate(rows)]
            )
            for field in ("score", "rotation_y", "alpha", "truncated")
        )
        occluded = np.array([row.get("occluded", _UNKNOWN) for row in rows], np.int64)
        return Objects(
            np.array([row["class"] for row in rows]), boxes, sizes, locations, yaws, alphas, truncated, occluded, scores
        )

    def numbers(self, value: Any, count: int, field: str) -> list[float]:
        expected = "a finite number" if count == 1 else f"{count} finite numbers"
        if not isinstance(value, list) or len(value) != count:
            self.fail(field, value, expected)
        if not all(type(v) in (int, float) and abs(v) < math.inf for v in value):
            self.fail(field, value[0] if count == 1 else value, expected)
        try:
            return [float(v) for v in value]
        except OverflowError:  # an integer of more than 308 digits
            self.fail(field, value, expected)
