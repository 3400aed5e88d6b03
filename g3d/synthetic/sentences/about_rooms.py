"""Generator of sentences about one object of a synthetic room, each true of exactly that object.

True statements about the object are chosen at random; more are added until no other object of the room matches; then
they are put into words in the style of ScanRefer, Nr3D or Sr3D.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from g3d.data.scannet.labels import DETECTION18_IDS
from g3d.synthetic.sentences.rooms_candidates import BULKY, true_statements
from g3d.synthetic.sentences.rooms_facts import Furnishing, RoomFacts
from g3d.synthetic.sentences.rooms_statements import FAMILIES, Description, holds
from g3d.synthetic.sentences.rooms_wording import Style, compose
from g3d.synthetic.sentences.statements import Statement

STYLES: tuple[Style, ...] = ("scanrefer", "nr3d", "sr3d")
_SHARES = {
    "order by size": 1.2,
    "order by height": 0.6,
    "order by distance": 1.2,
    "order by view": 0.8,
    "on": 1.2,
    "on a": 0.6,
    "next to": 1.3,
    "in front of": 1.2,
    "between": 1.5,
    "above": 1.2,
    "under": 1.2,
    "left of": 1.0,
    "right of": 1.0,
    "carries": 0.8,
    "side": 0.6,
    "corner": 0.6,
    "place": 0.5,
}
_ALTERNATIVES = (  # a sentence uses at most one family of each set, to avoid repetition
    {"on", "on a", "place"},
    {"left of", "right of", "side"},
    {"corner", "side"},
    {"above", "under"},
)
_ORDERS_BY = {
    **dict.fromkeys(BULKY, "order by size"),
    **dict.fromkeys(("highest", "lowest"), "order by height"),
    **dict.fromkeys(("nearest", "farthest"), "order by distance"),
    **dict.fromkeys(("leftmost", "rightmost"), "order by view"),
}
_ONE_RELATION = frozenset(("order", "between", "above", "under", "left of", "right of", "in front of", "on", "next to"))
"""Families of Sr3D's sentences, which state one relation."""
_MOST = {"scanrefer": 3, "nr3d": 3, "sr3d": 1}  # statements beside the name and the colour
_BENCHMARK, _SEVERAL = 2.5, 2.0  # weight of the 18 classes, and of things that are not alone in their class
_ATTEMPTS = 12


@dataclass(frozen=True)
class RoomSentence:
    """A sentence and its statements.

    Attributes:
        object: objectId of the only object that it is true of.
        text: the sentence.
        meaning: the statements, the noun first.
    """

    object: int
    text: str
    meaning: tuple[Statement, ...]


def describe_room(room: RoomFacts, count: int, seed: int, style: Style) -> list[RoomSentence]:
    """Return sentences about a room's furnishings, all different.

    Every describable thing has a sentence before one has a second. In the styles of Nr3D and Sr3D, only things whose
    label another thing of the room has are described, as in these data sets.

    Args:
        room: the room.
        count: number of sentences; fewer are returned if fewer are found.
        seed: of statements and wording.
        style: of which data set the sentences are.
    """
    rng = np.random.default_rng([seed, int(room.scene[5:9]), STYLES.index(style)])
    choices = {thing.id: _choices(thing, room) for thing in _targets(rng, room, style)}
    found: dict[str, RoomSentence] = {}
    active = list(choices)
    while active and len(found) < count:
        silent = []
        for number in active[: count - len(found)]:
            sentence = _new_sentence(rng, choices[number], found, style)
            if sentence is None:
                silent.append(number)
            else:
                found[sentence.text] = sentence
        active = [number for number in active if number not in silent]
    return sorted(found.values(), key=lambda sentence: sentence.object)


def tells_apart(meaning: Sequence[Statement], thing: Furnishing, room: RoomFacts) -> bool:
    """Return whether all statements are true of `thing` and, for each other thing, at least one is false."""
    return all(holds(said, thing, room) for said in meaning) and all(
        any(holds(said, other, room) is False for said in meaning) for other in room.things if other is not thing
    )


def descriptions_in(meaning: Iterable[Statement]) -> list[Description]:
    """Return the descriptions of other things that statements contain."""
    found: list[Description] = []
    for family, value in meaning:
        if family == "order":
            found += [] if value[3] is None else [value[3]]
        elif family in ("left of", "right of"):
            found += list(dict.fromkeys(value))
        elif family == "between":
            found += [(value, None)] if isinstance(value, str) else list(value)
        elif family == "side":
            found.append(value[1])
        elif family in FAMILIES and family not in ("noun", "colour", "place", "corner"):
            found.append(value)
    return found


