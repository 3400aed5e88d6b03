"""Low-poly models of vehicles: cars of four body styles, vans, trucks and buses, with different fronts and rears.

Lengths in the shapes of cars and vans are fractions of the body's length, height and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from g3d.synthetic.streets.meshes import Builder, Colour, Model

PAINTS: dict[str, tuple[Colour, ...]] = {
    "white": ((0.90, 0.90, 0.88), (0.95, 0.95, 0.95)),
    "black": ((0.07, 0.07, 0.08), (0.10, 0.10, 0.11)),
    "grey": ((0.36, 0.37, 0.39), (0.43, 0.43, 0.44)),
    "silver": ((0.68, 0.69, 0.71), (0.74, 0.75, 0.76)),
    "red": ((0.66, 0.08, 0.08), (0.76, 0.12, 0.09)),
    "blue": ((0.10, 0.20, 0.50), (0.16, 0.33, 0.66)),
    "green": ((0.10, 0.34, 0.20), (0.24, 0.46, 0.26)),
    "yellow": ((0.90, 0.76, 0.12), (0.88, 0.70, 0.08)),
    "orange": ((0.88, 0.42, 0.08), (0.84, 0.36, 0.10)),
    "brown": ((0.35, 0.22, 0.14), (0.42, 0.30, 0.20)),
}
TRIM: dict[str, Colour] = {
    "glass": (0.17, 0.20, 0.24),
    "tyre": (0.07, 0.07, 0.07),
    "hub": (0.55, 0.56, 0.58),
    "trim": (0.09, 0.09, 0.10),
    "front light": (0.96, 0.95, 0.86),
    "rear light": (0.78, 0.05, 0.05),
    "plate": (0.93, 0.93, 0.90),
    "line": (0.20, 0.20, 0.21),
}


@dataclass(frozen=True)
class Body:
    """The shape of a car or van.

    Attributes:
        size: height, width, length of the model, metres.
        nose, hood, belt, deck: heights of the front end, the bonnet's rear edge, the windows' lower edge and the rear
            end, as fractions of the height.
        glass: positions of windscreen foot, roof front, roof rear and rear window foot, as fractions of the length from
            the middle, positive forward.
        panes: start and end of the side windows from front to rear, as fractions of the length of the greenhouse's
            base; a panel van has one window.
        roof: the roof's half width as a fraction of the width.
    """

    size: tuple[float, float, float]
    nose: float
    hood: float
    belt: float
    deck: float
    glass: tuple[float, float, float, float]
    panes: tuple[tuple[float, float], ...]
    roof: float = 0.37


_TWO_DOORS = ((0.02, 0.47), (0.51, 0.97))
_ESTATE_DOORS = ((0.02, 0.37), (0.40, 0.70), (0.73, 0.98))
BODIES = {
    "sedan": Body((1.45, 1.71, 4.45), 0.46, 0.60, 0.63, 0.66, (0.21, 0.07, -0.20, -0.35), _TWO_DOORS),
    "hatchback": Body((1.47, 1.64, 3.75), 0.46, 0.61, 0.63, 0.64, (0.25, 0.09, -0.38, -0.475), _TWO_DOORS),
    "estate": Body((1.48, 1.71, 4.45), 0.45, 0.60, 0.63, 0.64, (0.21, 0.08, -0.41, -0.475), _ESTATE_DOORS),
    "suv": Body((1.68, 1.77, 4.30), 0.50, 0.61, 0.64, 0.65, (0.22, 0.11, -0.42, -0.475), _ESTATE_DOORS, 0.39),
    "minibus": Body(
        (1.98, 1.86, 4.80),
        0.40,
        0.50,
        0.54,
        0.54,
        (0.36, 0.20, -0.465, -0.485),
        ((0.01, 0.24), (0.27, 0.62), (0.65, 0.98)),
        0.43,
    ),
    "panel van": Body((2.25, 1.95, 5.20), 0.36, 0.46, 0.50, 0.50, (0.37, 0.23, -0.485, -0.49), ((0.01, 0.20),), 0.46),
}


@cache
def vehicle(kind: str) -> Model:
    """Return the model of a kind: one of BODIES, "truck" or "bus"."""
    if kind == "truck":
        return _truck()
    return _bus() if kind == "bus" else _car(BODIES[kind])


def _ring(x: float, bottom: float, top: float, half: float, shoulder: float = 0.94) -> list[tuple[float, float, float]]:
    """Return a body's cross-section: sill, widest point at 58 % of the height, shoulder, and the mirror image."""
    middle = bottom + 0.58 * (top - bottom)
    left = [(x, bottom, -0.94 * half), (x, middle, -half), (x, top, -shoulder * half)]
    return left + [(x, y, -z) for x, y, z in reversed(left)]


