"""Colours of classes: different, more so for neighbours, legible, and stable."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from support.drawn_room import drawn_room
from support.paths import REAL

from g3d.visualize.class_colours import _lab, class_colours, neighbours
from g3d.visualize.room import rgb
from g3d.visualize.scenes import load_room

NAMES = [f"class {k:02d}" for k in range(36)]
SCAN = REAL / "scannet" / "scans" / "scene0000_00"


def difference(colour: str, other: str) -> float:
    """Return the distance of two colours in CIE L*a*b*."""
    return float(np.linalg.norm(_lab(colour) - _lab(other)))


def contrast(colour: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1 of two colours."""

    def luminance(one: str) -> float:
        share = np.array(rgb(one)) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_are_converted_as_published() -> None:
    # B. Lindbloom's table of CIE L*a*b* of sRGB primaries with white D65
    for colour, expected in (("#ff0000", (53.24, 80.09, 67.20)), ("#0000ff", (32.30, 79.19, -107.86))):
        assert np.allclose(_lab(colour), expected, atol=0.1)
    assert np.allclose(_lab("#ffffff"), (100, 0, 0), atol=0.1)


def test_thirty_six_classes_have_thirty_six_different_colours() -> None:
    colours = class_colours(NAMES)
    assert list(colours) == NAMES
    assert len(set(colours.values())) == 36
    for first, second in combinations(colours.values(), 2):
        assert np.abs(np.subtract(rgb(first), rgb(second))).max() >= 34
    assert len(class_colours([*NAMES, "one more", "and another"])) == 38


def test_neighbours_in_list_and_room_differ_most() -> None:
    names = NAMES[:20]
    near = {(names[0], names[10]), (names[0], names[19])}
    colours = class_colours(names, near)
    assert min(difference(colours[a], colours[b]) for a, b in [*pairwise(names), *near]) > 55
    others = min(difference(*pair) for pair in combinations(class_colours(names).values(), 2))
    assert others < 40  # not all classes can differ as much


def test_every_colour_is_legible_on_the_light_and_the_dark_page() -> None:
    for colour in class_colours(NAMES).values():
        assert contrast(colour, "#eef1f4") > 1.5
        assert contrast(colour, "#10161d") > 3


def test_walls_are_grey_and_given_colours_are_kept() -> None:
    colours = class_colours(["wall", "chair", "table"], given={"chair": "#123456"})
    assert colours["chair"] == "#123456"
    assert np.ptp(rgb(colours["wall"])) < 32
    assert np.ptp(rgb(colours["table"])) > 60


def test_neighbours_are_the_classes_of_near_objects() -> None:
    centers = np.array([[x, 0, 0] for x in (0, 1, 2, 3, 4, 100)], float)
    pairs = neighbours(["a", "a", "a", "a", "b", "c"], centers)
    assert pairs == {("a", "b"), ("b", "c"), ("a", "c")}  # c is far from all, its four nearest count
    assert neighbours(["a", "a"], centers[:2]) == set()
    assert neighbours([], np.zeros((0, 3))) == set()


def test_order_and_repetition_of_the_names_do_not_matter() -> None:
    names = [thing.name for thing in drawn_room().objects]
    assert class_colours(names) == class_colours([*reversed(names), *names])


@pytest.mark.skipif(not SCAN.is_dir(), reason="the real scan is not here")
def test_classes_that_are_near_in_a_real_room_look_different() -> None:
    things = [thing for thing in load_room(SCAN).objects if thing.corners is not None and not thing.is_structure]
    names = [thing.name for thing in things]
    assert len(names) == 56
    near = neighbours(names, np.array([np.mean(np.asarray(thing.corners), axis=0) for thing in things]))
    colours = class_colours(names, near)
    distances = [difference(colours[a], colours[b]) for a, b in near]
    assert np.quantile(distances, 0.05) > 30
    assert min(distances) > 20
