"""Readers of ReferIt3D's files: the tables nr3d.csv and sr3d.csv, scene lists, and lists of bad contexts.

    nr3d.csv, sr3d.csv                      assignmentid, stimulus_id, utterance, scan_id, target_id, tokens, ...
    {train,test}_scans.txt                  a JSON list of scenes, or one scene on each line
    manually_inspected_bad_contexts.csv     the stimulus_id of each context that is not usable

A stimulus_id is <scene>-<class>-<n>-<target>[-<distractor>...]: n objects of the class are in the scene, n - 1 of them
are distractors. It is split at the first four hyphens, and underscores in the class stand for blanks.

Source: referit3d/referit3d, in_out/neural_net_oriented.py and utils; ZzZZCHS/WS-3DVG for the way to ScanRefer's form.
"""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from g3d.data.boundary import reading
from g3d.data.files import read_text
from g3d.data.scannet.folder import read_split
from g3d.data.scanrefer.records import Checks, SceneSentence, SentenceFile, collect
from g3d.errors import InputError

BAD_CONTEXTS = "manually_inspected_bad_contexts.csv"
_COLUMNS = ("stimulus_id", "utterance", "tokens")
_TRUTH = {"True": True, "False": False, "true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Stimulus:
    """The parts of a stimulus_id.

    Attributes:
        scene: the scene.
        name: class of the object, with blanks.
        same_class: number of objects of the class in the scene.
        target: objectId of the object.
        distractors: objectIds of the others of its class.
    """

    scene: str
    name: str
    same_class: int
    target: int
    distractors: tuple[int, ...]


def parse_stimulus(text: str) -> Stimulus:
    """Return the parts of a stimulus_id.

    Raises:
        ValueError: the text has another form, or the number of distractors is not n - 1.
    """
    parts = text.split("-", 4)
    if len(parts) < 4 or not parts[0] or not parts[1]:
        raise ValueError("<scene>-<class>-<n>-<target>[-<distractors>]")
    numbers = [parts[2], parts[3], *(parts[4].split("-") if len(parts) == 5 else ())]
    if not all(number.isdecimal() for number in numbers):
        raise ValueError("<scene>-<class>-<n>-<target>[-<distractors>] with whole numbers and no hyphen in the class")
    count, target, *distractors = map(int, numbers)
    if len(distractors) != count - 1:
        raise ValueError(f"{count - 1} distractors for n = {count}, not {len(distractors)}")
    return Stimulus(parts[0], parts[1].replace("_", " "), count, target, tuple(distractors))


def read_referit3d_csv(path: Path, kind: str) -> SentenceFile:
    """Return the sentences of nr3d.csv or sr3d.csv; broken lines are listed beside the usable ones.

    The scene, the class and the object of an Nr3D sentence are those of its stimulus_id, as published; those of an Sr3D
    sentence are in columns. Sentences are named by the column assignmentid of Nr3D, and by their row in Sr3D.

    Args:
        path: the table.
        kind: "nr3d" or "sr3d".

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not a table, a column is missing, or there are no rows.
    """
    text = read_text(path, "sentences")
    needed = (*_COLUMNS, *(("assignmentid",) if kind == "nr3d" else ("scan_id", "instance_type", "target_id")))
    with reading(path, "sentences", problem="not a table of comma-separated values"):
        csv.field_size_limit(2**24)
        table = csv.DictReader(StringIO(text), strict=True)
        missing = [name for name in needed if name not in (table.fieldnames or ())]
        if missing:
            found = ", ".join(table.fieldnames or ())[:100] or "nothing"
            raise InputError(f"no column {missing[0]} (found: {found}), expected {', '.join(needed)}")
        rows = [(f"line {table.line_num}", {**row, "row": str(k)}) for k, row in enumerate(table)]
    if not rows:
        raise InputError(f"sentences {path}: found no rows, expected one for each sentence")
    return collect(path, rows, lambda checks, row: _sentence(checks, row, kind))


def _sentence(checks: Checks, row: dict[str, Any], kind: str) -> SceneSentence:
    context = checks.text("stimulus_id", row["stimulus_id"])
    try:
        stimulus = parse_stimulus(context)
    except ValueError as error:
        checks.refuse("stimulus_id", context, str(error))
    scene, name, target = stimulus.scene, stimulus.name, stimulus.target
    if kind == "sr3d":
        scene, name, target = row["scan_id"], row["instance_type"], checks.number("target_id", row["target_id"])
    return SceneSentence(
        scene=checks.name("scan_id", scene),
        object=target,
        name=checks.text("instance_type", name),
        annotation=checks.name("assignmentid", row["assignmentid"] if kind == "nr3d" else row["row"]),
        text=checks.text("utterance", row["utterance"]),
        words=checks.words("tokens", _literal(checks, "tokens", row["tokens"])),
        keywords=checks.marks("mask_list", _literal(checks, "mask_list", row.get("mask_list"))),
        same_class=stimulus.same_class,
        mentions=_truth(checks, "mentions_target_class", row.get("mentions_target_class")),
        guessed=_truth(checks, "correct_guess", row.get("correct_guess")),
        context=context,
    )


def _literal(checks: Checks, field: str, text: str | None) -> Any:
    """Return the value of a list that is written as Python source; None for an empty field."""
    if text is None or not text.strip():
        return None
    if len(text) > 2**20:
        checks.refuse(field, text, "a list of at most a million characters")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        checks.refuse(field, text, "a list such as \"['the', 'chair']\"")


def _truth(checks: Checks, field: str, text: str | None) -> bool | None:
    if text is None or not text.strip():
        return None
    if text.strip() not in _TRUTH:
        checks.refuse(field, text, "True or False")
    return _TRUTH[text.strip()]


def read_bad_contexts(path: Path) -> frozenset[str]:
    """Return the stimulus ids of a list of bad contexts: the first column, whose first line is `stimulus_id`.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the first line is another, or a line is no stimulus_id.
    """
    lines = read_text(path, "bad contexts").splitlines()
    if not lines or lines[0].split(",")[0].strip() != "stimulus_id":
        found = lines[0][:40] if lines else "nothing"
        raise InputError(f"bad contexts {path}: line 1: found {found!r}, expected stimulus_id")
    found_ids = {}
    for number, line in enumerate(lines[1:], 2):
        context = line.split(",")[0].strip()
        if not context:
            continue
        if context.count("-") < 3:
            raise InputError(f"bad contexts {path}: line {number}: found {context[:40]!r}, expected a stimulus_id")
        found_ids[context] = number
    return frozenset(found_ids)


def read_scene_list(path: Path) -> tuple[str, ...]:
    """Return the scenes of a list: JSON, or one scene on each line.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the list has another form, or a scene is named twice.
    """
    text = read_text(path, "split").strip()
    if not text.startswith("["):
        return read_split(path)
    with reading(path, "split", problem="not valid JSON, expected a list of scenes"):
        names = json.loads(text)
        wrong = next((name for name in names if not isinstance(name, str) or not name), None)
        if wrong is not None:
            raise InputError(f"found {str(wrong)[:40]!r}, expected the name of a scene")
        twice = next((name for k, name in enumerate(names) if name in names[:k]), None) if len(names) < 5000 else None
        if twice:
            raise InputError(f"scene {twice} is there twice, expected every scene once")
    return tuple(names)
