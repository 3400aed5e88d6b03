"""Predictions files: JSON lines with one record for each (sample, sentence), sufficient to evaluate and draw.

A record of schema 2, on one line:
    {"schema": 2, "sample": "000008", "expression": null,
     "source": {"kind": "image", "path": "image_2/000008.png", "size": [1242, 375], "camera": [[721.5, 0, 609.6, 44.9],
                [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]]},
     "answers": [{"kind": "camera_boxes", "objects": [{"class": "Car", "score": 0.93, "box2d": [x1, y1, x2, y2],
                  "size_hwl": [h, w, l], "location": [x, y, z], "rotation_y": 1.57, "alpha": 1.49}]}]}

The source of a scene is {"kind": "scene", "path": ..., "name": ..., "frame": "scene" or "aligned"}; a user's own scan
also has "transform", four rows of four numbers, from the file's coordinates to those of the answers. Answers have the
units, frames and shapes of g3d/data/answers.py; masks are COCO's run-length texts, with one column for points. Unknown
fields of an image are null, and unknown fields of an object are left out. Floats are written so that they read back to
the same bits. Files of schema 1, which had one list of boxes in the camera frame, are still read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.answers import CameraBoxes, answer_of
from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.records import Record, floats
from g3d.data.types import ImageSource, Prediction, SceneSource, Source
from g3d.errors import InputError, MissingDataError

SCHEMA = 2
_FIELDS = ("schema", "sample", "expression", "source", "answers")
_FIELDS_1 = ("schema", "sample", "expression", "image", "image_size", "camera", "objects")
_SOURCES = {"image": ("kind", "path", "size", "camera"), "scene": ("kind", "path", "name", "frame")}
_OPTIONAL = {"image": (), "scene": ("transform",)}


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write one line for each prediction; after an error, `path` is unchanged.

    Raises:
        InputError: a score, box or camera is not finite, or an answer has no scores.
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
    """Read and check a predictions file of schema 1 or 2; blank lines are skipped.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line is not a record. The message names the file, the line, the field, the found and the expected
            value.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"predictions file {path}: not found", "`g3d eval` and `g3d infer` write one.")
    predictions: list[Prediction] = []
    lines: dict[tuple[str, str | None], int] = {}
    with reading(path, "predictions file"), path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            where = f"{path}:{number}"
            prediction, schema = _read_line(raw, where)
            if prediction.expression is None or schema > 1:  # schema 1 allowed the same sentence twice
                first = lines.setdefault(prediction.key, number)
                if first != number:
                    raise InputError(f"{where}: {_named(prediction)} is already on line {first}")
            predictions.append(prediction)
    return predictions


def to_record(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain data: one line of a predictions file.

    Raises:
        InputError: an answer has no scores.
    """
    try:
        answers = [answer.to_record() for answer in prediction.answers]
    except InputError as error:
        raise InputError(f"prediction for {prediction.sample!r}: {error.message}") from None
    return {
        "schema": SCHEMA,
        "sample": prediction.sample,
        "expression": prediction.expression,
        "source": _source_record(prediction.source),
        "answers": answers,
    }


def _named(prediction: Prediction) -> str:
    about = "" if prediction.expression is None else f" with the sentence {prediction.expression[:40]!r}"
    return f"sample {prediction.sample!r}{about}"


def _source_record(source: Source) -> dict[str, Any]:
    if isinstance(source, SceneSource):
        record = {"kind": "scene", "path": source.path, "name": source.name, "frame": source.frame}
        return record if source.transform is None else record | {"transform": floats(source.transform)}
    return {
        "kind": "image",
        "path": source.path,
        "size": None if source.size is None else [int(source.size[0]), int(source.size[1])],
        "camera": None if source.camera is None else floats(source.camera),
    }


def _read_line(raw: bytes, where: str) -> tuple[Prediction, int]:
    """Return the prediction on a line and the line's schema."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputError(
            f"{where}: not a JSON record: {reason}", "A predictions file holds one JSON object on each line."
        ) from error
    record = Record(values, where)
    schema = record.values.get("schema")
    if isinstance(schema, bool) or schema not in (1, SCHEMA):
        record.fail("schema", schema, f"1 or {SCHEMA}, the versions that this g3d reads")
    return (_read_1(record) if schema == 1 else _read_2(record)), int(schema)


def _read_2(record: Record) -> Prediction:
    record.only(_FIELDS, _FIELDS)
    sample = record.name("sample", "the sample's id, a string")
    answers = tuple(answer_of(row) for row in record.rows("answers"))
    return Prediction(sample, _source(record.inner("source")), answers, record.text("expression"))


def _source(record: Record) -> Source:
    kind = record.one_of("kind", tuple(_SOURCES))
    record.only((*_SOURCES[kind], *_OPTIONAL[kind]), _SOURCES[kind])
    if kind == "image":
        return ImageSource(record.text("path"), record.size("size"), record.matrix("camera", 3, 4))
    name, frame = record.name("name", "the scene's name"), record.one_of("frame", ("scene", "aligned"))
    transform = record.matrix("transform", 4, 4)
    return SceneSource(record.text("path"), name, frame, transform)  # type: ignore[arg-type]


def _read_1(record: Record) -> Prediction:
    """Read a record of schema 1: an image and one list of boxes in its camera frame."""
    record.only(_FIELDS_1, _FIELDS_1)
    sample = record.name("sample", "the sample's id, a string")
    source = ImageSource(record.text("image"), record.size("image_size"), record.matrix("camera", 3, 4))
    return Prediction(sample, source, (CameraBoxes.from_record(record),), record.text("expression"))


def _not_finite(prediction: Prediction) -> str:
    """Return the names of a prediction's arrays that contain a number that is not finite."""
    parts = {name: value for answer in prediction.answers for name, value in vars(answer).items()}
    parts.update(vars(prediction.source))
    numbers = {name: np.asarray(value) for name, value in parts.items() if value is not None}
    return ", ".join(
        name for name, array in numbers.items() if array.dtype.kind == "f" and not np.isfinite(array).all()
    )
