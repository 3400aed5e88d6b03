"""Every sentence is true of exactly one visible thing: a second reading of its meaning, written apart from the first,
finds only that."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
from support.street_scenes import scene

from g3d.data.text.mirrored_words import mirrored as mirrored_words
from g3d.errors import InputError
from g3d.synthetic.sentences.about_streets import Sentence, describable, describe
from g3d.synthetic.sentences.statements import FAMILIES, Statement, holds, visible_things
from g3d.synthetic.streets.vehicles import PAINTS

FRAMES = range(60)
CLASSES = {
    "car": "Car",
    "van": "Van",
    "truck": "Truck",
    "pedestrian": "Pedestrian",
    "cyclist": "Cyclist",
    "bus": "Misc",
}
OTHER_SIDE = {"left": "right", "right": "left"}


def distance(thing: dict[str, Any]) -> float:
    return math.hypot(thing["location"][0], thing["location"][2])


def column(thing: dict[str, Any]) -> float:
    return (thing["box2d"][0] + thing["box2d"][2]) / 2


def is_a(thing: dict[str, Any], noun: str, colour: str | None = None) -> bool:
    fits = thing["type"] == CLASSES[noun] if noun in CLASSES else thing["kind"] == noun
    return fits and colour in (None, thing["colour"])


def heading(thing: dict[str, Any]) -> str:
    """The nearest of four ways, from the yaw: 0 looks to the right, -90 degrees away."""
    turn = round(thing["rotation_y"] / (math.pi / 2)) % 4
    return ("right", "towards", "left", "away")[turn]


def reads_true(said: Statement, thing: dict[str, Any], things: list[dict[str, Any]], width: float) -> bool:
    """The plain meaning of a statement, without margins."""
    family, value = said
    if family in ("colour", "place", "state"):
        return bool(thing[family] == value)
    if family == "order":
        end, rank, noun, colour = value
        group = [other for other in things if is_a(other, noun, colour)]
        key = column if end in ("left", "right") else distance
        ranked = sorted(group, key=key, reverse=end in ("right", "far"))
        return thing in group and ranked.index(thing) == rank - 1
    if family in ("left of", "right of", "behind", "in front of", "next to"):
        meant = [other for other in things if is_a(other, *value)]
        assert len(meant) == 1, "the neighbour must be the only one of its kind"
        gap = [thing["location"][k] - meant[0]["location"][k] for k in (0, 2)]
        if thing is meant[0]:
            return False
        if family in ("left of", "right of"):
            return (column(thing) < column(meant[0])) == (family == "left of")
        if family == "next to":
            return math.hypot(*gap) <= 4.5
        return (gap[1] > 0) == (family == "behind") and abs(gap[0]) < 5
    u = column(thing) / width
    left, right = thing["box2d"][0] / width <= 0.002, thing["box2d"][2] / width >= 0.996
    hiding = [other["type"] for other in things if distance(other) < distance(thing) and overlap(thing, other) > 0]
    return bool(
        {
            "noun": lambda: is_a(thing, value),
            "side": lambda: {"left": u < 0.5, "right": u > 0.5, "middle": 1 / 3 < u < 2 / 3}[value],
            "facing": lambda: heading(thing) == value,
            "distance": lambda: abs(distance(thing) - value) <= (0.55 if value < 20 else 2.55),
            "range": lambda: distance(thing) < 15 if value == "near" else distance(thing) > 25,
            "bearing": lambda: abs(math.degrees(math.atan2(thing["location"][0], thing["location"][2])) - value) <= 2.6,
            "height": lambda: abs(thing["size"][0] - value) < 0.06,
            "length": lambda: abs(thing["size"][2] - value) < 0.06,
            "seen": lambda: {
                "whole": thing["visible"] > 0.9 and thing["truncated"] == 0,
                "cut left": left,
                "cut right": right,
            }[value],
            "hidden by": lambda: thing["visible"] < 0.9 and CLASSES[value] in hiding,
        }[family]()
    )


def overlap(first: dict[str, Any], second: dict[str, Any]) -> float:
    a, b = first["box2d"], second["box2d"]
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


@cache
def all_sentences() -> list[tuple[dict[str, Any], int, Sentence]]:
    return [
        (scene(frame), number, said)
        for frame in FRAMES
        for number, found in describe(scene(frame)).items()
        for said in found
    ]


def test_an_independent_reading_finds_exactly_the_object_that_is_meant() -> None:
    checked = 0
    for frame, number, sentence in all_sentences():
        visible = [thing for thing in frame["objects"] if thing["status"] != "hidden"]
        fitting = [
            thing["id"]
            for thing in visible
            if all(reads_true(said, thing, visible, frame["image_size"][0]) for said in sentence.meaning)
        ]
        assert fitting == [number], sentence
        checked += 1
    assert checked > 1000


def test_only_labelled_objects_that_are_seen_get_sentences_and_nearly_all_of_them_do() -> None:
    told = wanted = 0
    for frame in FRAMES:
        things, found = visible_things(scene(frame)), describe(scene(frame))
        seen = {thing.id for thing in describable(things)}
        assert set(found) <= seen
        told, wanted = told + len(found), wanted + len(seen)
        for thing in scene(frame)["objects"]:
            if thing["id"] in found:
                assert thing["status"] == "labelled"
                assert thing["truncated"] <= 0.5
                assert thing["occluded"] <= 2
    assert told > 0.97 * wanted


def test_an_objects_sentences_differ_and_have_8_to_40_words() -> None:
    for frame in FRAMES:
        for found in describe(scene(frame)).values():
            assert len({said.text for said in found}) == len(found) <= 5
            assert all(8 <= len(said.text.split()) <= 40 for said in found)


def test_every_family_occurs_about_a_third_state_a_distance_and_few_distance_and_direction() -> None:
    families = [{said.family for said in sentence.meaning} for *_, sentence in all_sentences()]
    share = {
        name: count / len(families) for name, count in Counter(name for found in families for name in found).items()
    }
    assert set(share) == set(FAMILIES)
    assert 0.25 < share["distance"] < 0.4
    both = [
        {"distance", "bearing"} <= found or ("distance" in found and Statement("place", "own lane") in sentence.meaning)
        for found, (*_, sentence) in zip(families, all_sentences(), strict=True)
    ]
    assert sum(both) < 0.05 * len(families)


def test_texts_say_what_is_meant_and_no_other_colour() -> None:
    for *_, sentence in all_sentences():
        words = re.findall(r"[a-z]+", sentence.text.lower())
        colours = {
            said.value if said.family == "colour" else said.value[-1]
            for said in sentence.meaning
            if said.family in ("colour", "order", "left of", "right of", "behind", "in front of", "next to")
        } - {None}
        assert {word for word in words if word in PAINTS or word in ("pink", "purple")} == colours
        numbers = {
            f"{abs(said.value):g}"
            for said in sentence.meaning
            if said.family in ("distance", "bearing", "height", "length")
        }
        assert {f"{float(number):g}" for number in re.findall(r"\d+(?:\.\d+)?", sentence.text)} == numbers


def test_left_and_right_are_words_of_their_own_that_say_what_the_picture_shows() -> None:
    for *_, sentence in all_sentences():
        said = {
            side
            for family, value in sentence.meaning
            for side in ("left", "right")
            if side in str(family).split() or side in str(value[0] if family == "order" else value).split()
        }
        said |= {"left" if value < 0 else "right" for family, value in sentence.meaning if family == "bearing"}
        assert set(re.findall(r"\b(?:left|right)\b", sentence.text)) == said
        assert not re.findall(r"(?:left|right)(?=\w|-)", sentence.text)
        assert mirrored_words(sentence.text) == re.sub(
            r"\b(?:left|right)\b", lambda side: OTHER_SIDE[side[0]], sentence.text
        )


def mirrored(frame: dict[str, Any]) -> dict[str, Any]:
    """The same street in a mirror."""
    width, objects = frame["image_size"][0], []
    for thing in frame["objects"]:
        box, (x, y, z) = thing["box2d"], thing["location"]
        flipped = None if box is None else [width - box[2], box[1], width - box[0], box[3]]
        objects.append({**thing, "box2d": flipped, "location": [-x, y, z], "rotation_y": math.pi - thing["rotation_y"]})
    return {**frame, "objects": objects}


def swapped(said: Statement) -> Statement:
    sides = {"left": "right", "right": "left", "left of": "right of", "right of": "left of"}
    if said.family == "order":
        return Statement("order", (sides.get(said.value[0], said.value[0]), *said.value[1:]))
    if said.family == "bearing":
        return Statement("bearing", -said.value)
    value = sides.get(said.value, said.value) if isinstance(said.value, str) else said.value
    return Statement(sides.get(said.family, said.family), value)


def test_a_mirrored_sentence_is_true_of_the_mirrored_picture() -> None:
    for index in range(20):
        frame = scene(index)
        things = visible_things(mirrored(frame))
        for number, found in describe(frame).items():
            thing = next(thing for thing in things if thing.id == number)
            for sentence in found:
                for said in sentence.meaning:
                    if said.value not in (
                        "cut left",
                        "cut right",
                    ):  # KITTI's last column is W - 1: the two edges are not alike
                        assert holds(swapped(said), thing, things), said


def test_the_same_seed_says_the_same() -> None:
    assert describe(scene(3)) == describe(scene(3))
    assert describe(scene(3)) != describe(scene(3), seed=1)


def test_lookalikes_and_numbers_that_are_close_tell_nothing_apart() -> None:
    things = visible_things(scene(0))
    thing = things[0]
    assert holds(Statement("distance", round(thing.distance) + 1), thing, things) is None
    silver = next(t for k in FRAMES for t in visible_things(scene(k)) if t.colour == "silver")
    assert holds(Statement("colour", "grey"), silver, (silver,)) is None
    assert holds(Statement("colour", "red"), silver, (silver,)) is False


def test_a_description_without_the_fields_of_one_is_refused_in_one_line() -> None:
    broken = {**scene(0), "objects": [{"id": 0, "status": "labelled"}]}
    with pytest.raises(InputError, match="scene 000000: object 0"):
        describe(broken)