def _car(body: Body) -> Model:
    height, width, length = body.size
    builder = Builder()
    foot, rear_foot = body.glass[0], body.glass[3]
    stations = [  # position along the length, sill, top, half width
        (0.500, 0.25, body.nose * 0.95, 0.41),
        (0.482, 0.17, body.nose, 0.46),
        (0.40, 0.14, 0.5 * (body.nose + body.hood), 0.487),
        (foot, 0.13, body.hood, 0.5),
        (0.0, 0.13, body.belt, 0.5),
        (max(rear_foot, -0.43), 0.13, body.belt, 0.5),
        (-0.445, 0.15, body.deck, 0.487),
        (-0.486, 0.18, body.deck * 0.97, 0.465),
        (-0.5, 0.25, body.deck * 0.84, 0.43),
    ]
    builder.loft(
        [_ring(x * length, low * height, top * height, half * width) for x, low, top, half in stations], "paint"
    )
    _glass_house(builder, body)
    _faces(builder, body)
    radius = 0.185 * height + 0.045
    for x in (0.31 * length, -0.30 * length):
        for side in (-1, 1):
            builder.disc((x, radius, side * 0.501 * width), radius * 1.17, "trim", upper_half=True)
            builder.wheel((x, radius, side * 0.504 * width), radius, 0.2)
    builder.box((-0.44 * length, 0.12 * height, -0.42 * width), (0.44 * length, 0.3 * height, 0.42 * width), "trim")
    return builder.build()


def _glass_house(builder: Builder, body: Body) -> None:
    """Add roof, pillars and panes."""
    height, width, length = body.size
    foot, roof_front, roof_rear, rear_foot = (x * length for x in body.glass)
    base, roof = 0.47 * width, body.roof * width
    low_front, low_rear, high = body.hood * height - 0.01, body.belt * height - 0.01, 0.965 * height
    crown_front, crown_rear = roof_front - 0.12 * (roof_front - roof_rear), roof_rear + 0.1 * (roof_front - roof_rear)
    rings = [
        [(foot, low_front, -base), (rear_foot, low_rear, -base), (rear_foot, low_rear, base), (foot, low_front, base)],
        [(roof_front, high, -roof), (roof_rear, high, -roof), (roof_rear, high, roof), (roof_front, high, roof)],
        [
            (crown_front, height, -0.7 * roof),
            (crown_rear, height, -0.7 * roof),
            (crown_rear, height, 0.7 * roof),
            (crown_front, height, 0.7 * roof),
        ],
    ]
    builder.loft(rings, "paint")
    bottom, top = np.array(rings[0]), np.array(rings[1])
    builder.pane([bottom[0], bottom[3], top[3], top[0]], "glass", 0.05)
    builder.pane([bottom[1], bottom[2], top[2], top[1]], "glass", 0.07 if len(body.panes) > 1 else 0.14)
    for front, rear in ((0, 1), (3, 2)):  # both sides
        for start, stop in body.panes:
            low = [bottom[front] + share * (bottom[rear] - bottom[front]) for share in (start, stop)]
            up = [top[front] + share * (top[rear] - top[front]) for share in (start, stop)]
            builder.pane([low[0], low[1], up[1], up[0]], "glass", 0.035)


def _faces(builder: Builder, body: Body) -> None:
    """Add lights, plates, grille and bumpers, which distinguish the front from the rear."""
    height, width, length = body.size
    nose, deck = body.nose * height, body.deck * height
    builder.mirrored_box(
        (0.440 * length, nose - 0.155 * height, 0.255 * width),
        (0.5035 * length, nose - 0.03 * height, 0.42 * width),
        "front light",
    )
    builder.box(
        (0.47 * length, nose - 0.14 * height, -0.23 * width),
        (0.5025 * length, nose - 0.05 * height, 0.23 * width),
        "trim",
    )
    builder.box((0.46 * length, 0.16 * height, -0.40 * width), (0.501 * length, 0.215 * height, 0.40 * width), "trim")
    builder.box(
        (0.48 * length, nose - 0.235 * height, -0.16 * width),
        (0.505 * length, nose - 0.16 * height, 0.16 * width),
        "plate",
    )
    upright = (
        body.size[0] > 1.6 or body.glass[3] < -0.45
    )  # upright rear lamps for hatchbacks and vans, horizontal lamps for sedans
    low, inner = (deck - 0.24 * height, 0.335 * width) if upright else (deck - 0.17 * height, 0.24 * width)
    builder.mirrored_box(
        (-0.499 * length, low, inner), (-0.44 * length, deck - 0.02 * height, 0.458 * width), "rear light"
    )
    builder.box(
        (-0.505 * length, 0.30 * height, -0.16 * width), (-0.48 * length, 0.375 * height, 0.16 * width), "plate"
    )
    builder.box((-0.502 * length, 0.17 * height, -0.42 * width), (-0.46 * length, 0.24 * height, 0.42 * width), "trim")


