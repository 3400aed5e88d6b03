"""Sentences of mirrored images: sides and compass words change places by word, and everything else stays."""

from __future__ import annotations

import pytest

from g3d.data.text.mirrored_words import mirrored


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("the van on the left of the right lane", "the van on the right of the left lane"),
        ("the left-hand side, the far-right one, facing left.", "the right-hand side, the far-left one, facing right."),
        ("leftmost, rightward, the lefthand car, leftwards", "rightmost, leftward, the righthand car, rightwards"),
        ("in a northwesterly direction of 10 degrees", "in a northeasterly direction of 10 degrees"),
        (
            "north-western, southeast, easternmost, westbound, eastward",
            "north-eastern, southwest, westernmost, eastbound, westward",
        ),
        ("north of the south side", "north of the south side"),
        ("it drives NE, then east-southeast", "it drives NW, then west-southwest"),
    ],
)
def test_sides_and_compass_words_change_places(sentence: str, expected: str) -> None:
    assert mirrored(sentence) == expected
    assert mirrored(expected) == sentence


def test_capitals_are_kept() -> None:
    assert mirrored("Left, LEFT, left; West-facing, EASTERN") == "Right, RIGHT, right; East-facing, WESTERN"


@pytest.mark.parametrize(
    "word", ["bright", "upright", "copyright", "leftover", "cleft", "Easter", "feast", "Wright", "least"]
)
def test_words_that_only_contain_one_stay(word: str) -> None:
    assert mirrored(f"a {word} van") == f"a {word} van"


@pytest.mark.parametrize(
    "sentence",
    [
        "all right",
        "at right angles, a right angle, right-angled",
        "it stops right now",
        "it has the right of way",
        "right away",
    ],
)
def test_right_that_is_no_side_stays(sentence: str) -> None:
    assert mirrored(sentence) == sentence


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("parked right behind the van", "parked right behind the van"),
        ("It is right in front of us", "It is right in front of us"),
        ("Right next to the tree, right on the edge", "Right next to the tree, right on the edge"),
        ("on the left, right behind the car", "on the right, right behind the car"),
        ("on the right behind the van", "on the left behind the van"),
        ("to my right in front of the truck", "to my left in front of the truck"),
        ("the front right next to it, turning right ahead", "the front left next to it, turning left ahead"),
        ("right to the left of the van", "right to the right of the van"),
        ("to the right of the car, and the right one", "to the left of the car, and the left one"),
    ],
)
def test_an_adverb_stays_unless_a_side_is_meant(sentence: str, expected: str) -> None:
    assert mirrored(sentence) == expected


def test_everything_else_stays_to_the_character() -> None:
    sentence = "  A white car (1.5 m),\tabout 10° ahead – at 3 o'clock!\n"
    assert mirrored(sentence) == sentence
