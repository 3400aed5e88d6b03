"""Named colours of things, such that a person gives them the same names."""

from __future__ import annotations

import numpy as np

from g3d.synthetic.rooms.solids import Colour

COLOURS: dict[str, Colour] = {
    "white": (0.92, 0.92, 0.9),
    "black": (0.1, 0.1, 0.11),
    "gray": (0.52, 0.53, 0.54),
    "brown": (0.5, 0.31, 0.17),
    "beige": (0.83, 0.74, 0.58),
    "red": (0.74, 0.13, 0.12),
    "orange": (0.9, 0.48, 0.12),
    "yellow": (0.93, 0.8, 0.22),
    "green": (0.2, 0.52, 0.26),
    "blue": (0.16, 0.32, 0.7),
    "purple": (0.45, 0.24, 0.58),
    "pink": (0.92, 0.58, 0.68),
}
WOODS = ("brown", "beige", "white", "black")
FABRICS = ("gray", "blue", "red", "green", "beige", "brown", "purple", "orange", "black")
CLOTHS = (*FABRICS, "white", "pink", "yellow")
_JITTER = 0.045


def pick(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, Colour]:
    """A name and a colour near it."""
    name = names[int(rng.integers(len(names)))]
    return name, near(rng, COLOURS[name])


def near(rng: np.random.Generator, colour: Colour, amount: float = _JITTER) -> Colour:
    """A colour that differs a little."""
    shift = rng.uniform(-amount, amount) + rng.uniform(-amount / 3, amount / 3, 3)
    red, green, blue = np.clip(np.asarray(colour) + shift, 0.03, 0.97).tolist()
    return red, green, blue


def darker(colour: Colour, share: float = 0.7) -> Colour:
    """The colour with its brightness multiplied."""
    return colour[0] * share, colour[1] * share, colour[2] * share


def paler(colour: Colour, share: float = 0.45) -> Colour:
    """The colour mixed with white; `share` is that of white."""
    return (
        colour[0] + share * (1 - colour[0]),
        colour[1] + share * (1 - colour[1]),
        colour[2] + share * (1 - colour[2]),
    )
