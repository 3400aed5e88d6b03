"""Splits of Nr3D and Sr3D in an index, and the filters that apply to them."""

from __future__ import annotations

from collections.abc import Sequence

from g3d.data.referit3d.filters import Filtered, SentenceFilters, apply_filters, unknown_to
from g3d.data.scanrefer.index import IndexedSentence, SentenceIndex
from g3d.data.scanrefer.records import SceneSentence
from g3d.errors import InputError, MissingDataError

KIND = "referit3d"
SETS = ("nr3d", "sr3d")
PARTS = ("train", "test")
HARD_FROM = 3
"""Objects of the target's class from which a sentence is hard."""
_SHORT = {"train": "train", "test": "test", "val": "test"}


def full_name(index: SentenceIndex, split: str) -> str:
    """Return the name of a split in the index: "test" is "nr3d-test" where the index holds Nr3D only.

    Raises:
        InputError: the index holds both sets, so that the short name is not enough.
    """
    if split in index.splits or split not in _SHORT:
        return split
    named = [f"{kind}-{_SHORT[split]}" for kind in SETS if f"{kind}-{_SHORT[split]}" in index.splits]
    if len(named) != 1:
        found = " and ".join(named) or ", ".join(index.splits)
        raise InputError(f"split {split}: the data holds {found}; expected one of these names")
    return named[0]


def filtered(
    index: SentenceIndex, split: str, sentences: Sequence[IndexedSentence], filters: SentenceFilters
) -> Filtered:
    """Return the sentences of a split that count.

    Sentences of WS-3DVG's JSON form have no stimulus_id; bad contexts were left out when it was made.

    Raises:
        MissingDataError: a filter needs a list or a column that the data does not have.
    """
    owner = split if split in index.splits else _owner(index, sentences)
    kind = owner.partition("-")[0]
    bad = bad_contexts_of(index, kind)
    stated = [sentence for sentence in sentences if sentence.context is not None]
    active = filters if stated or not sentences else filters.model_copy(update={"bad_contexts": False})
    unknown = unknown_to(active, sentences, bad is not None)
    if unknown:
        raise MissingDataError(
            f"referit3d: filter {unknown[0]}: the prepared {kind} sentences do not have what it needs "
            f"({'the list of bad contexts' if unknown[0] == 'bad_contexts' else 'its column'})",
            f"prepare from the official csv, or set data.filters.{unknown[0]}=false",
        )
    return apply_filters(sentences, active, owner.endswith("-test"), bad or frozenset())


def _owner(index: SentenceIndex, sentences: Sequence[IndexedSentence]) -> str:
    """Return the split that the first sentence of a list belongs to; "" for an empty list."""
    first = sentences[0].id if sentences else ""
    return next((name for name, members in index.splits.items() if any(s.id == first for s in members)), "")


def bad_contexts_of(index: SentenceIndex, kind: str) -> frozenset[str] | None:
    """Return the bad contexts that are left out of a set: Nr3D's list, for Sr3D also its own; None without a list."""
    lists = [index.bad_contexts.get(name) for name in (("nr3d",) if kind == "nr3d" else SETS)]
    there = [found for found in lists if found is not None]
    return frozenset().union(*there) if there else None


def in_parts(sentences: Sequence[SceneSentence], train: Sequence[str]) -> dict[str, list[SceneSentence]]:
    """Return the sentences of each part, sorted by scene; scenes outside `train` are for tests."""
    members = set(train)
    ordered = sorted(sentences, key=lambda sentence: sentence.scene)
    return {
        "train": [sentence for sentence in ordered if sentence.scene in members],
        "test": [sentence for sentence in ordered if sentence.scene not in members],
    }
