"""Colours of classes in rooms: as different as possible where two classes are neighbours in the list or in the room."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from itertools import pairwise

import numpy as np

from g3d.visualize.room import rgb

_COLOURS = 36
_LIGHTNESS = (46.0, 76.0)
"""Range of CIE lightness in which a line is legible on the light and on the dark background of a page."""
_CHROMA = (32.0, 85.0)
"""Range of CIE chroma: greys are left to the surfaces of the room, and glaring colours are left out."""
_OF_STRUCTURE = {
    "wall": "#b3ada3",
    "floor": "#857c6f",
    "ceiling": "#c9ced4",
    "otherstructure": "#9aa3ab",
    "other structure": "#9aa3ab",
}
_NEAREST = 4
"""Number of nearest objects that count as neighbours of an object."""


def class_colours(
    names: Iterable[str], near: Collection[tuple[str, str]] = (), given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a colour "#RRGGBB" for each class; the first 36 classes have 36 colours, then colours repeat.

    Walls, floor and ceiling are grey. Each other class, in alphabetical order, gets the unused colour that differs most
    from the colours of its neighbours.

    Args:
        names: the classes.
        near: pairs of classes that are neighbours in a room, see `neighbours`; neighbours in the alphabet are added.
        given: colours that some classes already have; they are kept.
    """
    chosen = {**_OF_STRUCTURE, **(given or {})}
    order = sorted(set(names))
    around: dict[str, set[str]] = {name: set() for name in order}
    for first, second in [*near, *pairwise(order), *zip(order, order[2:], strict=False)]:
        around.setdefault(first, set()).add(second)
        around.setdefault(second, set()).add(first)
    free: list[str] = []
    for name in order:
        if name in chosen:
            continue
        if not free:
            free = [colour for colour in _palette() if len(order) > _COLOURS or colour not in chosen.values()]
            free = free or list(_palette())
        others = [_lab(chosen[other]) for other in around[name] if other in chosen]
        chosen[name] = max(free, key=lambda colour: _difference(colour, others))
        free.remove(chosen[name])
    return {name: chosen[name] for name in order}


def neighbours(names: Collection[str], centers: np.ndarray) -> set[tuple[str, str]]:
    """Return the pairs of different classes, in alphabetical order, whose objects are near each other.

    Args:
        names: class of each object, N.
        centers: (N, 3) centres of the objects in metres; the four nearest objects of each count.
    """
    classes = list(names)
    pairs = set()
    for name, center in zip(classes, centers, strict=True):
        for k in np.argsort(np.linalg.norm(centers - center, axis=1))[: _NEAREST + 1]:
            if classes[k] != name:
                pairs.add((min(name, classes[k]), max(name, classes[k])))
    return pairs


@cache
def _palette() -> tuple[str, ...]:
    """Return colours, each the one that differs most from all colours before it."""
    steps = range(0, 256, 17)
    colours = [f"#{red:02x}{green:02x}{blue:02x}" for red in steps for green in steps for blue in steps]
    places = np.array([_lab(colour) for colour in colours])
    ranges = ((places[:, 0], _LIGHTNESS), (np.hypot(places[:, 1], places[:, 2]), _CHROMA))
    kept = np.flatnonzero(np.all([(least <= values) & (values <= most) for values, (least, most) in ranges], axis=0))
    chosen = [int(kept[np.argmin(np.abs(places[kept] - (55.0, 0.0, -60.0)).sum(1))])]  # a blue
    gaps = np.linalg.norm(places[kept] - places[chosen[0]], axis=1)
    while len(chosen) < _COLOURS:
        chosen.append(int(kept[np.argmax(gaps)]))
        gaps = np.minimum(gaps, np.linalg.norm(places[kept] - places[chosen[-1]], axis=1))
    return tuple(colours[k] for k in chosen)


def _difference(colour: str, others: list[np.ndarray]) -> float:
    """Return the least distance of a colour from others in CIE L*a*b*; equal for all colours without others."""
    return min((float(np.linalg.norm(_lab(colour) - other)) for other in others), default=0.0)


@cache
def _lab(colour: str) -> np.ndarray:
    """Return a colour "#RRGGBB" in CIE L*a*b* with white D65, (3,) float64.

    Source: IEC 61966-2-1 for linear sRGB, CIE 15 for L*a*b*.
    """
    share = np.array(rgb(colour)) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    x, y, z = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    ratios = np.array([x / 0.9505, y, z / 1.089])
    root = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])
