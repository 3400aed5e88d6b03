"""Low-poly models of pedestrians and cyclists: faces, hair and feet show the direction, legs and arms follow the
step."""

from __future__ import annotations

from functools import cache

import numpy as np

from g3d.synthetic.streets.meshes import Builder, Colour, Model

CLOTHES: dict[str, Colour] = {
    "white": (0.90, 0.90, 0.88), "black": (0.08, 0.08, 0.09), "grey": (0.45, 0.45, 0.47), "red": (0.72, 0.12, 0.12),
    "blue": (0.16, 0.30, 0.62), "green": (0.18, 0.44, 0.24), "yellow": (0.90, 0.78, 0.22), "orange": (0.88, 0.45, 0.14),
    "brown": (0.40, 0.28, 0.19), "pink": (0.86, 0.50, 0.60), "purple": (0.42, 0.22, 0.50),
}  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (0.12, 0.14, 0.22),
    (0.10, 0.10, 0.11),
    (0.30, 0.31, 0.33),
    (0.45, 0.38, 0.28),
    (0.20, 0.26, 0.40),
)
SKINS: tuple[Colour, ...] = ((0.88, 0.70, 0.60), (0.76, 0.56, 0.44), (0.48, 0.33, 0.24))
HAIRS: tuple[Colour, ...] = ((0.12, 0.09, 0.07), (0.34, 0.22, 0.13), (0.66, 0.52, 0.32), (0.55, 0.55, 0.55))
BICYCLE: dict[str, Colour] = {"tyre": (0.07, 0.07, 0.07), "hub": (0.55, 0.56, 0.58), "trim": (0.10, 0.10, 0.11)}
POSES = 8


@cache
def pedestrian(pose: int) -> Model:
    """Return a person of about 1.75 m: poses 0 to POSES - 2 are phases of a step, the last pose stands still."""
    swing = 0.0 if pose == POSES - 1 else 0.42 * np.sin(2 * np.pi * (pose + 0.5) / (POSES - 1))
    builder = Builder()
    for side in (-1, 1):
        angle = side * swing
        hip, z = (0.0, 0.88), side * 0.095
        knee = (hip[0] + 0.42 * np.sin(angle + 0.12), hip[1] - 0.42 * np.cos(angle + 0.12))
        ankle = (knee[0] + 0.40 * np.sin(angle - 0.18), knee[1] - 0.40 * np.cos(angle - 0.18))
        builder.limb((*hip, z), (*knee, z), (0.085, 0.062), "trousers", 6)
        builder.limb((*knee, z), (*ankle, z), (0.062, 0.045), "trousers", 6)
        builder.box(
            (ankle[0] - 0.08, ankle[1] - 0.06, z - 0.045), (ankle[0] + 0.17, ankle[1] + 0.03, z + 0.045), "shoes"
        )
        elbow = (0.27 * np.sin(-angle), 1.41 - 0.27 * np.cos(angle))
        hand = (elbow[0] + 0.25 * np.sin(-angle + 0.35), elbow[1] - 0.25 * np.cos(-angle + 0.35))
        builder.limb((0.0, 1.42, side * 0.20), (*elbow, side * 0.235), (0.055, 0.045), "shirt")
        builder.limb((*elbow, side * 0.235), (*hand, side * 0.23), (0.043, 0.033), "shirt")
        builder.ball((*hand, side * 0.23), (0.045, 0.055, 0.035), "skin", 5, 3)
    _torso(builder, (0.0, 0.86), (0.0, 1.47))
    _head(builder, (0.01, 1.62))
    return builder.build()


