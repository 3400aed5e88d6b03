"""Who may import whom: a room imports from its own floor and from those below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support import paths

ROOT = paths.ROOT
FLOORS = (
    ("cli", "doctor", "__main__"),
    ("engine", "prepare", "visualize", "synthetic"),
    ("systems",),
    ("nn", "data", "metrics"),
    ("ops", "geometry"),
    ("kernels",),
    ("config", "errors", "position", "progress", "presets"),
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = [*(ROOT / "g3d").rglob("*.py"), *(ROOT / "kernels").glob("*.py")]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "kernels" else parts[1]


def imported(path: Path) -> set[str]:
    """Modules of g3d that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if node.module != "g3d" else {f"g3d.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("g3d.")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_room_imports_from_a_floor_above(path: Path) -> None:
    if path.parent == ROOT / "g3d" and path.stem == "__init__":
        return
    room = room_of(path)
    for name in imported(path):
        target = name.split(".")[1]
        if target in FLOOR:
            assert FLOOR[target] >= FLOOR[room], f"{room} imports {name}"


def test_no_system_imports_another() -> None:
    for path in (ROOT / "g3d" / "systems").glob("*/*.py"):
        others = {name for name in imported(path) if name.startswith("g3d.systems.")}
        assert {name.split(".")[2] for name in others} <= {"base", path.parent.name}, path


def test_every_file_is_of_a_readable_size() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 450}
    assert not long
