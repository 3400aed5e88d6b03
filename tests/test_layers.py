"""The allowed imports: a folder imports from its own level and from those below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support import paths

ROOT = paths.ROOT
LEVELS = (
    ("cli", "doctor", "__main__"),
    ("engine", "prepare", "visualize", "synthetic"),
    ("systems",),
    ("datasets",),
    ("nn", "data", "metrics"),
    ("ops", "geometry"),
    ("kernels",),
    ("config", "errors", "launch", "names", "position", "presets", "progress", "registry"),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FILES = [*(ROOT / "g3d").rglob("*.py"), *(ROOT / "kernels").glob("*.py")]


def folder_of(path: Path) -> str:
    """Return the folder that decides a file's level; a system's part of the demo uses the engine, as the CLI does."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "kernels":
        return parts[0]
    return "cli" if parts[1] == "systems" and parts[-1] == "demo" else parts[1]


def imported(path: Path) -> set[str]:
    """Return the modules of g3d that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} if node.module != "g3d" else {f"g3d.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("g3d.")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_folder_imports_from_a_level_above(path: Path) -> None:
    if path.parent == ROOT / "g3d" and path.stem == "__init__":
        return
    folder = folder_of(path)
    for name in imported(path):
        target = name.split(".")[1]
        if target in LEVEL:
            assert LEVEL[target] >= LEVEL[folder], f"{folder} imports {name}"


def test_no_system_imports_another() -> None:
    for path in (ROOT / "g3d" / "systems").glob("*/*.py"):
        others = {name for name in imported(path) if name.startswith("g3d.systems.")}
        assert {name.split(".")[2] for name in others} <= {"base", "published", path.parent.name}, path


def test_no_data_set_imports_another() -> None:
    for path in (ROOT / "g3d" / "datasets").glob("*.py"):
        others = {name for name in imported(path) if name.startswith("g3d.datasets.")}
        assert others <= {"g3d.datasets.base"}, path


def test_every_file_is_of_a_readable_size() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 450}
    assert not long