@cache
def cyclist(pose: int) -> Model:
    """Return a rider on a bicycle about 1.75 m long; the pose is the pedals' phase."""
    builder = Builder()
    for x in (-0.53, 0.53):
        _bicycle_wheel(builder, x, 0.345)
    crank, seat, head, grip = (-0.06, 0.30), (-0.22, 0.86), (0.40, 0.82), (0.42, 1.00)
    for a, b in (
        (crank, seat),
        (crank, head),
        (seat, head),
        ((-0.53, 0.345), crank),
        ((-0.53, 0.345), seat),
        (head, (0.53, 0.345)),
        (head, grip),
    ):
        builder.limb((*a, 0), (*b, 0), (0.024, 0.024), "frame", 5)
    builder.limb((*grip, -0.27), (*grip, 0.27), (0.02, 0.02), "trim", 5)
    builder.box((-0.34, 0.88, -0.07), (-0.10, 0.93, 0.07), "trim")
    phase = 2 * np.pi * pose / POSES
    for side in (-1, 1):
        z = side * 0.10
        pedal = (crank[0] + side * 0.17 * np.cos(phase), crank[1] + side * 0.17 * np.sin(phase))
        hip = (-0.20, 0.96)
        builder.limb((*hip, z), (*(knee := _joint(hip, pedal, 0.44, 0.44)), z), (0.08, 0.06), "trousers", 6)
        builder.limb((*knee, z), (*pedal, z), (0.06, 0.042), "trousers", 6)
        builder.box((pedal[0] - 0.09, pedal[1] - 0.04, z - 0.04), (pedal[0] + 0.14, pedal[1] + 0.03, z + 0.04), "shoes")
        elbow = (0.24, 1.13)
        builder.limb((0.08, 1.42, side * 0.19), (*elbow, side * 0.25), (0.05, 0.04), "shirt")
        builder.limb((*elbow, side * 0.25), (*grip, side * 0.24), (0.04, 0.03), "skin")
    _torso(builder, (-0.22, 0.92), (0.12, 1.46))
    _head(builder, (0.20, 1.62))
    return builder.build()


def _torso(builder: Builder, hips: tuple[float, float], neck: tuple[float, float]) -> None:
    """Add the torso from hips to neck, along a line that may lean forward."""
    sections = []
    turn = 2 * np.pi * np.arange(8) / 8
    for share, depth, width in (
        (0.0, 0.10, 0.155),
        (0.3, 0.10, 0.15),
        (0.65, 0.12, 0.185),
        (0.9, 0.09, 0.19),
        (1.0, 0.055, 0.08),
    ):
        x, y = (hips[k] + share * (neck[k] - hips[k]) for k in range(2))
        sections.append([(x + depth * np.cos(a), y, width * np.sin(a)) for a in turn])
    builder.loft(sections, "shirt")


def _head(builder: Builder, centre: tuple[float, float]) -> None:
    x, y = centre
    builder.limb((x - 0.02, y - 0.20, 0), (x - 0.01, y - 0.05, 0), (0.05, 0.05), "skin", 6)
    builder.ball((x, y, 0), (0.10, 0.125, 0.08), "skin", 8, 6)
    builder.ball((x - 0.03, y + 0.035, 0), (0.095, 0.115, 0.088), "hair", 8, 6)


def _joint(start: tuple[float, float], end: tuple[float, float], first: float, second: float) -> tuple[float, float]:
    """Return the knee between hip and foot for bones of the given lengths, bent forward."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    reach = min(np.hypot(dx, dy), (first + second) * 0.999)
    bend = np.arccos((first**2 + reach**2 - second**2) / (2 * first * reach))
    angle = np.arctan2(dy, dx) + bend
    return float(start[0] + first * np.cos(angle)), float(start[1] + first * np.sin(angle))


def _bicycle_wheel(builder: Builder, x: float, radius: float) -> None:
    turn = 2 * np.pi * np.arange(16) / 16
    circles = [
        [(x + r * np.cos(a), radius + r * np.sin(a), z) for a in turn]
        for r, z in ((radius - 0.05, -0.02), (radius, -0.02), (radius, 0.02), (radius - 0.05, 0.02))
    ]
    builder.loft(circles, "tyre", capped=False)
    for k in range(0, 16, 4):
        builder.limb((x, radius, 0), circles[0][k], (0.008, 0.005), "hub", 3)
