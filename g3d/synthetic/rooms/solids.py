"""Solids of a room: boxes, cones, ellipsoids and rims with exact surfaces, and the builder that furniture is made with.

A thing is built in its own frame: x to its right, y towards its front, z up, metres; it stands on z = 0 with its back
on the side of negative y. See kernels/distance_field.py for the kinds of solids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from g3d.kernels.distance_field import BOX, CONE, ELLIPSOID, RIM, nearest_surface
from g3d.kernels.room_colours import PLAIN

Point = Sequence[float] | np.ndarray
Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Solid:
    """One solid.

    Attributes:
        kind: BOX, CONE, ELLIPSOID or RIM.
        centre: (3,) float64, metres.
        half: (3,) float64, half sizes as the kind defines them, metres.
        extra: (2,) float64, further lengths as the kind defines them, metres.
        rotation: (3, 3) float64, its own axes as columns.
        colour: red, green, blue, 0..1.
        material: one of kernels/room_colours.py.
    """

    kind: int
    centre: np.ndarray
    half: np.ndarray
    extra: np.ndarray
    rotation: np.ndarray
    colour: Colour
    material: int = PLAIN

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) float64, lowest and highest corner of the axis-aligned box around it."""
        half = self.half
        if self.kind == CONE:
            half = np.array([max(half[:2]), max(half[:2]), half[2]])
        reach = np.abs(self.rotation) @ half
        return np.stack([self.centre - reach, self.centre + reach])

    def moved(self, position: np.ndarray, yaw: float) -> Solid:
        """The solid turned by `yaw` radians about z (from x towards y) and then moved by `position`."""
        turn = turn_z(yaw)
        return replace(self, centre=turn @ self.centre + position, rotation=turn @ self.rotation)


@dataclass(frozen=True, eq=False)
class SolidArrays:
    """Solids as the kernels take them.

    Attributes:
        kinds, materials: (S,) int64.
        centres, halves: (S, 3) float64.
        extras: (S, 2) float64.
        rotations: (S, 3, 3) float64.
        colours: (S, 3) float64.
    """

    kinds: np.ndarray
    centres: np.ndarray
    rotations: np.ndarray
    halves: np.ndarray
    extras: np.ndarray
    colours: np.ndarray
    materials: np.ndarray

    @classmethod
    def of(cls, solids: Sequence[Solid]) -> SolidArrays:
        return cls(
            np.array([solid.kind for solid in solids], np.int64),
            np.array([solid.centre for solid in solids], np.float64).reshape(-1, 3),
            np.array([solid.rotation for solid in solids], np.float64).reshape(-1, 3, 3),
            np.array([solid.half for solid in solids], np.float64).reshape(-1, 3),
            np.array([solid.extra for solid in solids], np.float64).reshape(-1, 2),
            np.array([solid.colour for solid in solids], np.float64).reshape(-1, 3),
            np.array([solid.material for solid in solids], np.int64),
        )

    @property
    def shapes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Kinds, centres, rotations, halves and extras: the arguments of the distance kernels."""
        return self.kinds, self.centres, self.rotations, self.halves, self.extras

    def distance(self, points: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """(N,) float64: distance in metres of points (N, 3) to the union of the solids [first, stop), (N,) each."""
        found = np.empty(len(points))
        nearest_surface(np.asarray(points, np.float64), first, stop, *self.shapes, found)
        return found


@dataclass(frozen=True)
class Top:
    """A level rectangle of a thing on which others can stand: corners in the thing's frame, its height, and the free
    height above it, metres."""

    low: tuple[float, float]
    high: tuple[float, float]
    height: float
    headroom: float = np.inf


@dataclass(frozen=True, eq=False)
class Thing:
    """A piece of furniture or another object in its own frame.

    Attributes:
        label: raw category of the label table.
        colour: name of its main colour.
        solids: its parts.
        tops: where others can stand.
    """

    label: str
    colour: str
    solids: tuple[Solid, ...]
    tops: tuple[Top, ...] = ()

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) float64, the box around all solids."""
        found = np.array([solid.bounds for solid in self.solids])
        return np.stack([found[:, 0].min(0), found[:, 1].max(0)])

    @property
    def size(self) -> np.ndarray:
        """(3,) float64, extents in its own frame."""
        low, high = self.bounds
        return high - low


class Builder:
    """Collects the solids of a thing."""

    def __init__(self) -> None:
        self._solids: list[Solid] = []
        self._tops: list[Top] = []

    def box(
        self,
        low: Point,
        high: Point,
        colour: Colour,
        material: int = PLAIN,
        rounding: float = 0.0,
        tilt: float = 0.0,
        yaw: float = 0.0,
    ) -> None:
        """A box between two corners, with rounded edges, tilted about its own x axis (its top towards +y), turned."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        half = (high - low) / 2
        rounding = min(rounding, 0.99 * float(half.min()))
        turn = turn_z(yaw) @ _tilt(tilt)
        self._add(BOX, (low + high) / 2, half, (rounding, 0), turn, colour, material)

    def cone(
        self, foot: Point, height: float, radius: float, top_radius: float, colour: Colour, material: int = PLAIN
    ) -> None:
        """An upright cylinder or cone frustum that stands on `foot`."""
        centre = np.asarray(foot, float) + np.array([0, 0, height / 2])
        self._add(CONE, centre, (radius, top_radius, height / 2), (0, 0), np.eye(3), colour, material)

    def rod(self, start: Point, end: Point, radius: float, colour: Colour, material: int = PLAIN) -> None:
        """A cylinder around the line from `start` to `end`."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        axis = end - start
        length = float(np.linalg.norm(axis))
        axis /= length
        side = np.cross(axis, (1, 0, 0) if abs(axis[0]) < 0.9 else (0, 1, 0))
        side /= np.linalg.norm(side)
        turn = np.stack([side, np.cross(axis, side), axis], 1)
        self._add(CONE, (start + end) / 2, (radius, radius, length / 2), (0, 0), turn, colour, material)

    def ball(self, centre: Point, radii: Point, colour: Colour, material: int = PLAIN) -> None:
        """An ellipsoid."""
        self._add(ELLIPSOID, centre, radii, (0, 0), np.eye(3), colour, material)

    def rim(self, low: Point, high: Point, corner: float, wall: float, colour: Colour, material: int = PLAIN) -> None:
        """An upright wall of thickness `wall` along the inside of a rounded rectangle."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        self._add(RIM, (low + high) / 2, (high - low) / 2, (corner, wall), np.eye(3), colour, material)

    def top(self, low: Point, high: Point, height: float, headroom: float = np.inf) -> None:
        """Declare a level rectangle on which others can stand."""
        self._tops.append(Top((low[0], low[1]), (high[0], high[1]), height, headroom))

    def _add(
        self, kind: int, centre: Point, half: Point, extra: Point, turn: np.ndarray, colour: Colour, material: int
    ) -> None:
        numbers = [np.asarray(value, float) for value in (centre, half, extra)]
        self._solids.append(Solid(kind, numbers[0], numbers[1], numbers[2], turn, colour, material))

    def build(self, label: str, colour: str) -> Thing:
        """The thing with everything collected."""
        return Thing(label, colour, tuple(self._solids), tuple(self._tops))


def turn_z(yaw: float) -> np.ndarray:
    """(3, 3) float64: the rotation by `yaw` radians about z, from x towards y."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def _tilt(angle: float) -> np.ndarray:
    """(3, 3) float64: the rotation about x that moves the top towards +y for positive angles."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
