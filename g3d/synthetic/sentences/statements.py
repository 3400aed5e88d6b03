"""Statements about one thing of a street scene and their truth values: the meaning of the sentences.

A statement is a family and a value, e.g. ("colour", "red") or ("order", ("left", 2, "car", None)). It is true, false,
or undecided: numbers near a threshold, and colours and body styles that are easily confused, are undecided. A statement
distinguishes its object from another thing only if it is false for the other thing. Left and right are image
directions, so a mirrored image keeps a statement true if these two words are swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from g3d.errors import InputError
from g3d.synthetic.streets.scene import CLASSES

NOUNS = dict(zip(("car", "van", "truck", "pedestrian", "cyclist", "bus"), CLASSES, strict=True))
"""Nouns of whole classes (the data set's class words) -> the streets' classes; all other nouns are kinds of things."""
CLASS_WORDS = {name: noun for noun, name in NOUNS.items()}
RELATIONS = ("left of", "right of", "behind", "in front of", "next to")
_LOOKALIKES = {  # colours, body styles, places and states that a reader may confuse
    frozenset(pair)
    for pair in (
        ("grey", "silver"),
        ("white", "silver"),
        ("grey", "black"),
        ("orange", "red"),
        ("orange", "yellow"),
        ("orange", "brown"),
        ("brown", "black"),
        ("brown", "red"),
        ("pink", "red"),
        ("pink", "purple"),
        ("purple", "blue"),
        ("pink", "orange"),
        ("hatchback", "estate"),
        ("hatchback", "suv"),
        ("estate", "suv"),
        ("estate", "sedan"),
        ("suv", "minibus"),
        ("roadside", "road edge"),
        ("roadside", "pavement"),
        ("walking", "standing"),
    )
}


class Statement(NamedTuple):
    """A statement: its family, a key of FAMILIES, and its value."""

    family: str
    value: Any


@dataclass(frozen=True)
class Thing:
    """A visible object of a frame.

    Attributes:
        id: number in the scene.
        line: index of its label line, None for a DontCare.
        type, kind, colour, place, state: the attributes of scene.Actor.
        size: height, width, length, metres.
        x, z: position on the ground in the camera frame, metres.
        facing: unit vector on the ground, (right, away) as seen from the camera.
        box: left, top, right, bottom as fractions of the image's width.
        visible: visible share of the silhouette inside the image.
        truncated: share of the silhouette outside the image.
        occluded: KITTI's occlusion level.
    """

    id: int
    line: int | None
    type: str
    kind: str
    colour: str
    place: str
    state: str
    size: tuple[float, float, float]
    x: float
    z: float
    facing: tuple[float, float]
    box: tuple[float, float, float, float]
    visible: float
    truncated: float
    occluded: int

    @property
    def distance(self) -> float:
        return float(np.hypot(self.x, self.z))

    @property
    def across(self) -> float:
        """Horizontal centre of the box, 0 at the left and 1 at the right side of the image."""
        return (self.box[0] + self.box[2]) / 2


def visible_things(scene: Mapping[str, Any]) -> tuple[Thing, ...]:
    """Return the visible things of a scene's description (g3d.synthetic.streets.world.describe_scene), with DontCares.

    Raises:
        InputError: an entry lacks the fields of the description.
    """
    width = scene["image_size"][0]
    things = []
    for entry in scene["objects"]:
        try:
            if entry["status"] == "hidden":
                continue
            yaw = entry["rotation_y"]
            things.append(
                Thing(
                    entry["id"],
                    entry["label_line"] if entry["status"] == "labelled" else None,
                    entry["type"],
                    entry["kind"],
                    entry["colour"],
                    entry["place"],
                    entry["state"],
                    tuple(entry["size"]),
                    entry["location"][0],
                    entry["location"][2],
                    (float(np.cos(yaw)), float(-np.sin(yaw))),
                    tuple(side / width for side in entry["box2d"]),
                    entry["visible"],
                    entry["truncated"],
                    entry["occluded"],
                )
            )
        except (KeyError, TypeError, IndexError) as error:
            where = f"scene {scene.get('frame')}: object {entry.get('id')}"
            raise InputError(f"{where}: {error} is not as a street's description has it") from error
    return tuple(things)


def holds(statement: Statement, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    """Return whether a statement is true of a thing, among all visible things of its frame; None if it is undecided."""
    return FAMILIES[statement.family](statement.value, thing, things)


def true_statements(thing: Thing, things: tuple[Thing, ...]) -> Iterator[Statement]:
    """Yield all statements that are certainly true of a thing."""
    for statement in _candidates(thing, things):
        if holds(statement, thing, things):
            yield statement


def rounded_distance(distance: float) -> int:
    """Round a distance for a sentence: to 1 m below 19.5 m, to 5 m from there."""
    return round(distance) if distance < 19.5 else 5 * round(distance / 5)


def _candidates(thing: Thing, things: tuple[Thing, ...]) -> Iterator[Statement]:
    word = CLASS_WORDS[thing.type]
    yield from (Statement("noun", word), Statement("noun", thing.kind), Statement("colour", thing.colour))
    yield from (Statement("place", thing.place), Statement("state", thing.state))
    yield from (Statement("side", side) for side in ("left", "middle", "right"))
    yield from (Statement("facing", way) for way in ("away", "towards", "left", "right"))
    yield from (
        Statement("distance", rounded_distance(thing.distance)),
        Statement("range", "near"),
        Statement("range", "far"),
    )
    yield from (Statement("height", round(thing.size[0], 1)), Statement("length", round(thing.size[2], 1)))
    yield Statement("bearing", 5 * round(_bearing(thing) / 5))
    yield from (Statement("seen", how) for how in ("whole", "cut left", "cut right"))
    yield from (
        Statement("hidden by", CLASS_WORDS[name])
        for name in sorted({other.type for other in things}, key=CLASSES.index)
    )
    for noun, colour in ((word, None), (thing.kind, None), (word, thing.colour)):
        yield from (
            Statement("order", (end, rank, noun, colour))
            for end in ("left", "right", "near", "far")
            for rank in (1, 2, 3)
        )
    for other in things:
        if other is not thing and other.line is not None:
            described = (CLASS_WORDS[other.type], other.kind)
            yield from (Statement(name, (noun, other.colour)) for name in RELATIONS for noun in described)


def _between(value: float, certain: float, impossible: float) -> bool | None:
    """Return True up to `certain`, False from `impossible`, None between them."""
    return True if value <= certain else False if value >= impossible else None


def _same(said: str, found: str) -> bool | None:
    return True if said == found else None if frozenset((said, found)) in _LOOKALIKES else False


def _noun(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    return thing.type == NOUNS[value] if value in NOUNS else _same(value, thing.kind)


def _side(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    if value == "middle":
        return _between(abs(thing.across - 0.5), 0.1, 0.18)
    return _between(thing.across if value == "left" else 1 - thing.across, 0.4, 0.5)


def _facing(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    right, away = thing.facing
    towards = {"away": away, "towards": -away, "right": right, "left": -right}[value]
    return _between(-towards, -float(np.cos(np.radians(35))), -float(np.cos(np.radians(55))))


def _distance(value: int, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    step = 0.51 if value < 20 else 2.51
    return _between(abs(thing.distance - value), step, step + max(1.5, 0.08 * value))


def _range(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    return _between(thing.distance, 12, 18) if value == "near" else _between(-thing.distance, -30, -22)


def _bearing(thing: Thing) -> float:
    """Return the direction of a thing in degrees to the right of straight ahead."""
    return float(np.degrees(np.arctan2(thing.x, thing.z)))


def _bearing_is(value: int, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    return value != 0 and _between(abs(_bearing(thing) - value), 2.51, 6)


def _extent(axis: int, margin: float, value: float, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    return _between(abs(thing.size[axis] - value), 0.051, margin)


def _seen(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    if value == "whole":
        return (
            False if thing.truncated > 0.1 else _between(1 - thing.visible, 0.02 if thing.truncated == 0 else -1, 0.2)
        )
    outside = thing.box[0] <= 0.002 if value == "cut left" else thing.box[2] >= 0.996
    return _between(-thing.truncated, -0.1, -0.02) if outside else False


def _hidden_by(value: str, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    covers = [
        _covered(thing, other) for other in things if other.type == NOUNS[value] and other.distance < thing.distance
    ]
    return (
        False
        if thing.visible >= 0.95
        else _between(-max(covers, default=0.0), -0.15 if thing.visible < 0.85 else -2, -0.02)
    )


def _covered(thing: Thing, other: Thing) -> float:
    """Return the share of a thing's box that is inside another thing's box."""
    width, height = (min(thing.box[k + 2], other.box[k + 2]) - max(thing.box[k], other.box[k]) for k in (0, 1))
    area = (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])
    return max(0.0, width) * max(0.0, height) / area


def _order(value: tuple[str, int, str, str | None], thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    """Return whether a thing is the rank-th of a group from one end; None if the group contains a DontCare or a thing
    whose membership is undecided."""
    end, rank, noun, colour = value
    member = {other.id: _described(noun, colour, other, things) for other in things}
    if member[thing.id] is False:
        return False
    group = [other for other in things if member[other.id] is not False]
    if len(group) < max(2, rank) or any(member[other.id] is None or other.line is None for other in group):
        return None
    if end in ("left", "right"):
        gaps, margin = [other.across - thing.across for other in group if other is not thing], 0.02
    else:
        gaps, margin = (
            [other.distance - thing.distance for other in group if other is not thing],
            max(1.5, 0.1 * thing.distance),
        )
    if any(abs(gap) < margin for gap in gaps):
        return None
    return sum(gap < 0 if end in ("left", "near") else gap > 0 for gap in gaps) == rank - 1


def _described(noun: str, colour: str | None, thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    """Return whether "the <colour> <noun>" describes a thing; None if it is undecided."""
    both = (_noun(noun, thing, things), True if colour is None else _same(colour, thing.colour))
    return False if False in both else None if None in both else True


def _relation(name: str, value: tuple[str, str], thing: Thing, things: tuple[Thing, ...]) -> bool | None:
    """Return whether a thing has a relation to another, "the <colour> <noun>"; None if that other thing is not the only
    possible one or is not labelled."""
    noun, colour = value
    meant = [other for other in things if _described(noun, colour, other, things) is not False]
    if len(meant) != 1 or meant[0].line is None or not _described(noun, colour, meant[0], things):
        return None
    other = meant[0]
    if other is thing:
        return False
    if name in ("left of", "right of"):
        gap = thing.across - other.across
        return _between(gap if name == "left of" else -gap, -0.05, 0.0)
    aside, farther = abs(thing.x - other.x), thing.z - other.z
    if name == "next to":
        return _between(float(np.hypot(aside, farther)), 4.5, 8.0)
    gap = farther if name == "behind" else -farther
    if gap <= 0 or aside >= 5:
        return False
    return True if 2 < gap <= 15 and aside <= 2.5 else None


FAMILIES: dict[str, Callable[[Any, Thing, tuple[Thing, ...]], bool | None]] = {
    "noun": _noun,
    "colour": lambda value, thing, things: _same(value, thing.colour),
    "place": lambda value, thing, things: _same(value, thing.place),
    "state": lambda value, thing, things: _same(value, thing.state),
    "side": _side,
    "facing": _facing,
    "distance": _distance,
    "range": _range,
    "bearing": _bearing_is,
    "height": partial(_extent, 0, 0.3),
    "length": partial(_extent, 2, 0.8),
    "seen": _seen,
    "hidden by": _hidden_by,
    "order": _order,
    **{name: partial(_relation, name) for name in RELATIONS},
}
"""Family -> function of (value, thing, all visible things) that returns whether the statement is true."""
