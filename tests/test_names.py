"""Names from data become safe file names, and texts from data leave the terminal alone."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from g3d.names import MAX_FILE_NAME_BYTES, file_name, shown

NAMES = [
    "scene0000_00",
    "",
    ".",
    "..",
    "...",
    ".hidden",
    "../../etc/passwd",
    "a/b",
    "a_b",
    "a=2Fb",
    "a\\b",
    "C:\\x",
    "a b",
    "a\nb",
    "a\x00b",
    "a\x1b[31m",
    "é",
    "e\u0301",
    "房间",
    "\udcff",
    "\ud800",
    "=",
    "==",
    "a.b",
    "a.",
    "-rf",
    "%2F",
    "x" * 5000,
    "x" * 5000 + "y",
    "房" * 90,
    "/" * 90,
]


def test_ordinary_ids_are_kept() -> None:
    for name in ("000012", "scene0000_00", "scene0000_00-3", "image.v2", "房间"):
        assert file_name(name) == name


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_lies_in_its_folder(tmp_path: Path, name: str) -> None:
    made = file_name(name)
    (tmp_path / made).write_text("x")
    (tmp_path / f"{made}.png").write_text("x")
    assert sorted(os.listdir(tmp_path)) == sorted([made, f"{made}.png"])
    assert 0 < len(made.encode()) <= MAX_FILE_NAME_BYTES
    assert made.replace("=", "").replace(".", "").replace("-", "").replace("_", "").isalnum() or set(made) <= set("=-_")


def test_different_names_never_meet() -> None:
    draws = random.Random(0)
    alphabet = "aA./\\=2F_- \n\udcff房\u0301"
    names = {*NAMES, *("".join(draws.choices(alphabet, k=draws.randint(0, 6))) for _ in range(20000))}
    names |= {"x" * length for length in range(MAX_FILE_NAME_BYTES - 40, MAX_FILE_NAME_BYTES + 40)}
    names |= {file_name(name) for name in NAMES}
    assert len({file_name(name) for name in names}) == len(names)


def test_a_shorter_bound_is_kept() -> None:
    assert len(file_name("房" * 50, max_bytes=60).encode()) <= 60


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.txt", "a.txt"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\nerror: b\r", "a\\nerror: b\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("\udcff\ud800", "\\udcff\\ud800"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("房 é C:\\data", "房 é C:\\data"),
        (Path("a\tb"), "a\\tb"),
    ],
)
def test_control_characters_are_shown(text: object, expected: str) -> None:
    assert shown(text) == expected
    shown(text).encode()


def test_lines_of_our_own_are_kept() -> None:
    assert shown("a\n\x1b[1mb", lines=True) == "a\n\\x1b[1mb"


def test_every_json_text_can_be_shown() -> None:
    text = json.loads('"' + "".join(f"\\u{code:04x}" for code in range(0x10000)) + '"')
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in shown(text))
