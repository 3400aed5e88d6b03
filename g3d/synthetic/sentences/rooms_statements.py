"""Statements about one furnishing of a room and their truth values: the meaning of the sentences.

A statement is a family and a value, for example ("colour", "red"), ("next to", ("desk", None)) or ("order", ("nearest",
"chair", None, ("door", "white"))). A description such as ("door", "white") is a name and a colour or None. A statement
is true, false, or undecided (None): lengths near a threshold, confusable names and colours, near ties, and descriptions
of more than one thing leave it undecided. A statement tells an object from another only if it is false of the other.

Left and right are those of a person who looks at a thing on a wall, or with its back to one, along the normal of that
wall: the statement names the thing that is looked at. Things near the opposite wall, behind such a person, are neither
left nor right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from g3d.synthetic.sentences.rooms_facts import PLACES, Furnishing, RoomFacts
from g3d.synthetic.sentences.rooms_names import all_of, coloured, named
from g3d.synthetic.sentences.statements import Statement

Description = tuple[str, str | None]
ORDERS = ("largest", "smallest", "tallest", "highest", "lowest", "nearest", "farthest", "leftmost", "rightmost")
"""Kinds of the family "order"; the fourth part of its value is what is near or looked at, None for the first five."""
_VOLUME, _SIDE, _HEIGHT = np.log([1.3, 1.07, 1.15])  # least ratios of the largest thing to the next one
_CLEARLY = 0.1  # metres beyond a limit from which a side is certainly another
_BEHIND = 0.25  # share of the room's depth from its middle backwards, beyond which things are behind a person
_STRAIGHT = 0.99  # cosine: views are along the walls


def holds(statement: Statement, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a statement is true of a furnishing of a room; None if it is undecided."""
    return FAMILIES[statement.family](statement.value, thing, room)


def described(description: Description, thing: Furnishing) -> bool | None:
    """Return whether a name and a colour describe a thing; None if it is undecided."""
    name, colour = description
    by_colour = True if colour is None else coloured(colour, thing.label, thing.colour)
    return all_of((named(name, thing.label), by_colour))


@lru_cache(maxsize=4096)
def the_only(description: Description, room: RoomFacts) -> Furnishing | None:
    """Return the only thing that a description may mean; None if there is none, or possibly another one."""
    group = members(description, room)
    return group[0] if group is not None and len(group) == 1 else None


@lru_cache(maxsize=4096)
def members(description: Description, room: RoomFacts) -> tuple[Furnishing, ...] | None:
    """Return the things that a description means; None if this is undecided for any thing of the room."""
    truths = [described(description, thing) for thing in room.things]
    if None in truths:
        return None
    return tuple(thing for thing, truth in zip(room.things, truths, strict=True) if truth)


def ground_distance(a: Furnishing, b: Furnishing) -> float:
    """Return the distance of the middles of two things along the ground, metres."""
    return float(np.hypot(*(a.middle - b.middle)[:2]))


def gap(a: Furnishing, b: Furnishing, axes: int = 3) -> float:
    """Return the gap between the boxes of two things, metres; with `axes` 2 along the ground."""
    apart = np.maximum(np.maximum(a.low - b.high, b.low - a.high), 0)[:axes]
    return float(np.linalg.norm(apart))


def view_of(seen: Furnishing) -> np.ndarray | None:
    """Return the unit vector (2,) to the left of a person who looks at a thing; None if the view is not straight."""
    if np.abs(seen.front).max() < _STRAIGHT:
        return None
    ahead = -np.round(seen.front)
    return np.array([-ahead[1], ahead[0]])


def ahead_of(left: np.ndarray) -> np.ndarray:
    """Return the unit vector (2,) in which a person looks whose left is given."""
    return np.array([left[1], -left[0]])


def in_sight(things: Sequence[Furnishing], left: np.ndarray, room: RoomFacts) -> bool:
    """Return whether things are in the part of the room that is before a person with the opposite wall behind."""
    ahead = ahead_of(left)
    nearest = -_BEHIND * float(np.abs(ahead) @ room.size[:2])
    return all(float(thing.middle[:2] @ ahead) >= nearest for thing in things)


def between(value: float, certain: float, impossible: float) -> bool | None:
    """Return True up to `certain`, False from `impossible`, None between them."""
    return True if value <= certain else False if value >= impossible else None


