"""Placing things in a rectangular room without collisions: along walls, on them, on the floor, on each other.

Room frame: x and y along the walls from a corner, z up, metres. Walls are numbered 0 to 3: y = 0, x = width, y = depth,
x = 0. A thing at a wall has its back to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from g3d.synthetic.rooms.colours import near
from g3d.synthetic.rooms.solids import Builder, Colour, Solid, Thing, turn_z

Support = int | Literal["floor", "wall", "ceiling"]
SHELL = 6
"""Number of objects that every room begins with: floor, ceiling, four walls."""
_OUTSIDE = 6.0  # metres that the shell reaches beyond the room: nothing beyond it is ever looked at
_TRIES = 40
_CLEAR = 0.02


@dataclass(frozen=True, eq=False)
class Placed:
    """A thing in a room.

    Attributes:
        thing: what it is.
        position: (3,) float64, its origin in the room frame.
        yaw: radians about z, from x towards y; at 0 its front looks along +y.
        support: the number of the object that it stands on, or "floor", "wall", "ceiling".
    """

    thing: Thing
    position: np.ndarray
    yaw: float
    support: Support

    @cached_property
    def solids(self) -> tuple[Solid, ...]:
        """Its solids in the room frame."""
        return tuple(solid.moved(self.position, self.yaw) for solid in self.thing.solids)

    @cached_property
    def bounds(self) -> np.ndarray:
        """(2, 3) float64, the axis-aligned box around it in the room frame."""
        found = np.array([solid.bounds for solid in self.solids])
        return np.stack([found[:, 0].min(0), found[:, 1].max(0)])


@dataclass(frozen=True)
class Finish:
    """Materials (of kernels/room_colours.py) and named colours of a room's floor and walls."""

    floor: int
    floor_colour: tuple[str, Colour]
    wall_colour: tuple[str, Colour]
    wall_material: int


