"""Random plans of streets: a centre line, lanes, parking, kerbs, pavements, sometimes a crossing street.

Street frame: s is the distance along the centre line in metres, away from the camera, t the distance to its right.
Traffic drives on the right. The camera is at s = 0 in one of the lanes of its own direction; `Path` converts to the
camera frame's x and z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

KINDS = ("residential", "one-way", "avenue", "rural")
_SHARES = (0.40, 0.18, 0.24, 0.18)


@dataclass(frozen=True)
class Path:
    """A line of constant curvature on the ground.

    Attributes:
        origin: x, z of s = 0, metres.
        heading: direction at s = 0, radians from +z towards +x.
        curvature: change of heading per metre.
    """

    origin: tuple[float, float]
    heading: float
    curvature: float = 0.0

    def direction(self, s: np.ndarray | float) -> np.ndarray:
        """Return the heading at s, radians from +z towards +x."""
        return self.heading + self.curvature * np.asarray(s, float)

    def at(self, s: np.ndarray | float, t: np.ndarray | float) -> np.ndarray:
        """Convert street points to camera-frame (x, z): (..., 2)."""
        s = np.asarray(s, float)
        angle = self.heading + self.curvature * s
        cos, sin = np.cos(angle), np.sin(angle)
        if abs(self.curvature) < 1e-9:
            x, z = s * sin, s * cos
        else:
            x, z = (math.cos(self.heading) - cos) / self.curvature, (sin - math.sin(self.heading)) / self.curvature
        place = np.empty((*np.shape(x + t), 2))
        place[..., 0], place[..., 1] = self.origin[0] + x + t * cos, self.origin[1] + z - t * sin
        return place

    def yaw(self, s: float, turned: float = 0.0) -> float:
        """Return the rotation_y of an object that faces along the path at s, turned to the right by `turned`
        radians."""
        return float(self.direction(s)) + turned - np.pi / 2

    def crossing(self, s: float) -> Path:
        """Return the straight path that crosses at s at a right angle; its own s increases to the right."""
        x, z = self.at(s, 0.0)
        return Path((float(x), float(z)), float(self.direction(s)) + np.pi / 2)


@dataclass(frozen=True)
class Lane:
    """A lane around t = `centre`; forward lanes lead away from the camera."""

    centre: float
    forward: bool


@dataclass(frozen=True)
class Parking:
    """A row of parking spaces around t = `centre`; across: cars are parked at a right angle to the street."""

    centre: float
    width: float
    right: bool
    across: bool


@dataclass(frozen=True)
class Street:
    """A street's plan.

    Attributes:
        kind: one of KINDS.
        path: the line between the two directions of traffic.
        ground: y of the road's surface in the camera frame, i.e. the camera's height, metres.
        lanes, lane_width: the lanes and their common width, metres.
        own_lane: index of the camera's lane.
        parking: rows of parking spaces.
        edges: t of the left and the right kerb.
        pavements: widths of the left and the right pavement, 0 for a grass verge.
        setbacks: distance from the pavement to the buildings, left and right.
        crossing: s of the crossing street, None if there is none.
        crossing_width: width of the crossing street, metres.
        zebra: whether there is a zebra crossing before the crossing street.
    """

    kind: str
    path: Path
    ground: float
    lanes: tuple[Lane, ...]
    lane_width: float
    own_lane: int
    parking: tuple[Parking, ...]
    edges: tuple[float, float]
    pavements: tuple[float, float]
    setbacks: tuple[float, float]
    crossing: float | None
    crossing_width: float
    zebra: bool

    @property
    def kerb(self) -> float:
        """Height of the pavements above the road, metres."""
        return 0.0 if self.kind == "rural" else 0.12

    def clear_of_crossing(self, s: float, margin: float = 0.0) -> bool:
        """Return whether s is outside the crossing street by more than `margin`."""
        return self.crossing is None or abs(s - self.crossing) > self.crossing_width / 2 + margin


def sample_street(rng: np.random.Generator, ground: float) -> Street:
    """Sample a street for a camera at height `ground` above it."""
    kind = str(rng.choice(KINDS, p=_SHARES))
    lane_width = round(
        rng.uniform(
            *{"residential": (2.8, 3.3), "one-way": (3.2, 3.8), "avenue": (3.1, 3.6), "rural": (3.2, 3.7)}[kind]
        ),
        2,
    )
    forward, oncoming = {"residential": (1, 1), "one-way": (1, 0), "avenue": (2, 2), "rural": (1, 1)}[kind]
    lanes = [Lane((k + 0.5) * lane_width, True) for k in range(forward)] + [
        Lane(-(k + 0.5) * lane_width, False) for k in range(oncoming)
    ]
    own_lane = int(rng.integers(forward))
    right, left = forward * lane_width, -oncoming * lane_width
    parking, edges = [], []
    chance = {"residential": 0.75, "one-way": 0.85, "avenue": 0.5, "rural": 0.0}[kind]
    for is_right, edge in ((False, left), (True, right)):
        outward = 1 if is_right else -1
        if rng.random() < chance:
            across = bool(rng.random() < 0.18)
            width = 5.0 if across else 2.15
            parking.append(Parking(edge + outward * width / 2, width, is_right, across))
            edge += outward * width
        edges.append(edge + outward * 0.15)
    walks = [0.0 if kind == "rural" else round(rng.uniform(1.6, 3.6), 2) for _ in range(2)]
    setbacks = [
        rng.uniform(*{"residential": (1.5, 7), "one-way": (0.3, 4), "avenue": (0.3, 4), "rural": (9, 20)}[kind])
        for _ in range(2)
    ]
    has_crossing = kind != "rural" and rng.random() < 0.4
    curvature = 0.0 if rng.random() < 0.5 else rng.choice([-1, 1]) / rng.uniform(90, 400)
    return Street(
        kind,
        _path_through_camera(rng, lanes[own_lane].centre, curvature),
        ground,
        tuple(lanes),
        lane_width,
        own_lane,
        tuple(parking),
        (edges[0], edges[1]),
        (walks[0], walks[1]),
        (setbacks[0], setbacks[1]),
        rng.uniform(16, 42) if has_crossing else None,
        rng.uniform(6.5, 9),
        bool(rng.random() < 0.5),
    )


def _path_through_camera(rng: np.random.Generator, lane: float, curvature: float) -> Path:
    """Return a centre line such that the camera is near t = `lane` at s = 0."""
    heading = rng.normal(0, 0.035)
    t = lane + rng.normal(0, 0.2)
    return Path((float(-t * np.cos(heading)), float(t * np.sin(heading))), float(heading), float(curvature))