def _truck() -> Model:
    """Return a box lorry: cab, chassis, cargo box."""
    height, width, length = 3.25, 2.5, 8.6
    builder = Builder()
    cab, back = length / 2, length / 2 - 1.95
    top = 0.82 * height
    builder.loft(
        [_ring(cab, 0.45, 1.35, 1.12), _ring(cab - 0.06, 0.42, 1.42, 1.18), _ring(back, 0.42, 1.42, 1.2)], "paint"
    )
    front = [
        [(cab - 0.04, 1.42, -1.14), (back, 1.42, -1.18), (back, 1.42, 1.18), (cab - 0.04, 1.42, 1.14)],
        [(cab - 0.30, top, -1.05), (back, top, -1.1), (back, top, 1.1), (cab - 0.30, top, 1.05)],
    ]
    builder.loft(front, "paint")
    low, up = np.array(front[0]), np.array(front[1])
    builder.pane([low[0], low[3], up[3], up[0]], "glass", 0.12)
    for a, b in ((0, 1), (3, 2)):
        builder.pane(
            [
                low[a] * 0.9 + low[b] * 0.1,
                low[a] * 0.35 + low[b] * 0.65,
                up[a] * 0.35 + up[b] * 0.65,
                up[a] * 0.9 + up[b] * 0.1,
            ],
            "glass",
            0.06,
        )
    builder.mirrored_box((cab - 0.1, 0.62, 0.72), (cab + 0.015, 0.84, 1.08), "front light")
    builder.box((cab - 0.1, 0.85, -0.8), (cab + 0.01, 1.25, 0.8), "trim")
    builder.box((cab - 0.1, 0.48, -0.26), (cab + 0.02, 0.6, 0.26), "plate")
    builder.box((-length / 2 + 0.1, 0.55, -0.5), (back + 0.1, 0.95, 0.5), "trim")
    builder.box((-length / 2, 0.95, -width / 2), (back - 0.12, height, width / 2), "cargo")
    builder.box((-length / 2 - 0.012, 1.05, -0.012), (-length / 2 + 0.05, height - 0.1, 0.012), "line")
    builder.box((-length / 2 - 0.01, 0.90, -width / 2), (-length / 2 + 0.05, 1.02, width / 2), "line")
    builder.mirrored_box((-length / 2 - 0.015, 0.62, 0.80), (-length / 2 + 0.06, 0.80, 1.18), "rear light")
    builder.box((-length / 2 - 0.01, 0.62, -0.26), (-length / 2 + 0.06, 0.74, 0.26), "plate")
    for x in (cab - 1.05, -length / 2 + 1.5, -length / 2 + 2.55):
        for side in (-1, 1):
            builder.wheel((x, 0.48, side * 1.2), 0.48, 0.3, 16)
    return builder.build()


def _bus() -> Model:
    height, length = 3.05, 11.2
    builder = Builder()
    half = length / 2
    builder.loft(
        [_ring(half, 0.4, 1.1, 1.15), _ring(half - 0.08, 0.32, 1.15, 1.25), _ring(-half, 0.32, 1.15, 1.25)], "paint"
    )
    outline = (  # sections of the upper body: height, front, rear, half width at both
        (1.1, half - 0.03, -half, 1.21),
        (height - 0.1, half - 0.22, -half + 0.05, 1.15),
        (height, half - 0.5, -half + 0.4, 1.0),
    )
    rings = [[(front, y, -z), (rear, y, -z), (rear, y, z), (front, y, z)] for y, front, rear, z in outline]
    builder.loft(rings, "paint")
    low, up = np.array(rings[0]), np.array(rings[1])
    builder.pane([low[0], low[3], up[3], up[0]], "glass", 0.10)
    builder.pane([low[1], low[2], up[2] * 0.7 + low[2] * 0.3, up[1] * 0.7 + low[1] * 0.3], "glass", 0.25)
    for a, b in ((0, 1), (3, 2)):
        for k in range(7):
            corners = [
                row[a] + (k + end) / 7 * (row[b] - row[a])
                for row, end in ((low, 0.04), (low, 0.98), (up, 0.98), (up, 0.04))
            ]
            builder.pane(corners, "glass", 0.07)
    builder.mirrored_box((half - 0.12, 0.55, 0.8), (half + 0.01, 0.78, 1.12), "front light")
    builder.box((half - 0.1, 0.42, -0.28), (half + 0.015, 0.54, 0.28), "plate")
    builder.mirrored_box((-half - 0.012, 0.7, 0.95), (-half + 0.1, 1.15, 1.2), "rear light")
    builder.box((-half - 0.012, 0.55, -0.28), (-half + 0.1, 0.67, 0.28), "plate")
    for x in (half - 2.5, -half + 3.0):
        for side in (-1, 1):
            builder.disc((x, 0.48, side * 1.252), 0.58, "trim", 16, upper_half=True)
            builder.wheel((x, 0.48, side * 1.255), 0.48, 0.3, 16)
    return builder.build()
