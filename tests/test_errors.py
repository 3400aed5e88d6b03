"""Suggestions of error messages: the nearest known name, or nothing."""

from __future__ import annotations

import pytest

from g3d.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("lrr", ["lr", "name"], "; did you mean 'lr'?"),
        ("car", ["Car", "Van"], "; did you mean 'Car'?"),
        ("SCENE0000_01", ["scene0000_00", "scene0100_02"], "; did you mean 'scene0000_00'?"),
        ("zebra", ["lr", "name"], ""),
        ("lr", [], ""),
        (3, ["lr", "3"], ""),
    ],
)
def test_the_nearest_name_is_suggested(word: object, known: list[str], expected: str) -> None:
    assert did_you_mean(word, iter(known)) == expected