class Plan:
    """A room that is being furnished. Methods that place return the object's number, or None if there is no room."""

    def __init__(self, rng: np.random.Generator, size: tuple[float, float, float], finish: Finish) -> None:
        """An empty room of width, depth and height in metres."""
        self.rng, self.size = rng, size
        self.objects = list(_shell(rng, size, finish))
        self._boxes = [placed.bounds for placed in self.objects]
        self._kept_free: list[np.ndarray] = []

    def at(
        self,
        thing: Thing,
        position: Iterable[float],
        yaw: float,
        support: Support = "floor",
        touching: Sequence[int] = (),
    ) -> int | None:
        """Place a thing exactly here, if it collides with nothing but the objects in `touching`."""
        placed = Placed(thing, np.array(list(position), float), float(yaw), support)
        box = placed.bounds
        room = np.array([[0, 0, -0.1], self.size])
        if (box[0] < room[0] - 0.05).any() or (box[1] > room[1] + 0.05).any():
            return None
        hanging = support == "wall" or support == "ceiling"
        for number in range(SHELL, len(self.objects)):
            if number not in touching and number != support and _overlap(box, self._boxes[number]):
                return None
        if not hanging and any(_overlap(box, kept) for kept in self._kept_free):
            return None
        self.objects.append(placed)
        self._boxes.append(box)
        return len(self.objects) - 1

    def against(
        self,
        thing: Thing,
        walls: Sequence[int] = (0, 1, 2, 3),
        gap: tuple[float, float] = (0.0, 0.03),
        clear: float = 0.0,
        touching: Sequence[int] = (),
    ) -> int | None:
        """Stand a thing with its back to one of the walls; keep `clear` metres before it free of later things."""
        low, high = thing.bounds
        for _ in range(_TRIES):
            wall = int(self.rng.choice(walls))
            room = self.length(wall) - (high[0] - low[0])
            if room < 0:
                continue
            along = self.rng.uniform(0, room) - low[0]
            number = self.beside_wall(thing, wall, along, self.rng.uniform(*gap) - low[1], touching=touching)
            if number is not None:
                if clear:
                    self.keep_free(number, clear)
                return number
        return None

    def beside_wall(
        self,
        thing: Thing,
        wall: int,
        along: float,
        away: float,
        height: float = 0.0,
        support: Support = "floor",
        touching: Sequence[int] = (),
    ) -> int | None:
        """Place a thing's origin `along` metres from the wall's right end (seen by the thing), `away` from the wall."""
        yaw = self.wall_yaw(wall)
        start = [(0, 0), (self.size[0], 0), self.size[:2], (0, self.size[1])][wall]
        x, y = np.array(start) + (turn_z(yaw) @ np.array([along, away, 0.0]))[:2]
        return self.at(thing, (x, y, height), yaw, support, touching)

    def hang(
        self, thing: Thing, height: float, walls: Sequence[int] = (0, 1, 2, 3), touching: Sequence[int] = ()
    ) -> int | None:
        """Hang a thing on a wall, its origin at this height."""
        low, high = thing.bounds
        for _ in range(_TRIES):
            wall = int(self.rng.choice(walls))
            room = self.length(wall) - (high[0] - low[0]) - 0.1
            if room < 0:
                continue
            along = self.rng.uniform(0, room) - low[0] + 0.05
            number = self.beside_wall(thing, wall, along, 0.0, height, "wall", touching)
            if number is not None:
                return number
        return None

    def hang_above(self, thing: Thing, other: int, gap: float) -> int | None:
        """Hang a thing on the wall behind another one, `gap` metres above it."""
        wall = self.wall_behind(other)
        return self.beside_wall(thing, wall, self.along_of(other, wall), 0.0, self._boxes[other][1, 2] + gap, "wall")

    def stand(self, thing: Thing, margin: float = 0.05, yaw: float | None = None, corner: bool = False) -> int | None:
        """Stand a thing anywhere on the floor, or near a corner; a free yaw is random."""
        for _ in range(_TRIES):
            turn = self.rng.uniform(-np.pi, np.pi) if yaw is None else yaw
            reach = float(np.abs(thing.bounds[:, :2]).max()) + margin
            place = [self.rng.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in self.size[:2]]
            if corner:
                place = [
                    reach + self.rng.uniform(0, 0.25)
                    if self.rng.random() < 0.5
                    else side - reach - self.rng.uniform(0, 0.25)
                    for side in self.size[:2]
                ]
            number = self.at(thing, (*place, 0.0), turn)
            if number is not None:
                return number
        return None

    def near(
        self, thing: Thing, other: int, offset: tuple[float, float], yaw: float = 0.0, touching: bool = False
    ) -> int | None:
        """Stand a thing at an offset in another one's frame, turned by `yaw` against it."""
        placed = self.objects[other]
        x, y = placed.position[:2] + (turn_z(placed.yaw) @ np.array([*offset, 0.0]))[:2]
        return self.at(thing, (x, y, 0.0), placed.yaw + yaw, "floor", (other,) if touching else ())

    def on(self, thing: Thing, other: int, turn: float = 0.25, tries: int = 12, back: bool = False) -> int | None:
        """Put a thing on one of another one's level tops; `back`: at the rear edge."""
        placed = self.objects[other]
        tops = placed.thing.tops
        low, high = thing.bounds
        for _ in range(tries if tops else 0):
            top = tops[int(self.rng.integers(len(tops)))]
            room = np.array(top.high) - top.low - (high - low)[:2]
            if (room < 0).any() or high[2] > top.headroom:
                continue
            place = np.array(top.low) + room * self.rng.random(2) - low[:2]
            if back:
                place[1] = top.low[1] - low[1]
            at = placed.position + turn_z(placed.yaw) @ np.array([*place, top.height])
            number = self.at(thing, at, placed.yaw + self.rng.uniform(-turn, turn), other, self._carriers(other))
            if number is not None:
                return number
        return None

    def keep_free(self, number: int, depth: float) -> None:
        """Let no later thing stand within `depth` metres before an object."""
        placed, (low, high) = self.objects[number], self.objects[number].thing.bounds
        corners = np.array([[low[0], high[1], 0], [high[0], high[1] + depth, 0]])
        turned = corners @ turn_z(placed.yaw).T + placed.position
        box = np.stack([turned.min(0), turned.max(0)])
        box[:, 2] = (0.05, 1.9)
        self._kept_free.append(box)

    def length(self, wall: int) -> float:
        """Length of a wall in metres."""
        return self.size[wall % 2]

    def wall_yaw(self, wall: int) -> float:
        """Yaw of a thing with its back to a wall."""
        return wall * np.pi / 2

    def wall_behind(self, number: int) -> int:
        """The wall that an object has its back to."""
        return round(self.objects[number].yaw / (np.pi / 2)) % 4

    def standing_places(self, count: int, clearance: float = 0.3) -> np.ndarray:
        """(N, 2) float64, up to `count` places on the floor where a person can stand, most central first."""
        tall = [box for box in self._boxes[SHELL:] if box[0, 2] < 1.2 and box[1, 2] > 0.3]
        steps = [np.arange(0.4, side - 0.39, 0.2) for side in self.size[:2]]
        grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)
        if not len(grid):
            grid = np.array([[self.size[0] / 2, self.size[1] / 2]])
        clear = np.full(len(grid), np.inf)
        for box in tall:
            outside = np.maximum(np.maximum(box[0, :2] - grid, grid - box[1, :2]), 0)
            clear = np.minimum(clear, np.hypot(outside[:, 0], outside[:, 1]))
        good = grid[clear >= min(clearance, float(clear.max()))]
        order = self.rng.permutation(len(good))
        chosen: list[np.ndarray] = [good[order[0]]]
        while len(chosen) < min(count, len(good)):  # farthest from those that are chosen
            apart = np.min([np.hypot(*(good - place).T) for place in chosen], 0)
            chosen.append(good[int(apart.argmax())])
        return np.array(chosen)

    def along_of(self, number: int, wall: int) -> float:
        """Place of an object's middle along a wall, metres."""
        start = np.array([(0, 0), (self.size[0], 0), self.size[:2], (0, self.size[1])][wall])
        middle = self._boxes[number].mean(0)[:2] - start
        return float(np.array([*middle, 0.0]) @ turn_z(self.wall_yaw(wall))[:, 0])

    def _carriers(self, number: int) -> tuple[int, ...]:
        """An object, and what it stands on."""
        support = self.objects[number].support
        return (number, *self._carriers(support)) if isinstance(support, int) else (number,)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a[0] < b[1] - _CLEAR).all() and (b[0] < a[1] - _CLEAR).all())


