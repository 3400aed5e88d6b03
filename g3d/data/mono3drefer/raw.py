"""Readers of the published Mono3DRefer files: sentences with their objects' labels, and the groups of the test split.

    Mono3DRefer/
      images/000152.png  calib/000152.txt           from KITTI's object benchmark
      Mono3DRefer_{train,val,test}_image.txt        one frame per line
      Mono3DRefer.json                              [{im_name, instanceID, ann_id, objectName, label_2,
                                                    description}, ...]
      test_instanceID_split.json                    {group: [instanceID, ...]}

All content is checked when it is read: an error is one line that names the file, the entry, the field, the found and
the expected value.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from g3d.data.boundary import reader, reading
from g3d.data.kitti.raw import FIELDS
from g3d.data.mono3drefer.names import CLASS_NAMES, DIFFICULTY_GROUPS, DISTANCE_GROUPS, GROUPS
from g3d.data.types import CameraBoxes
from g3d.errors import InputError, did_you_mean

EXPRESSIONS_FILE = "Mono3DRefer.json"
GROUPS_FILE = "test_instanceID_split.json"

_ENTRY_FIELDS = ("im_name", "instanceID", "ann_id", "objectName", "label_2", "description")
_NUMBERS = FIELDS[1:15]
_FRAME = re.compile(r"\d{6}", re.ASCII)
_BOUNDS = {
    "truncated": (-1, 1), "occluded": (-1, 3), "alpha": (-10, 10), "rotation_y": (-10, 10),
    "height": (0, 100), "width": (0, 100), "length": (0, 100), "x": (-1000, 1000), "y": (-1000, 1000), "z": (0, 1000),
}  # fmt: skip
"""Lowest and highest value of each label field; -1 and -10 mean unknown.

Values beyond these bounds are degrees, millimetres or fields in a wrong order.
"""


@dataclass(frozen=True, eq=False)
class Expression:
    """A sentence about one object of an image.

    Attributes:
        id: "<image>_<instance>_<annotation>": the key of the published result.json.
        image: the frame, six digits.
        instance: the object's id, unique over the data set.
        annotation: the sentence's number.
        class_name: one of CLASS_NAMES.
        sentence: the sentence as written, with capitals, without surrounding spaces.
        objects: one row, the object's label; its class is `class_name`.
    """

    id: str
    image: str
    instance: int
    annotation: int
    class_name: str
    sentence: str
    objects: CameraBoxes


@dataclass(frozen=True)
class Entries:
    """The content of Mono3DRefer.json.

    Attributes:
        expressions: the usable expressions in the file's order.
        broken: name ("entry 7", counted from 0) and error of each other entry.
    """

    expressions: tuple[Expression, ...]
    broken: tuple[tuple[str, InputError], ...]


@reader()
def read_expressions(path: Path | str) -> Entries:
    """Return all entries of Mono3DRefer.json; broken entries are reported beside the usable ones.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not a JSON list, or the list is empty.
    """
    entries = _read_json(Path(path), list, "a list of expressions")
    if not entries:
        raise InputError(f"{path}: the list is empty, expected expressions")
    labels: dict[tuple[str, str], CameraBoxes] = {}
    good: dict[str, Expression] = {}
    broken = []
    for place, entry in enumerate(entries):
        try:
            expression = _read_entry(entry, str(path), place, labels)
            if expression.id in good:
                _refuse(
                    str(path),
                    place,
                    expression.id,
                    "im_name, instanceID and ann_id",
                    "those of an earlier entry",
                    "a triple once",
                )
        except InputError as error:
            broken.append((f"entry {place}", error))
        else:
            good[expression.id] = expression
    return Entries(tuple(good.values()), tuple(broken))


def _read_entry(entry: Any, path: str, place: int, labels: dict[tuple[str, str], CameraBoxes]) -> Expression:
    """Return the expression of one checked entry; `labels` caches parsed labels, which several sentences share."""
    if not isinstance(entry, dict):
        _refuse(path, place, "", "entry", _shown(entry), "an object with the fields " + ", ".join(_ENTRY_FIELDS))
    missing = [name for name in _ENTRY_FIELDS if name not in entry]
    if missing:
        _refuse(path, place, "", missing[0], "no such field", "the fields " + ", ".join(_ENTRY_FIELDS))
    image = entry["im_name"]
    if not isinstance(image, str) or not _FRAME.fullmatch(image):
        _refuse(path, place, "", "im_name", _shown(image), 'a frame of six digits, in quotes, such as "000152"')
    numbers = {name: entry[name] for name in ("instanceID", "ann_id")}
    for name, number in numbers.items():
        if not _is_id(number):
            _refuse(path, place, image, name, _shown(number), "a whole number of 0 or more")
    identity = f"{image}_{entry['instanceID']}_{entry['ann_id']}"
    name, label, sentence = entry["objectName"], entry["label_2"], entry["description"]
    if name not in CLASS_NAMES:
        expected = f"one of {', '.join(CLASS_NAMES)}{did_you_mean(name, CLASS_NAMES)}"
        _refuse(path, place, identity, "objectName", _shown(name), expected)
    if not isinstance(sentence, str) or not sentence.strip() or not _is_text(sentence):
        _refuse(path, place, identity, "description", _shown(sentence), "a sentence")
    if not isinstance(label, str):
        _refuse(path, place, identity, "label_2", _shown(label), "a list of 15 fields, written as text")
    if (name, label) not in labels:
        labels[name, label] = _read_label(label, name, path, place, identity)
    return Expression(
        identity, image, entry["instanceID"], entry["ann_id"], name, sentence.strip(), labels[name, label]
    )


def _read_label(text: str, class_name: str, path: str, place: int, identity: str) -> CameraBoxes:
    """Return the object of a label_2 text; a score as the 16th field is ignored."""
    try:
        fields = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        fields = None
    if not isinstance(fields, list):
        _refuse(
            path, place, identity, "label_2", _shown(text), "the text of a list such as \"['Car', '0.00', '0', ...]\""
        )
    if len(fields) not in (15, 16):
        _refuse(
            path,
            place,
            identity,
            "label_2",
            f"{len(fields)} fields",
            "15 (" + ", ".join(FIELDS[:15]) + "), or a score as a 16th",
        )
    values = {}
    for name, field in zip(_NUMBERS, fields[1:15], strict=True):
        values[name] = _number(field)
        if not math.isfinite(values[name]) or (name == "occluded" and values[name] % 1):
            expected = "a whole number" if name == "occluded" else "a finite number"
            _refuse(path, place, identity, f"label_2, field {name}", _shown(field), expected)
    for low, high in (("x1", "x2"), ("y1", "y2")):
        if values[low] >= values[high]:
            _refuse(
                path,
                place,
                identity,
                f"label_2, {low} and {high}",
                f"{values[low]:g} and {values[high]:g}",
                f"{low} below {high}",
            )
    for name in ("height", "width", "length", "z"):
        if values[name] <= 0:
            _refuse(path, place, identity, f"label_2, field {name}", f"{values[name]:g}", "metres above 0")
    for name, (least, most) in _BOUNDS.items():
        if not least <= values[name] <= most:
            _refuse(path, place, identity, f"label_2, field {name}", f"{values[name]:g}", f"{least} to {most}")
    return objects_of_rows([class_name], np.array([list(values.values())]))


def objects_of_rows(classes: Sequence[str], rows: np.ndarray) -> CameraBoxes:
    """Return the objects of rows (N, 14) float64, which have the order of KITTI's fields after the type."""
    return CameraBoxes(
        classes=np.array(classes, "<U16"),
        boxes2d=rows[:, 3:7],
        sizes=rows[:, 7:10],
        locations=rows[:, 10:13],
        rotation_y=rows[:, 13],
        alpha=rows[:, 2],
        truncated=rows[:, 0],
        occluded=rows[:, 1].astype(np.int64),
    )


