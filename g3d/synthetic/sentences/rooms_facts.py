"""Facts about the furnishings of a synthetic room, from which sentences are made.

Lengths are in metres; boxes and fronts are in the aligned frame, whose origin is the middle of the room's floor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from g3d.data.boundary import reading
from g3d.data.records import Record
from g3d.errors import InputError
from g3d.synthetic.rooms.categories import CATEGORIES
from g3d.synthetic.rooms.description import SCHEMA

SHELL_LABELS = ("floor", "ceiling", "wall")
PLACES = ("floor", "wall", "ceiling")
"""Values of `Furnishing.on` that are no objects."""


@dataclass(frozen=True, eq=False)
class Furnishing:
    """An annotated object of a room other than its floor, ceiling and walls.

    Attributes:
        id: objectId of the annotation.
        label: raw category of the annotation.
        nyu40: its nyu40 id.
        colour: named colour.
        low, high: (3,) float64, corners of the axis-aligned box.
        size: width, depth, height in its own frame.
        front: (2,) float64, unit vector on the ground that its front looks along.
        on: one of PLACES, or the label of the object that it stands on.
        support: objectId of that object; None if it is not annotated, or for PLACES.
    """

    id: int
    label: str
    nyu40: int
    colour: str
    low: np.ndarray
    high: np.ndarray
    size: tuple[float, float, float]
    front: np.ndarray
    on: str
    support: int | None

    @cached_property
    def middle(self) -> np.ndarray:
        """(3,) float64, the centre of the box."""
        return (self.low + self.high) / 2


@dataclass(frozen=True, eq=False)
class RoomFacts:
    """A room.

    Attributes:
        scene: name of the scan.
        size: width, depth, height.
        things: furnishings in the order of their objectIds.
    """

    scene: str
    size: tuple[float, float, float]
    things: tuple[Furnishing, ...]

    @cached_property
    def by_id(self) -> dict[int, Furnishing]:
        """Furnishings by objectId."""
        return {thing.id: thing for thing in self.things}


def read_room(path: Path) -> RoomFacts:
    """Return the facts in a room's description, <scene>.room.json.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged or has another schema.
    """
    with reading(path, "room", "make the rooms again: g3d prepare rooms"):
        record = Record(json.loads(path.read_bytes()), f"room {path}")
        if record.values.get("schema") != SCHEMA:
            record.fail("schema", record.values.get("schema"), SCHEMA)
        rows = [row for row in record.rows("objects") if row.values.get("label") not in SHELL_LABELS]
        things = tuple(_furnishing(row) for row in rows)
        if len({thing.id for thing in things}) != len(things):
            raise InputError("objects: an object_id comes twice, expected every one once")
        width, depth, height = record.numbers("size", 3)
        return RoomFacts(record.name("scene", "the name of the scan"), (width, depth, height), things)


def _furnishing(row: Record) -> Furnishing:
    label = row.one_of("label", tuple(CATEGORIES))
    middle, extent = (np.array(row.numbers(name, 3)) for name in ("center", "extent"))
    width, depth, height = row.numbers("size", 3)
    support = row.inner("support")
    on = support.values.get("object_id")
    return Furnishing(
        id=row.count("object_id"),
        label=label,
        nyu40=row.count("nyu40"),
        colour=row.name("colour", "a colour"),
        low=middle - extent / 2,
        high=middle + extent / 2,
        size=(width, depth, height),
        front=np.array(row.numbers("front", 2)),
        on=support.name("on", "floor, wall, ceiling or a label"),
        support=None if on is None else support.count("object_id"),
    )
