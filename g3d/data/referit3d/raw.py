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
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from g3d.data.boundary import reading
from g3d.data.files import read_text
from g3d.data.scannet.folder import read_split
from g3d.data.scanrefer.records import SceneSentence, SentenceFile, SentenceRecord, collect, in_step
from g3d.errors import InputError

BAD_CONTEXTS = "manually_inspected_bad_contexts.csv"
_COLUMNS = ("stimulus_id", "utterance", "tokens")
_ROW = "number of the row"
_LONGEST = 2**20  # characters of a list
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
        rows = [(f"line {table.line_num}", {**row, _ROW: str(k)}) for k, row in enumerate(table)]
    if not rows:
        raise InputError(f"sentences {path}: found no rows, expected one for each sentence")
    return collect(path, rows, lambda record: _sentence(record, kind))


def _sentence(record: SentenceRecord, kind: str) -> SceneSentence:
    row = record.values
    context = record.said("stimulus_id", row["stimulus_id"])
    try:
        stimulus = parse_stimulus(context)
    except ValueError as error:
        record.fail("stimulus_id", context, str(error))
    scene, name, target = stimulus.scene, stimulus.name, stimulus.target
    if kind == "sr3d":
        scene, name, target = row["scan_id"], row["instance_type"], record.whole("target_id", row["target_id"])
    words = record.words("tokens", _literal(record, "tokens"))
    keywords = record.marks("mask_list", _literal(record, "mask_list"))
    fits = in_step(words, keywords, row.get("masked_sentence"))
    return SceneSentence(
        scene=record.plain_name("scan_id", scene),
        object=target,
        name=record.said("instance_type", name),
        annotation=record.plain_name("assignmentid", row["assignmentid" if kind == "nr3d" else _ROW]),
        text=record.said("utterance", row["utterance"]),
        words=words,
        keywords=keywords if fits else None,
        same_class=stimulus.same_class,
        mentions=_truth(record, "mentions_target_class"),
        guessed=_truth(record, "correct_guess"),
        context=context,
        out_of_step=not fits,
    )


def _literal(record: SentenceRecord, field: str) -> list[Any] | None:
    """Return the list of words or numbers that a field holds as Python source; None for an empty field."""
    text = record.values.get(field)
    if text is None or not text.strip():
        return None
    value = None
    if len(text) <= _LONGEST:
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = ast.literal_eval(text.strip())
    if not isinstance(value, list) or not all(isinstance(part, str | int) for part in value):
        record.fail(field, text, "a list such as \"['the', 'chair']\"")
    return value


def _truth(record: SentenceRecord, field: str) -> bool | None:
    text = record.values.get(field)
    if text is None or not text.strip():
        return None
    if text.strip() not in _TRUTH:
        record.fail(field, text, "True or False")
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