def _targets(rng: np.random.Generator, room: RoomFacts, style: Style) -> list[Furnishing]:
    """Return the things to describe in random order, those that the benchmarks ask for first more often."""
    labels, classes = (Counter(getattr(thing, name) for thing in room.things) for name in ("label", "nyu40"))
    things = [thing for thing in room.things if style == "scanrefer" or labels[thing.label] > 1]
    order = [
        rng.exponential()
        / (_BENCHMARK if thing.nyu40 in DETECTION18_IDS else 1)
        / (_SEVERAL if classes[thing.nyu40] > 1 else 1)
        for thing in things
    ]
    return [things[k] for k in np.argsort(order, kind="stable")]


class _Choices:
    """The true statements about a thing, and the other things that each of them excludes."""

    def __init__(self, thing: Furnishing, room: RoomFacts) -> None:
        self.thing = thing
        self.others = frozenset(other.id for other in room.things if other is not thing)
        self.excludes: Mapping[Statement, frozenset[int]] = {
            said: frozenset(
                other.id for other in room.things if other is not thing and holds(said, other, room) is False
            )
            for said in true_statements(thing, room)
        }


@lru_cache(maxsize=256)
def _choices(thing: Furnishing, room: RoomFacts) -> _Choices:
    """Return what can be said about a thing; the styles share it."""
    return _Choices(thing, room)


def _new_sentence(
    rng: np.random.Generator, choices: _Choices, known: Mapping[str, RoomSentence], style: Style
) -> RoomSentence | None:
    """Return a sentence about a thing with a new text; None after some attempts without one."""
    for _ in range(_ATTEMPTS):
        meaning = _choose(rng, choices, style)
        if meaning is not None:
            text = compose(rng, meaning, style)
            if text not in known:
                return RoomSentence(choices.thing.id, text, meaning)
    return None


def _choose(rng: np.random.Generator, choices: _Choices, style: Style) -> tuple[Statement, ...] | None:
    """Choose a name, often the colour, and further statements until all other things are excluded; return None if as
    many as the style allows do not suffice."""
    excludes = choices.excludes
    nouns = [said for said in excludes if said.family == "noun"]
    chosen = [nouns[-1] if style == "scanrefer" and rng.random() < 0.3 else nouns[0]]
    colour = next((said for said in excludes if said.family == "colour"), None)
    if colour is not None and style != "sr3d" and rng.random() < (0.6 if style == "scanrefer" else 0.4):
        chosen.append(colour)
    named = len(chosen)
    left = choices.others - frozenset[int]().union(*(excludes[said] for said in chosen))
    wanted = int(rng.integers(1, 4)) if style == "scanrefer" else 1
    used: set[str] = set()
    for said in _shuffled(rng, [said for said in excludes if said.family not in ("noun", "colour")]):
        if len(chosen) - named >= wanted and not left:
            break
        if len(chosen) - named == _MOST[style]:
            return None
        if not _adds(said, chosen, used) or (style == "sr3d" and said.family not in _ONE_RELATION):
            continue
        if (len(chosen) - named >= wanted or style == "sr3d") and not excludes[said] & left:
            continue
        chosen.append(said)
        left -= excludes[said]
        used |= {name for name, _ in descriptions_in([said])}
    return None if left or len(chosen) == named else tuple(chosen)


def _shuffled(rng: np.random.Generator, statements: list[Statement]) -> list[Statement]:
    """Return the statements by family and kind of order, in a random order of these weighted by `_SHARES`, and in
    random order within each."""
    order = {family: rng.exponential() / share for family, share in _SHARES.items()}
    mixed = [statements[k] for k in rng.permutation(len(statements))]
    return sorted(mixed, key=lambda said: order[_ORDERS_BY[said.value[0]] if said.family == "order" else said.family])


def _adds(said: Statement, chosen: Sequence[Statement], used: set[str]) -> bool:
    """Return whether a statement is of a new family, no alternative to a used one, and about a new thing."""
    families = {earlier.family for earlier in chosen}
    if said.family in families or any(said.family in group and families & group for group in _ALTERNATIVES):
        return False
    return not used & {name for name, _ in descriptions_in([said])}
