"""Generator of sentences about one object of a synthetic street, each true of exactly that object.

True statements about the object are chosen at random; more are added until no other visible thing matches; then they
are put into words. About a third of the sentences state a distance, and few state both a distance and a direction, so
the image is needed to locate the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from g3d.synthetic.sentences.statements import RELATIONS, Statement, Thing, holds, true_statements, visible_things
from g3d.synthetic.sentences.wording import compose

MOST_TRUNCATED, LEAST_VISIBLE, LEAST_HEIGHT = 0.5, 0.25, 25 / 1242
"""Limits of objects with sentences: maximum share outside the image, minimum visible share, minimum height of the box
in image widths."""
_SHARES = {
    "colour": 4.0,
    "place": 1.2,
    "state": 0.5,
    "side": 1.0,
    "facing": 1.0,
    "distance": 2.0,
    "range": 0.5,
    "bearing": 0.3,
    "height": 0.4,
    "length": 0.4,
    "seen": 0.4,
    "hidden by": 0.8,
    "order": 1.4,
    **dict.fromkeys(RELATIONS, 0.5),
}
_ALTERNATIVES = (  # a sentence uses at most one family of each set, to avoid repetition
    {"distance", "range"},
    {"side", "bearing"},
    {"seen", "hidden by"},
    {"left of", "right of"},
    {"behind", "in front of", "next to"},
    {"state", "place"},
)
_AHEAD = Statement("place", "own lane")  # as informative as a bearing: with a distance it reveals the position
_WITH_DISTANCE = 0.45  # share of the sentences that may state a distance
_DISTANCE_AND_DIRECTION = 0.05  # share of those that may also state an exact direction
_WORDS = (8, 40)
_ATTEMPTS = 30


@dataclass(frozen=True)
class Sentence:
    """A sentence and its statements."""

    text: str
    meaning: tuple[Statement, ...]


def describable(things: tuple[Thing, ...]) -> list[Thing]:
    """Return the labelled things that are visible enough to be described."""
    return [
        thing
        for thing in things
        if thing.line is not None
        and thing.truncated <= MOST_TRUNCATED
        and thing.occluded <= 2
        and thing.visible >= LEAST_VISIBLE
        and thing.box[3] - thing.box[1] >= LEAST_HEIGHT
    ]


def describe(scene: Mapping[str, Any], count: int = 5, seed: int = 0) -> dict[int, list[Sentence]]:
    """Generate sentences about every object of a frame that is visible enough, by the object's id in the scene.

    Args:
        scene: a street's description, as in training/scene/%06d.json.
        count: number of sentences per object, all different.
        seed: seed of statements and wording; the same scene and seed give the same sentences.

    Returns:
        Up to `count` sentences for each object. An object that is hard to distinguish from others has fewer sentences
        or is left out.
    """
    things = visible_things(scene)
    found = {}
    for thing in describable(things):
        rng = np.random.default_rng([seed, int(scene["frame"]), thing.id])
        sentences = _sentences(rng, thing, things, count)
        if sentences:
            found[thing.id] = sentences
    return found


def tells_apart(meaning: tuple[Statement, ...], thing: Thing, things: tuple[Thing, ...]) -> bool:
    """Return whether all statements are true of `thing` and, for each other visible thing, at least one is false."""
    return all(holds(said, thing, things) for said in meaning) and all(
        any(holds(said, other, things) is False for said in meaning) for other in things if other is not thing
    )


def _sentences(rng: np.random.Generator, thing: Thing, things: tuple[Thing, ...], count: int) -> list[Sentence]:
    known = list(true_statements(thing, things))
    others = [other for other in things if other is not thing]
    excludes = {said: frozenset(other.id for other in others if holds(said, other, things) is False) for said in known}
    sentences: dict[str, Sentence] = {}
    for _ in range(_ATTEMPTS * count):
        meaning = _choose(rng, excludes, {other.id for other in others})
        if meaning is not None:
            sentence = Sentence(compose(rng, meaning), meaning)
            if _WORDS[0] <= len(sentence.text.split()) <= _WORDS[1]:
                sentences.setdefault(sentence.text, sentence)
        if len(sentences) == count:
            break
    return list(sentences.values())


def _choose(
    rng: np.random.Generator, excludes: Mapping[Statement, frozenset[int]], others: set[int]
) -> tuple[Statement, ...] | None:
    """Choose a noun and three to five other statements, then more until all other things are excluded; return None if
    seven statements in all do not suffice."""
    nouns = [said for said in excludes if said.family == "noun"]
    chosen = [nouns[0] if rng.random() < 0.5 else nouns[-1]]
    left = set(others) - excludes[chosen[0]]
    banned = (
        {"distance"}
        if rng.random() >= _WITH_DISTANCE
        else set()
        if rng.random() < _DISTANCE_AND_DIRECTION
        else {"bearing", _AHEAD}
    )
    wanted, most = int(rng.integers(4, 7)), 7
    for said in _shuffled(rng, [said for said in excludes if said.family != "noun"]):
        if len(chosen) >= wanted and not left:
            break
        if len(chosen) == most:
            return None
        if said.family in banned or said in banned or not _adds(said, chosen):
            continue
        if len(chosen) >= wanted and not excludes[said] & left:
            continue
        chosen.append(said)
        left -= excludes[said]
    return None if left or len(chosen) < 4 else tuple(chosen)


def _shuffled(rng: np.random.Generator, statements: list[Statement]) -> list[Statement]:
    """Return the statements by family, in a random order of families weighted by `_SHARES`, and in random order within
    each family."""
    families = {said.family for said in statements}
    order = {family: rng.exponential() / _SHARES[family] for family in sorted(families)}
    mixed = [statements[k] for k in rng.permutation(len(statements))]
    return sorted(mixed, key=lambda said: order[said.family])


def _adds(said: Statement, chosen: list[Statement]) -> bool:
    """Return whether a statement's family is not used yet and not an alternative to a used one."""
    families = {earlier.family for earlier in chosen}
    return said.family not in families and not any(said.family in group and families & group for group in _ALTERNATIVES)
