"""Recipes that make one folder for each item: resumable, sharded, safe to kill, safe to start twice.

    <out>/<item>/              complete, with a manifest.json written last
    <out>/.<item>.partial/     being made; locked while its process lives

An item is done when its manifest names the same recipe, version, settings and inputs. A killed process leaves a partial
folder, which the next one empties; a folder takes its final name only when all of it is on the disk.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g3d.data.files import require_writable
from g3d.errors import EnvironmentProblem, G3DError
from g3d.prepare import runner
from g3d.progress import Progress

Work = Callable[["Item", Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """What is done to every item.

    Attributes:
        name: of the recipe.
        version: of the code that makes the outputs; another one makes everything anew.
        settings: everything that the outputs depend on beside the inputs: plain JSON values.
        work: a picklable function of an item and an empty folder, which it fills; what it returns goes into the item's
            manifest.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    work: Work

    def manifest(self, item: Item) -> dict[str, Any]:
        """What the manifest of a finished item begins with."""
        manifest = {
            "recipe": self.name,
            "version": self.version,
            "settings": self.settings,
            "inputs": item.fingerprint(),
        }
        return dict(json.loads(json.dumps(manifest)))


@dataclass(frozen=True)
class Item:
    """One thing to prepare: its name (a folder's), the files that it is made from, and about how many bytes will be
    written."""

    name: str
    inputs: tuple[Path, ...]
    bytes: int = 0

    def fingerprint(self) -> str:
        """Changes with the inputs; an input that is missing counts as such."""
        return (
            runner.fingerprint(file for file in self.inputs if file.exists())
            + f"-{sum(not file.exists() for file in self.inputs)}"
        )


@dataclass(frozen=True)
class Plan:
    """What there is to do: items without a finished folder, items whose folder is out of date (name -> why), finished
    ones."""

    todo: tuple[Item, ...]
    outdated: Mapping[str, str]
    done: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.todo)


@dataclass(frozen=True)
class Prepared:
    """What became of the items: names made now and done before, what is wrong with the broken ones, and the manifests'
    facts by name."""

    made: tuple[str, ...]
    done: tuple[str, ...]
    broken: tuple[tuple[str, G3DError], ...]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def plan(recipe: Recipe, items: Sequence[Item], out: Path, redo: bool = False) -> Plan:
    """Compare the items with what lies under `out`, without writing.

    Args:
        redo: count everything as still to do.
    """
    todo, done, outdated = [], [], {}
    for item in items:
        reason = "asked for again" if redo and (out / item.name).exists() else _why_again(recipe, item, out / item.name)
        if reason is None:
            done.append(item)
        else:
            todo.append(item)
            if reason:
                outdated[item.name] = reason
    return Plan(tuple(todo), outdated, tuple(done))


def _why_again(recipe: Recipe, item: Item, folder: Path) -> str | None:
    """None for a finished item, "" for one that is not there, otherwise what has changed since."""
    if not folder.exists():
        return ""
    try:
        found = runner.read_manifest(folder)
    except G3DError:
        return "its manifest is damaged"
    if found is None:
        return "it has no manifest"
    wanted = recipe.manifest(item)
    for key, what in (
        ("recipe", "another recipe made it"),
        ("version", "an older version made it"),
        ("settings", "the settings differ"),
        ("inputs", "its input files have changed"),
    ):
        if found.get(key) != wanted[key]:
            return what
    return next(
        (
            f"{name} is missing or of another size"
            for name, size in found.get("outputs", {}).items()
            if not (folder / name).is_file() or (folder / name).stat().st_size != size
        ),
        None,
    )


def prepare(
    recipe: Recipe,
    items: Sequence[Item],
    out: Path,
    workers: int = 1,
    redo: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Make what is not done yet; go on past broken items.

    Args:
        out: folder of the items' folders; made if missing.
        workers: processes.
        redo: also make finished items anew.
        progress: told of every item to make.

    Raises:
        EnvironmentProblem: no room, or `out` cannot be written; said before the work begins.
    """
    require_writable(out)
    todo = plan(recipe, items, out, redo)
    runner.require_space(todo.bytes, out)
    out.mkdir(parents=True, exist_ok=True)
    for item in todo.done:  # of a process that was killed while it made another version of them
        if (out / f".{item.name}.partial").exists() or (out / f".{item.name}.old").exists():
            with _partial_folder(out, item.name):
                pass
    outcome = runner.run(
        functools.partial(_make, recipe=recipe, out=out, redo=redo),
        todo.todo,
        recipe.name,
        workers,
        progress,
        at_once=1,
    )
    facts = {item.name: made for item, made in outcome.good}
    broken = tuple((item.name, error) for item, error in outcome.broken)
    return Prepared(tuple(facts), tuple(item.name for item in todo.done), broken, facts)


def _make(item: Item, recipe: Recipe, out: Path, redo: bool) -> Mapping[str, Any]:
    """Make one item's folder, or find that another process has just done so."""
    final = out / item.name
    while True:
        with _partial_folder(out, item.name) as folder:
            if folder is None:  # another process is at it
                time.sleep(0.2)
            elif not redo and _why_again(recipe, item, final) is None:
                return dict((runner.read_manifest(final) or {}).get("facts", {}))
            else:
                manifest = recipe.manifest(item)
                facts = dict(recipe.work(item, folder))
                _finish(folder, final, manifest, facts)
                return facts


def _finish(folder: Path, final: Path, manifest: dict[str, Any], facts: dict[str, Any]) -> None:
    """Everything on the disk, then the manifest, then the name."""
    try:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        for file in files:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        outputs = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
        runner.write_manifest(folder, {**manifest, "outputs": outputs, "facts": facts})
        old = final.with_name(f".{final.name}.old")
        if final.exists():
            _discard(old)
            final.rename(old)
        folder.rename(final)
        _discard(old)
    except OSError as error:
        raise EnvironmentProblem(f"{final}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _partial_folder(out: Path, name: str) -> Iterator[Path | None]:
    """An empty folder of this process's own, gone at the end unless it was renamed; None while another process has
    it."""
    folder = out / f".{name}.partial"
    held = _lock(folder)
    if held is None:
        yield None
        return
    try:
        for left in folder.iterdir():  # by a killed process
            _discard(left)
        _discard(out / f".{name}.old")
        yield folder
    finally:
        if _is_at(held, folder):
            _discard(folder)
        os.close(held)


def _lock(folder: Path) -> int | None:
    """An open, locked descriptor of the folder, which is made if missing; None if another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None  # renamed by its owner in between
    except OSError as error:
        raise EnvironmentProblem(f"{folder}: cannot be written: {error.strerror or error}") from error
    with suppress(ImportError):  # where there are no such locks (Windows), starting twice is the user's to avoid
        import fcntl

        with suppress(OSError):  # likewise on network disks without locks
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(held)
                return None
    if not _is_at(held, folder):  # locked just after its owner renamed it
        os.close(held)
        return None
    return held


def _is_at(held: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), folder.stat())
    except FileNotFoundError:
        return False


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
