"""Polygons of every awkward kind, drawn from a seed."""

from __future__ import annotations

import numpy as np

KINDS = (
    "wild",
    "whole",
    "tiny",
    "fifths",
    "rectangle",
    "doubled",
    "tenths",
    "star",
    "outside",
    "steep",
    "flat",
    "rounding",
)


def polygon(kind: str, rng: np.random.Generator) -> list[float]:
    """One polygon as x y pairs, around an image of some 50 pixels."""
    count = int(rng.integers(3, 12))
    if kind == "rectangle":
        x, y, w, h = rng.integers(-5, 40, 4)
        points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], float)
    elif kind == "star":
        angles, radius = np.sort(rng.uniform(0, 2 * np.pi, 30)), rng.uniform(3, 30, 30)
        points = np.stack([28 + radius * np.cos(angles), 25 + radius * np.sin(angles)], 1)
    elif kind == "steep":
        points = np.stack([rng.uniform(10, 20, count), rng.uniform(-200, 300, count)], 1)
    elif kind == "flat":
        points = np.stack([rng.uniform(-200, 300, count), rng.uniform(10, 20, count)], 1)
    elif kind == "outside":
        points = rng.uniform(0, 20, (count, 2)) + rng.choice([-40, 0, 80], 2)
    elif kind == "doubled":
        points = np.repeat(rng.uniform(-5, 50, (count, 2)), 2, 0)
    else:
        points = {
            "wild": lambda: rng.uniform(-20, 80, (count, 2)),
            "whole": lambda: rng.integers(-5, 60, (count, 2)).astype(float),
            "tiny": lambda: rng.uniform(0, 3, (count, 2)),
            "fifths": lambda: rng.integers(0, 200, (count, 2)) / 5 + 0.3 * rng.integers(0, 2, (count, 2)),
            "tenths": lambda: np.round(rng.uniform(-5, 50, (count, 2)), 1),
            "rounding": lambda: (
                rng.integers(-10, 250, (count, 2)) / 5 + rng.choice([-0.1, 0.1, 0.09999999999999999], (count, 2))
            ),
        }[kind]()
    return [float(number) for number in points.ravel()]
