"""`g3d prepare mono3drefer`: its report, and that every mistake costs one clear line and the right exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.verbs import g3d

from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, GROUPS_FILE


def prepare(data: Path, *more: str) -> tuple[int, str, str]:
    return g3d("prepare", "mono3drefer", "--data", str(data), *more)


def test_counts_stand_beside_the_published_ones(mini_mono3drefer: Path) -> None:
    code, out, _ = prepare(mini_mono3drefer)
    assert code == 0
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert lines["train"] == ["train", "2", "6", "5,998", "12", "29,990"]
    assert lines["all"] == ["all", "4", "12", "8,228", "24", "41,140"]
    assert "published: 2,025 images" in out
    assert "Unique 1 (204)" in out
    assert f"prepared {mini_mono3drefer / 'g3d'}" in out
    assert "(up to date)" in prepare(mini_mono3drefer)[1]


def test_json(mini_mono3drefer: Path) -> None:
    code, out, _ = prepare(mini_mono3drefer, "--json", "--check", "--decode")
    found = json.loads(out)
    assert code == 0
    assert found["folder"] is None
    assert found["expressions"] == {"train": 12, "val": 6, "test": 6}
    assert found["published"]["expressions"] == {"train": 29990, "val": 5735, "test": 5415}
    assert found["broken"] == found["notes"] == []


def test_dry_run_writes_nothing(mini_mono3drefer: Path) -> None:
    code, out, _ = prepare(mini_mono3drefer, "--dry-run")
    assert code == 0
    assert "4 images to check, 24 expressions to index" in out
    assert json.loads(prepare(mini_mono3drefer, "--dry-run", "--json")[1])["images"] == 4
    assert not (mini_mono3drefer / "g3d").exists()


def _edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        content = json.loads((data / name).read_text())
        change(content)
        (data / name).write_text(json.dumps(content))

    return apply


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda data: (data / "images/000012.png").unlink(), 3, "000012.png: no such file"),
        (lambda data: (data / "images/000012.png").write_bytes(b"no image"), 2, "expected a PNG or JPEG image"),
        (lambda data: (data / EXPRESSIONS_FILE).unlink(), 3, "no Mono3DRefer.json in it"),
        (lambda data: (data / "Mono3DRefer_test_image.txt").unlink(), 3, "Mono3DRefer_test_image.txt: no such file"),
        (
            _edit(EXPRESSIONS_FILE, lambda e: e[5].update(label_2="Car 0 0")),
            2,
            'entry 5 (000007_24002_1): label_2: found "Car 0 0"',
        ),
        (
            _edit(EXPRESSIONS_FILE, lambda e: e[5].update(objectName="lorry")),
            2,
            'objectName: found "lorry", expected one of',
        ),
        (_edit(EXPRESSIONS_FILE, lambda e: e[5].update(description="")), 2, "expected a sentence"),
        (
            _edit(GROUPS_FILE, lambda g: g["Near"].append(5)),
            2,
            "group Near: found instance 5, expected one of the test split's",
        ),
        (
            _edit(GROUPS_FILE, lambda g: g["Far"].clear()),
            2,
            "instance 24011 of the test split is in none of Near, Medium, Far",
        ),
        (_edit(GROUPS_FILE, lambda g: g.pop("Far")), 2, "group Far is missing"),
    ],
)
def test_a_mistake_costs_one_line(
    mini_mono3drefer: Path, spoil: Callable[[Path], object], code: int, says: str
) -> None:
    spoil(mini_mono3drefer)
    found, _, err = prepare(mini_mono3drefer)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert found == code, err
    assert len(errors) == 1, err
    assert says in errors[0]
    assert "Traceback" not in err
    assert not (mini_mono3drefer / "g3d").exists()


def test_many_mistakes_are_listed_and_counted(mini_mono3drefer: Path) -> None:
    _edit(EXPRESSIONS_FILE, lambda entries: [entry.update(label_2="?") for entry in entries])(mini_mono3drefer)
    code, _, err = prepare(mini_mono3drefer)
    assert code == 2
    assert err.count("error: ") == 20
    assert "... and 4 more" in err
    assert "24 of the images, expressions and groups cannot be used; nothing was written" in err


def test_the_rest_is_prepared_when_asked(mini_mono3drefer: Path) -> None:
    _edit(EXPRESSIONS_FILE, lambda entries: entries[0].update(label_2="?"))(mini_mono3drefer)
    code, out, err = prepare(mini_mono3drefer, "--keep-going")
    assert code == 1
    assert "prepared" in out
    assert err.count("error: ") == 1


def test_an_expression_of_200_words_is_told(mini_mono3drefer: Path) -> None:
    _edit(EXPRESSIONS_FILE, lambda entries: entries[3].update(description="car " * 200))(mini_mono3drefer)
    code, out, _ = prepare(mini_mono3drefer)
    assert code == 0
    (note,) = (line for line in out.splitlines() if line.startswith("note: "))
    assert "expressions of more than 108 words: 1 (first: 000007_24001_1, 200 words)" in note