def _shell(rng: np.random.Generator, size: tuple[float, float, float], finish: Finish) -> Iterable[Placed]:
    """Floor, ceiling and the four walls; they reach far outwards, so that the room is all that there is."""
    width, depth, height = size
    far = _OUTSIDE
    slabs = {
        "floor": ((-far, -far, -1), (width + far, depth + far, 0)),
        "ceiling": ((-far, -far, height), (width + far, depth + far, height + 1)),
        "wall 0": ((-far, -far, -1), (width + far, 0, height + 1)),
        "wall 1": ((width, -far, -1), (width + far, depth + far, height + 1)),
        "wall 2": ((-far, depth, -1), (width + far, depth + far, height + 1)),
        "wall 3": ((-far, -far, -1), (0, depth + far, height + 1)),
    }
    for name, (low, high) in slabs.items():
        build, label = Builder(), name.split()[0]
        if label == "floor":
            shade, colour = finish.floor_colour
            build.box(low, high, colour, finish.floor)
        elif label == "ceiling":
            shade = "white"
            build.box(low, high, (0.93, 0.93, 0.92))
        else:
            shade, colour = finish.wall_colour
            build.box(low, high, near(rng, colour, 0.012), finish.wall_material)
        yield Placed(build.build(label, shade), np.zeros(3), 0.0, "floor")
