"""Statements that a sentence about a furnishing of a room may make: which things it may refer to, and how."""

from __future__ import annotations

from collections.abc import Iterator

from g3d.synthetic.sentences.rooms_facts import PLACES, Furnishing, RoomFacts
from g3d.synthetic.sentences.rooms_names import UNCOLOURED, names_of
from g3d.synthetic.sentences.rooms_statements import (
    Description,
    gap,
    ground_distance,
    holds,
    members,
    the_only,
    view_of,
)
from g3d.synthetic.sentences.statements import Statement

MINOR = frozenset(
    ("books", "bottle", "bowl", "cup", "keyboard", "kettle", "shoes", "ball", "toilet paper", "pillow", "mat", "clock",
     "ceiling light")
)  # fmt: skip
"""Labels of things that are no landmarks: only minor things right beside them are described by them."""
SEEN = frozenset(
    ("door", "window", "whiteboard", "tv", "bookshelf", "shelf", "refrigerator", "wardrobe closet", "stove", "radiator",
     "desk", "couch", "bed", "mirror", "bathroom vanity", "bathtub", "dresser", "cabinet", "tv stand")
)  # fmt: skip
"""Labels of things that a person may face, and that have a front."""
MOVABLE = frozenset(("plant", "lamp", "box", "backpack", "tv", "trash can", "bottle", "towel"))
"""Labels whose place, floor or wall, is worth a statement."""
BULKY = ("largest", "smallest", "tallest")
_VIEW = 5.0  # metres from a thing to what is faced
_PAIR = 3.5  # metres between two things with a third between them
_PARTNERS = 6  # nearest landmarks of which pairs are formed


def true_statements(thing: Furnishing, room: RoomFacts) -> list[Statement]:
    """Return the statements that are certainly true of a furnishing, the names first."""
    return [said for said in _candidates(thing, room) if holds(said, thing, room)]


def description_of(thing: Furnishing, room: RoomFacts) -> Description | None:
    """Return the shortest description that means a thing and nothing else of the room; None if there is none."""
    plain: Description = (thing.label, None)
    if the_only(plain, room) is thing:
        return plain
    colour: Description = (thing.label, thing.colour)
    return colour if thing.label not in UNCOLOURED and the_only(colour, room) is thing else None


def _candidates(thing: Furnishing, room: RoomFacts) -> Iterator[Statement]:
    yield from (Statement("noun", name) for name in names_of(thing.label))
    yield Statement("colour", thing.colour)
    yield from (Statement("place", place) for place in ("floor", "wall") if thing.label in MOVABLE)
    if thing.on == "floor":
        yield Statement("corner", True)
    yield from _carrying(thing, room)
    if thing.support is not None:
        below = room.by_id[thing.support]
        unique = description_of(below, room)
        yield Statement("on a", (below.label, below.colour)) if unique is None else Statement("on", unique)
    landmarks = [
        (other, means)
        for other in room.things
        if other is not thing and other.id != thing.support and (means := description_of(other, room)) is not None
    ]
    firm = [pair for pair in landmarks if pair[0].label not in MINOR and pair[0].on in PLACES]
    yield from _orders(thing, firm)
    for other, means in landmarks:
        yield from _relations(thing, other, means, landmarks)
    yield from _pairs(thing, room, firm)


def _carrying(thing: Furnishing, room: RoomFacts) -> Iterator[Statement]:
    for carried in room.things:
        if carried.support == thing.id:
            yield Statement("carries", (carried.label, None))
            if carried.label not in UNCOLOURED:
                yield Statement("carries", (carried.label, carried.colour))


def _orders(thing: Furnishing, landmarks: list[tuple[Furnishing, Description]]) -> Iterator[Statement]:
    """Yield the orders of the things that share a thing's name, or its label and colour."""
    for name in names_of(thing.label) if thing.label not in MINOR else ():
        yield from (Statement("order", (order, name, None, None)) for order in BULKY)
    orders: list[tuple[str, Description | None]]
    orders = [(order, None) for order in ("highest", "lowest") if thing.on != "floor"]
    for other, means in landmarks:
        orders += [(order, means) for order in ("nearest", "farthest")]
        if other.label in SEEN and view_of(other) is not None:
            orders += [(order, means) for order in ("leftmost", "rightmost")]
    for colour in (None, thing.colour) if thing.label not in UNCOLOURED else (None,):
        yield from (Statement("order", (order, thing.label, colour, other)) for order, other in orders)


def _relations(
    thing: Furnishing, other: Furnishing, means: Description, landmarks: list[tuple[Furnishing, Description]]
) -> Iterator[Statement]:
    apart = gap(thing, other)
    if apart < 0.3 and (other.label not in MINOR or thing.label in MINOR):
        yield Statement("next to", means)
    if other.label in MINOR or (other.support is not None and other.support != thing.support):
        return
    if "wall" in (thing.on, other.on):
        yield from (Statement("above", means), Statement("under", means))
    if other.label in SEEN:
        yield Statement("in front of", means)
        yield from (Statement("side", (side, means)) for side in ("left", "right"))
    if apart <= 1.5:
        for seen, view in landmarks:
            if seen.label in SEEN and view_of(seen) is not None and ground_distance(thing, seen) <= _VIEW:
                yield from (Statement(f"{side} of", (means, view)) for side in ("left", "right"))


def _pairs(thing: Furnishing, room: RoomFacts, firm: list[tuple[Furnishing, Description]]) -> Iterator[Statement]:
    near = sorted(firm, key=lambda pair: ground_distance(thing, pair[0]))[:_PARTNERS]
    for k, (first, one) in enumerate(near):
        for second, two in near[k + 1 :]:
            if ground_distance(first, second) <= _PAIR:
                yield Statement("between", (one, two))
    for name in sorted({other.label for other in room.things} - MINOR - {thing.label}):
        pair = members((name, None), room)
        if pair is not None and len(pair) == 2 and ground_distance(*pair) <= _PAIR:
            yield Statement("between", name)
