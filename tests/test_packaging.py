"""The wheel and the sdist carry what an installation needs, and nothing compiles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import paths

ROOT = paths.ROOT


IMPORTED_AS = {"pillow": "PIL", "pyyaml": "yaml"}
PARTS = {"g3d", "llvmlite"}  # llvmlite: of Numba, which allows one version of it


def imports(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.partition(".")[0]
        for name in whole | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    }


def test_every_imported_package_is_a_declared_dependency() -> None:
    declared = re.findall(r'"([\w-]+)(?=>=)', (ROOT / "pyproject.toml").read_text())
    known = {IMPORTED_AS.get(name, name) for name in declared} | set(sys.stdlib_module_names) | PARTS
    files = [file for folder in ("g3d", "kernels") for file in (ROOT / folder).rglob("*.py")]
    assert {name: str(file.relative_to(ROOT)) for file in files for name in imports(file) - known} == {}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist of a copy of the tracked files."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
def test_wheel_is_pure_and_whole(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "g3d/cli/app.py",
        "g3d/kernels/box_iou.py",
        "g3d/presets/monodle-ddml.yaml",
        "g3d/py.typed",
        "g3d/visualize/assets/page.html",
        "g3d/visualize/assets/three.bundle.min.js",
        "g3d/systems/monodle/system.py",
    ):
        assert needed in names
    tracked = {p.relative_to(ROOT).as_posix() for p in (ROOT / "g3d").rglob("*.py")}
    assert tracked <= names, "a package is missing from pyproject.toml"
    assert not any(name.startswith("tests/") for name in names)


@pytest.mark.slow
def test_sdist_builds_the_same_wheel(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "LICENSE",
        "kernels/box_iou.py",
        "presets/monodle.yaml",
        "g3d/visualize/assets/LICENSE.three",
    } <= names


@pytest.mark.slow
def test_an_installed_wheel_runs_from_anywhere(built: Path, tmp_path: Path) -> None:
    """Installed into a folder of its own, beside the dependencies of this environment."""
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import g3d; assert g3d.__file__.startswith({str(site)!r})\n"
    )
    script += "import g3d.kernels.box_iou; from g3d import config; print(config.preset_names())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "monodle-ddml" in done.stdout
