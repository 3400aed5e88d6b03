"""Filters of Nr3D and Sr3D sentences, by which published test sets differ; every figure states its filters.

| filter | referit3d/referit3d | WS-3DVG |
|---|---|---|
| bad contexts | the list of Nr3D; for Sr3D both lists | the same |
| clothes | classes "clothes" and "clothing" are left out | kept |
| mentions | mentions_target_class must be true, a switch | kept |
| long sentences | at most 24 words, in training and test | kept |
| unique targets | left out of the test set | kept |
| wrong guesses | kept (nickgkan/butd_detr leaves them out of Nr3D's test set) | kept |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import Field, NonNegativeInt

from g3d.config import Schema
from g3d.data.scanrefer.records import SceneSentence

CLOTHES = ("clothes", "clothing")


class SentenceFilters(Schema):
    """Sentences that count; the defaults are those of WS-3DVG, which leaves out bad contexts only."""

    bad_contexts: bool = Field(True, description="leave out contexts that are listed as bad")
    clothes: bool = Field(False, description='leave out objects of the classes "clothes" and "clothing"')
    mentions: bool = Field(False, description="leave out sentences that do not name the class of their object")
    most_words: NonNegativeInt = Field(0, description="leave out sentences of more words; 0 keeps all")
    unique_in_test: bool = Field(False, description="leave out of tests objects that are alone in their class")
    wrong_guesses_in_test: bool = Field(False, description="leave out of tests sentences that a listener misunderstood")


WS3DVG = SentenceFilters()
REFERIT3D = SentenceFilters(clothes=True, mentions=True, most_words=24, unique_in_test=True)
"""The filters of the ReferIt3D benchmark."""


@dataclass(frozen=True)
class Filtered:
    """The result of the filters.

    Attributes:
        kept: indices of the sentences that count.
        dropped: number of sentences that each active filter left out, in the order of the filters.
    """

    kept: tuple[int, ...]
    dropped: dict[str, int]

    def note(self) -> str:
        """Return a sentence that states the active filters and what they left out."""
        if not self.dropped:
            return f"filters: none; {len(self.kept):,} sentences count."
        parts = ", ".join(f"{name} {count:,}" for name, count in self.dropped.items())
        return f"filters: {len(self.kept):,} sentences count; left out: {parts}."


def apply_filters(
    sentences: Sequence[SceneSentence], filters: SentenceFilters, test: bool, bad_contexts: Collection[str]
) -> Filtered:
    """Return the sentences that count; a sentence is counted for the first filter that leaves it out.

    Args:
        sentences: the sentences of a split.
        filters: the filters.
        test: whether the split is for tests.
        bad_contexts: stimulus ids of the bad contexts.
    """
    most = filters.most_words
    rules = [
        ("bad contexts", filters.bad_contexts, lambda s: s.context in bad_contexts),
        ("clothes", filters.clothes, lambda s: s.name in CLOTHES),
        ("class not mentioned", filters.mentions, lambda s: s.mentions is False),
        (f"more than {most} words", most > 0, lambda s: len(s.words) > most),
        ("unique targets", filters.unique_in_test and test, lambda s: s.same_class == 1),
        ("wrong guesses", filters.wrong_guesses_in_test and test, lambda s: s.guessed is False),
    ]
    active = [(name, leaves_out) for name, on, leaves_out in rules if on]
    dropped = {name: 0 for name, _ in active}
    kept = []
    for index, sentence in enumerate(sentences):
        reason = next((name for name, leaves_out in active if leaves_out(sentence)), None)
        if reason is None:
            kept.append(index)
        else:
            dropped[reason] += 1
    return Filtered(tuple(kept), dropped)


def unknown_to(filters: SentenceFilters, sentences: Sequence[SceneSentence], bad_contexts: bool) -> list[str]:
    """Return names of active filters whose column or list the data does not have, so that they cannot be applied."""
    checks = (
        ("bad_contexts", filters.bad_contexts, bad_contexts and all(s.context is not None for s in sentences)),
        ("mentions", filters.mentions, all(s.mentions is not None for s in sentences)),
        ("unique_in_test", filters.unique_in_test, all(s.same_class is not None for s in sentences)),
        ("wrong_guesses_in_test", filters.wrong_guesses_in_test, all(s.guessed is not None for s in sentences)),
    )
    return [name for name, on, known in checks if on and not known]