def rows_of_objects(objects: CameraBoxes) -> np.ndarray:
    """Return the rows (N, 14) float64 of objects, the inverse of `objects_of_rows`."""
    columns = (
        objects.truncated,
        objects.occluded,
        objects.alpha,
        objects.boxes2d,
        objects.sizes,
        objects.locations,
        objects.rotation_y,
    )
    return np.column_stack(columns).astype(np.float64)


@reader()
def read_groups(path: Path | str) -> dict[str, frozenset[int]]:
    """Return the instances of each group of the test split, by the names in GROUPS; the file may lack Multiple.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not a JSON object of lists, a group is unknown or missing, or an id is not a whole
            number or is in two groups of one kind.
    """
    content = _read_json(Path(path), dict, "groups of instance ids")
    groups: dict[str, frozenset[int]] = {"Multiple": frozenset()}
    for name, ids in content.items():
        if name not in GROUPS:
            raise InputError(f"{path}: group '{name}' is unknown; expected {', '.join(GROUPS)}")
        if not isinstance(ids, list) or not all(_is_id(number) for number in ids):
            wrong = next((number for number in ids if not _is_id(number)), None) if isinstance(ids, list) else ids
            raise InputError(
                f"{path}: group {name}: found {_shown(wrong)}, expected a list of instance ids, whole numbers of "
                f"0 or more"
            )
        groups[name] = frozenset(ids)
    missing = [name for name in GROUPS if name not in groups]
    if missing:
        raise InputError(f"{path}: group {missing[0]} is missing; expected {', '.join(GROUPS)}")
    for kind in (DISTANCE_GROUPS, DIFFICULTY_GROUPS):
        _check_apart(groups, kind, str(path))
    return groups


def _check_apart(groups: Mapping[str, frozenset[int]], names: Sequence[str], path: str) -> None:
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            both = groups[name] & groups[other]
            if both:
                raise InputError(f"{path}: instance {min(both)} is in both {name} and {other}; expected one of them")


def _read_json(path: Path, kind: type, what: str) -> Any:
    with reading(path, hint="incomplete? copy it again", problem=f"not valid JSON, expected {what}"):
        content = json.loads(path.read_bytes())
    if not isinstance(content, kind):
        raise InputError(f"{path}: found {_shown(content)}, expected {what}")
    return content


def _refuse(path: str, place: int, identity: str, field: str, found: str, expected: str) -> NoReturn:
    who = f"entry {place}" + (f" ({identity})" if identity else "")
    raise InputError(f"{path}: {who}: {field}: found {found}, expected {expected}")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8; JSON may contain lone surrogates, which tokenizers refuse."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _number(value: Any) -> float:
    """Return a value as a float; NaN if it is not a number, also for 1_5, which Python reads as 15, and for True."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (isinstance(value, str) and "_" in value):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _shown(value: Any, most: int = 60) -> str:
    """Return a value as text for a message: on one line, cut after `most` characters."""
    plain = isinstance(value, (str, int, float, bool, type(None)))
    text = (
        json.dumps(value, ensure_ascii=isinstance(value, str) and not _is_text(value))
        if plain
        else type(value).__name__
    )
    return text if len(text) <= most else f"{text[:most]}..."
