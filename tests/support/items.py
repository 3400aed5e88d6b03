"""Work for the runner, in a module that worker processes can import."""

from __future__ import annotations

import time
from pathlib import Path

from g3d.errors import InputError
from g3d.prepare.runner import Item


def double_but_three(item: int) -> int:
    """Twice the item; 3 is broken."""
    if item == 3:
        raise InputError("three is broken")
    return 2 * item


def copy_slowly(item: Item, folder: Path) -> dict[str, int]:
    """Writes the item's only input twice into a/copy.txt, with pauses in which to be killed."""
    if not item.inputs[0].is_file():
        raise InputError(f"{item.inputs[0].name} is missing")
    text = item.inputs[0].read_text()
    (folder / "a").mkdir()
    with (folder / "a" / "copy.txt").open("w") as file:
        for _ in range(2):
            file.write(text)
            file.flush()
            time.sleep(0.02)
    if text == "broken":
        raise InputError(f"{item.inputs[0].name} is broken")
    return {"length": 2 * len(text)}


def take_a_minute(item: Item, folder: Path) -> dict[str, int]:
    """Half a result, then a long wait."""
    (folder / "half.txt").write_text("half")
    time.sleep(60)
    return {}


def divide_by_item(item: int) -> int:
    """12 divided by the item; 0 is a mistake that nobody foresaw."""
    return 12 // item


def leave_out_a_part(item: Item, folder: Path) -> dict[str, list[str]]:
    """Copies every line but damaged ones, and reports these."""
    lines = item.inputs[0].read_text().splitlines()
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in lines if line != "damaged"))
    return {"broken": [f"{item.name}: line {n} is damaged" for n, line in enumerate(lines, 1) if line == "damaged"]}
