"""Sentences about objects of scenes, and the reader of ScanRefer's JSON files and of those that WS-3DVG derives.

    ScanRefer_filtered_{train,val,test}.json    [{scene_id, object_id, object_name, ann_id, description, token}, ...]
    Masked_ScanRefer_filtered_train.json        the same with mask_list and mask_first_list: 0 or 1 for each word

WS-3DVG stores Nr3D and Sr3D in the first form, with `mask_list` and `hardness`. Every record is checked: an error is
one line that names the file, the record, the field, the found and the expected value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from g3d.data.boundary import reading
from g3d.data.records import Record
from g3d.errors import InputError

_NAME = re.compile(r"[^\s/\\]+")
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_FIELDS = ("scene_id", "object_id", "object_name", "ann_id", "description", "token")


@dataclass(frozen=True)
class SceneSentence:
    """One sentence about one object of a scene.

    Attributes:
        scene: the scene's name.
        object: objectId of the described object.
        name: name of the object, with blanks.
        annotation: name of the sentence, which is unique among those about the object.
        text: the sentence.
        words: its words.
        keywords: 0 or 1 for each word, 1 for a keyword of the whole sentence; None where the file has no list.
        first_keywords: 0 or 1 for the words of the first part of the text; None where the file has no list.
        same_class: number of objects of the object's class in the scene, the object included; None if not stated.
        mentions: whether the sentence names the object's class; None if not stated.
        guessed: whether a listener chose the right object; None if not stated.
        context: stimulus_id of ReferIt3D: the scene, the object and those of its class; None for ScanRefer.
        out_of_step: whether the file has keyword lists that do not belong to the words; they are left out.
        place: record or line of the file, for messages.
    """

    scene: str
    object: int
    name: str
    annotation: str
    text: str
    words: tuple[str, ...]
    keywords: tuple[int, ...] | None = None
    first_keywords: tuple[int, ...] | None = None
    same_class: int | None = None
    mentions: bool | None = None
    guessed: bool | None = None
    context: str | None = None
    out_of_step: bool = False
    place: str = ""

    @property
    def id(self) -> str:
        """Id of the sample: <scene>-<objectId>-<annotation>."""
        return f"{self.scene}-{self.object}-{self.annotation}"


@dataclass(frozen=True)
class SentenceFile:
    """The content of a file of sentences.

    Attributes:
        path: the file.
        sentences: the usable sentences in the file's order.
        broken: place and error of every other record.
    """

    path: Path
    sentences: tuple[SceneSentence, ...]
    broken: tuple[tuple[str, InputError], ...] = ()


def read_sentences_json(path: Path) -> SentenceFile:
    """Return the sentences of a file in ScanRefer's form; broken records are listed beside the usable ones.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not a JSON list, or the list is empty.
    """
    with reading(path, "sentences", "incomplete? copy it again", "not valid JSON, expected a list of records"):
        content = json.loads(path.read_bytes())
    if not isinstance(content, list) or not content:
        found = "an empty list" if content == [] else type(content).__name__
        raise InputError(f"sentences {path}: found {found}, expected a list of records")
    return collect(path, [(f"record {k}", record) for k, record in enumerate(content)], _sentence)


def collect(
    path: Path, records: Iterable[tuple[str, Any]], read: Callable[[SentenceRecord], SceneSentence]
) -> SentenceFile:
    """Return the sentences of a file's records; ids must be unique.

    Args:
        path: the file.
        records: place and content of every record.
        read: reader of one record.
    """
    good: dict[str, SceneSentence] = {}
    broken = []
    for place, values in records:
        try:
            record = SentenceRecord(values, f"sentences {path}: {place}")
            sentence = replace(read(record), place=place)
            if sentence.id in good:
                first = good[sentence.id].place
                record.fail("scene, object and sentence", sentence.id, f"an id once (it is that of {first} as well)")
        except InputError as error:
            broken.append((place, error))
        else:
            good[sentence.id] = sentence
    return SentenceFile(path, tuple(good.values()), tuple(broken))


class SentenceRecord(Record):
    """Checks of the fields of one record of a file of sentences."""

    def needs(self, names: Sequence[str]) -> None:
        """Check that the fields are there; others are allowed."""
        for name in names:
            if name not in self.values:
                self.fail(name, "no such field", "the fields " + ", ".join(names))

    def said(self, field: str, value: Any) -> str:
        """Return a text that is not empty and can be written as UTF-8."""
        if not isinstance(value, str) or not value.strip() or any("\ud800" <= c <= "\udfff" for c in value):
            self.fail(field, value, "text")
        return value

    def plain_name(self, field: str, value: Any) -> str:
        """Return a name without blanks and slashes, such as scene0000_00."""
        if not isinstance(value, str) or not _NAME.fullmatch(value) or value in (".", ".."):
            self.fail(field, value, "a name without blanks or slashes, such as scene0000_00")
        return value

    def whole(self, field: str, value: Any) -> int:
        """Return a whole number of 0 or more, which may be written as text."""
        written = str(value) if type(value) in (int, str) else ""
        if not _WHOLE.fullmatch(written):
            self.fail(field, value, 'a whole number of 0 or more, such as "34"')
        return int(written)

    def words(self, field: str, value: Any) -> tuple[str, ...]:
        """Return a list of words that is not empty."""
        if not isinstance(value, list) or not value:
            self.fail(field, value, "a list of words")
        return tuple(self.said(field, word) for word in value)

    def marks(self, field: str, value: Any) -> tuple[int, ...] | None:
        """Return a list of 0 and 1; None where there is none."""
        if value is None:
            return None
        if not isinstance(value, list) or any(type(mark) is not int or mark not in (0, 1) for mark in value):
            self.fail(field, value, "a list of 0 and 1")
        return tuple(value)


def _sentence(record: SentenceRecord) -> SceneSentence:
    record.needs(_FIELDS)
    values = record.values
    annotation = values["ann_id"]
    same_class = values.get("hardness")
    words = record.words("token", values["token"])
    keywords = record.marks("mask_list", values.get("mask_list"))
    first = record.marks("mask_first_list", values.get("mask_first_list"))
    fits = in_step(words, keywords, values.get("masked_sentence")) and in_step(
        words[: len(first or ())], first, values.get("masked_first_sentence")
    )
    return SceneSentence(
        scene=record.plain_name("scene_id", values["scene_id"]),
        object=record.whole("object_id", values["object_id"]),
        name=record.said("object_name", values["object_name"]).replace("_", " "),
        annotation=record.plain_name("ann_id", str(annotation) if type(annotation) is int else annotation),
        text=record.said("description", values["description"]),
        words=words,
        keywords=keywords if fits else None,
        first_keywords=first if fits else None,
        same_class=None if same_class is None else record.whole("hardness", same_class),
        out_of_step=not fits,
    )


def in_step(words: Sequence[str], marks: Sequence[int] | None, masked: Any) -> bool:
    """Return whether marks belong to the words: as many, and the words of the masked sentence that it shows are theirs.

    The published marks are those of another tokenizer's words, which it may split differently. Without the masked
    sentence only the counts are compared.

    Args:
        words: the words that the marks should belong to.
        marks: one for each word; None if the file has none.
        masked: the sentence with "[MASK]" for keywords; of another type if the file has none.
    """
    if marks is None:
        return True
    if len(marks) != len(words):
        return False
    shown = masked.split() if isinstance(masked, str) else []
    if len(shown) != len(words):
        return not shown
    pairs = zip(shown, words, strict=True)
    return all(s.lower() == w.lower() for s, w in pairs if s != "[MASK]" and (s.isalpha() or w.isalpha()))
