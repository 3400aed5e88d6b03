"""The published rule by which an Nr3D sentence names the class of its object (column mentions_target_class).

The words are joined by blanks, and every test is one of substrings: "can", a synonym of trash can, is found in
"candle". The first rule that matches decides. The published csv has the result, so that only a table without the column
needs the rule, with word lists of its own.

Source: mentions_target_class of referit3d/referit3d.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from g3d.data.boundary import reading
from g3d.data.records import Record
from g3d.errors import InputError

_LISTS, _TEXTS = ("synonyms", "members"), ("plural", "singular")


@dataclass(frozen=True)
class Lexicon:
    """Word lists about the classes of objects.

    Attributes:
        synonyms: words for a label.
        group: name of the group that a label belongs to; None for none.
        members: labels of a group.
        plural, singular: forms of a label.
    """

    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group: Mapping[str, str | None] = field(default_factory=dict)
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    plural: Mapping[str, str] = field(default_factory=dict)
    singular: Mapping[str, str] = field(default_factory=dict)


def read_lexicon(path: Path) -> Lexicon:
    """Return word lists from a JSON file with the fields of Lexicon, each an object with an entry for a label.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a field is unknown or has another form.
    """
    with reading(path, "word lists", problem="not valid JSON"):
        record = Record(json.loads(path.read_bytes()), f"word lists {path}")
    fields = (*_LISTS, "group", *_TEXTS)
    record.only(fields, fields)
    for name in fields:
        entries = record.inner(name)
        for label, value in entries.values.items():
            if name in _LISTS and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
                entries.fail(label, value, "a list of words")
            if name in _TEXTS and not isinstance(value, str):
                entries.fail(label, value, "a word")
            if name == "group":
                entries.text(label)
    return Lexicon(**record.values)


def mentions_target_class(
    words: Sequence[str] | str, label: str, in_scene: Collection[str], lexicon: Lexicon, check_unique: bool = True
) -> bool:
    """Return whether a sentence names the class of its object.

    Args:
        words: the sentence.
        label: label of the object.
        in_scene: labels of the objects of the scene.
        lexicon: the word lists.
        check_unique: the published default: the singular form counts only if nothing in the scene has it as its label.

    Raises:
        InputError: the label is not named, and the lexicon does not have it.
    """
    text = words if isinstance(words, str) else " ".join(words)

    def named(word: str | None) -> bool:
        return word is not None and word in text

    def by_synonym(word: str) -> bool:
        return any(named(synonym) for synonym in lexicon.synonyms.get(word, ()))

    singular = lexicon.singular.get(label)
    if (
        named(label)
        or named(lexicon.plural.get(label))
        or (named(singular) and not (check_unique and singular in in_scene))
    ):
        return True
    if by_synonym(label):
        return True
    if label not in lexicon.group:
        raise InputError(f"mentions: label {label!r} is in no group of the word lists; expected one, or null for none")
    group = lexicon.group[label]
    if group is None:
        return False
    others = [member for member in lexicon.members.get(group, ()) if member != label]
    if any(named(member) or by_synonym(member) for member in others):
        return True
    if any(member in in_scene for member in others):
        return False
    return named(group) or by_synonym(group)