def _order(value: tuple[str, str, str | None, Description | None], thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is the first of its group in an order, by a margin in everything that readers compare."""
    order, name, colour, other = value
    member = described((name, colour), thing)
    if member is False:
        return False
    first = _first(order, (name, colour), other, room)
    return None if first is None or member is None else first is thing


@lru_cache(maxsize=16384)
def _first(order: str, description: Description, other: Description | None, room: RoomFacts) -> Furnishing | None:
    """Return the first thing of a group in an order; None if the group is undecided, small, or has a near tie."""
    group = members(description, room)
    landmark = None if other is None else the_only(other, room)
    if group is None or len(group) < 2 or (other is not None and (landmark is None or landmark in group)):
        return None
    keys = _keys(order, group, landmark, room)
    if keys is None:
        return None
    best = int(np.argmax(keys[0][0]))
    for values, margin in keys:
        if np.delete(values, best).max() > values[best] - margin:
            return None
    return group[best]


def _keys(
    order: str, group: tuple[Furnishing, ...], other: Furnishing | None, room: RoomFacts
) -> list[tuple[np.ndarray, float]] | None:
    """Return what is compared, (N,) float64 and the least lead of the first; None if the order does not apply."""
    sign = -1 if order in ("smallest", "lowest", "nearest", "rightmost") else 1
    if order in ("largest", "smallest"):
        sizes = np.log([thing.size for thing in group])
        return [(sign * sizes.sum(1), _VOLUME), (sign * sizes.max(1), _SIDE)]
    if order == "tallest":
        on_floor = all(thing.on == "floor" for thing in group)
        return [(np.log([thing.size[2] for thing in group]), _HEIGHT)] if on_floor else None
    if order in ("highest", "lowest"):
        return [(sign * np.array([thing.middle[2] for thing in group]), 0.3)]
    assert other is not None  # the remaining orders name another thing
    if order in ("nearest", "farthest"):
        apart = np.array([ground_distance(thing, other) for thing in group])
        gaps = np.array([gap(thing, other) for thing in group])
        return [(sign * apart, 0.35), (sign * gaps, 0.25)]
    left = view_of(other)
    if left is None or not in_sight(group, left, room):
        return None
    return [(sign * np.array([thing.middle[:2] @ left for thing in group]), 0.4)]


def _on(value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing stands on the thing that a description means."""
    other = the_only(value, room)
    if other is None:
        return None
    if thing.support == other.id:
        return True
    below = room.by_id.get(-1 if thing.support is None else thing.support)
    through = (below is not None and below.support == other.id) or (thing.support is None and thing.on not in PLACES)
    return None if through else False


def _on_some(value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing stands on one of the things that a description means."""
    if thing.on in PLACES:
        return False
    below = room.by_id.get(-1 if thing.support is None else thing.support)
    return None if below is None else described(value, below)


def _carries(value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether something that a description means stands on a thing."""
    carried = [described(value, other) for other in room.things if other.support == thing.id]
    return True if True in carried else None if None in carried else False


def _place(value: str, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing stands on the floor or hangs on the wall."""
    if thing.on == value:
        return True
    return None if value == "floor" and thing.low[2] < 0.15 else False


def _corner(value: bool, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is in a corner of the room: near two walls that meet."""
    half = np.array(room.size[:2]) / 2
    return between(float(np.maximum(half - np.abs(thing.middle[:2]), 0).max()), 0.6, 1.1)


def _next_to(value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    other = the_only(value, room)
    if other is None:
        return None
    if other is thing:
        return False
    near = between(gap(thing, other), 0.3, 0.9)
    beside = min(thing.high[2], other.high[2]) - max(thing.low[2], other.low[2]) > 0
    return None if near and (not beside or thing.support == other.id or other.support == thing.id) else near


def _above(upwards: bool, value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is above (or below) another without standing on it."""
    other = the_only(value, room)
    if other is None:
        return None
    upper, lower = (thing, other) if upwards else (other, thing)
    rise = upper.low[2] - lower.high[2]
    if other is thing or upper.middle[2] <= lower.middle[2] - _CLEARLY or gap(thing, other, 2) >= 0.8:
        return False
    reach = np.maximum(np.maximum(lower.low - upper.middle, upper.middle - lower.high), 0)[:2].max()
    aligned = reach <= 0.15 and abs(upper.middle - lower.middle)[:2].min() <= 0.5
    return True if aligned and 0.08 <= rise <= 1.3 and upper.support != lower.id else None


def _before(value: Description, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is in front of another one, along its front."""
    other = the_only(value, room)
    left = None if other is None else view_of(other)
    if other is None or left is None:
        return None
    if other is thing:
        return False
    front = np.round(other.front)
    ahead = float((thing.middle - other.middle)[:2] @ front) - float(_reach(other, front))
    aside = abs(float((thing.middle - other.middle)[:2] @ left))
    if ahead <= -_CLEARLY or aside >= _reach(other, left) + 0.7 or ahead >= 2.5:
        return False
    close = ahead - _reach(thing, front) <= 0.7 and aside <= _reach(other, left) and thing.low[2] < 0.5
    return True if close and ahead >= 0.15 else None


def _beside(left_side: bool, value: tuple[Description, Description], thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is beside another, on the left or right for a person who looks at a third."""
    other, seen = (the_only(description, room) for description in value)
    left = None if seen is None else view_of(seen)
    if other is None or left is None:
        return None
    side = left if left_side else -left
    if other is thing:
        return False
    across = float((thing.middle - other.middle)[:2] @ side)
    if across <= -_CLEARLY:
        return False
    ahead = ahead_of(left)
    apart = abs(float((thing.middle - other.middle)[:2] @ ahead)) - _reach(thing, ahead) - _reach(other, ahead)
    clear = across - _reach(thing, side) - _reach(other, side)
    beside = across >= 2 * _CLEARLY and -0.1 <= clear <= 1.2 and apart <= 0.3
    seen_both = in_sight((thing, other), left, room)
    return True if beside and seen_both and thing.support != other.id else None


def _side(value: tuple[str, Description], thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is in the left or right half of the room for a person who looks at another one."""
    side, description = value
    seen = the_only(description, room)
    left = None if seen is None else view_of(seen)
    if left is None or seen is thing:
        return None
    across = float(thing.middle[:2] @ (left if side == "left" else -left))
    truth = between(-across, -max(0.4, 0.15 * float(np.abs(left) @ room.size[:2])), _CLEARLY)
    return None if truth and not in_sight((thing,), left, room) else truth


def _between_two(value: Any, thing: Furnishing, room: RoomFacts) -> bool | None:
    """Return whether a thing is between two others: those of two descriptions, or the only two of one."""
    found = members((value, None), room) if isinstance(value, str) else [the_only(part, room) for part in value]
    pair = [other for other in found or () if other is not None]
    if len(pair) != 2:
        return None
    first, second = pair
    if thing in pair:
        return False
    along = (second.middle - first.middle)[:2]
    length = float(np.linalg.norm(along))
    if length < 0.5:
        return None
    offset = (thing.middle - first.middle)[:2]
    share = float(offset @ along) / length**2
    aside = abs(float(offset @ np.array([-along[1], along[0]]))) / length
    on_it = thing.support in (first.id, second.id)
    return None if on_it else all_of((between(abs(share - 0.5), 0.25, 0.45), between(aside, 0.3, 0.8)))


def _reach(thing: Furnishing, way: np.ndarray) -> float:
    """Return half of a thing's extent along a direction of the ground that is parallel to a wall."""
    return float(np.abs(way) @ (thing.high - thing.low)[:2] / 2)


FAMILIES: dict[str, Callable[[Any, Furnishing, RoomFacts], bool | None]] = {
    "noun": lambda value, thing, room: named(value, thing.label),
    "colour": lambda value, thing, room: coloured(value, thing.label, thing.colour),
    "order": _order,
    "on": _on,
    "on a": _on_some,
    "carries": _carries,
    "place": _place,
    "corner": _corner,
    "next to": _next_to,
    "above": partial(_above, True),
    "under": partial(_above, False),
    "in front of": _before,
    "left of": partial(_beside, True),
    "right of": partial(_beside, False),
    "side": _side,
    "between": _between_two,
}
"""Family -> function of (value, furnishing, room) that returns whether the statement is true."""
