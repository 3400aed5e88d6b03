"""Run recipes. A run can be resumed, divided into shards, killed, and started twice at the same time.

A `Recipe` makes one folder for each item (`prepare`):

    <out>/<item>/              complete, with a manifest.json written last
    <out>/.<item>.partial/     being made (g3d.data.folders)

A `JointRecipe` makes one set of files from all items together (`prepare_jointly`):

    <out>/<files>, <out>/<manifest>     complete
    <out>/.<recipe>.partial/            being made

An output is done when its manifest has the same recipe, version, settings and inputs. All files are first written into
a partial folder, and get their final names only when all of them are on the disk.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from g3d.data.files import require_writable
from g3d.data.folders import flush_files, has_leftovers, partial_folder, refuse_link, replace_folder
from g3d.errors import EnvironmentProblem, G3DError, InputError
from g3d.prepare import workers as pool
from g3d.prepare.manifest import MANIFEST, fingerprint_inputs, read_manifest, require_space, why_again, write_manifest
from g3d.progress import Progress

Result = TypeVar("Result")
Work = Callable[["Item", Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """The work for each item, and the values that identify it in manifests.

    Attributes:
        name: name of the recipe.
        version: version of the code that makes the outputs; outputs of another version are made again.
        settings: everything that the outputs depend on besides the inputs, as plain JSON values.
        work: a picklable function of an item and an empty folder, which it fills. The facts that it returns go into
            the item's manifest; their entry "broken", if there is one, lists reasons why parts of the item are missing.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    work: Work

    def manifest(self, item: Item) -> dict[str, Any]:
        """Return the entries of an item's manifest that identify its output: recipe, version, settings and inputs."""
        return _manifest(self.name, self.version, self.settings, item.fingerprint())


@dataclass(frozen=True)
class Item:
    """One thing to prepare.

    Attributes:
        name: name of the item and of its folder.
        inputs: the files that it is made from.
        bytes: estimated number of bytes that will be written.
    """

    name: str
    inputs: tuple[Path, ...]
    bytes: int = 0

    def fingerprint(self) -> str:
        """Return a fingerprint of the inputs, which also counts the missing ones."""
        return fingerprint_inputs(self.inputs)


@dataclass(frozen=True)
class Plan:
    """Comparison of the items with their folders.

    Attributes:
        todo: items to make.
        outdated: reasons, by name, why items are made again although they have a folder.
        done: finished items.
        incomplete: reasons, by name, why parts of finished items are missing: their inputs are damaged.
    """

    todo: tuple[Item, ...]
    outdated: Mapping[str, str]
    done: tuple[Item, ...]
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.todo)


@dataclass(frozen=True)
class Prepared:
    """Result of preparing items.

    Attributes:
        made: names of the items that were made in this run.
        done: names of the items that were finished before.
        broken: (name, error) of the items that could not be made, and of the missing parts of finished items.
        facts: facts in the manifests of the items that were made in this run, by name.
    """

    made: tuple[str, ...]
    done: tuple[str, ...]
    broken: tuple[tuple[str, G3DError], ...]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def plan(recipe: Recipe, items: Sequence[Item], out: Path, redo: bool = False) -> Plan:
    """Compare the items with the folders in `out`, without writing.

    Args:
        recipe: the recipe of the items.
        items: the items.
        out: folder of the items' folders.
        redo: plan to make all items again.

    Raises:
        InputError: an item's name is a path, so that its folder would lie elsewhere.
    """
    todo, done, outdated, incomplete = [], [], {}, {}
    for item in items:
        if item.name in ("", "..") or Path(item.name).name != item.name:
            raise InputError(f"{recipe.name}: found {item.name!r}, expected a name, not a path")
        folder = out / item.name
        if folder.is_symlink():
            reason: str | None = "it is a symbolic link"
        else:
            reason = "asked for again" if redo and folder.exists() else why_again(recipe.manifest(item), folder)
        if reason is None:
            done.append(item)
            if broken := _broken_parts(_facts(folder)):
                incomplete[item.name] = broken
        else:
            todo.append(item)
            if reason:
                outdated[item.name] = reason
    return Plan(tuple(todo), outdated, tuple(done), incomplete)


def prepare(
    recipe: Recipe,
    items: Sequence[Item],
    out: Path,
    workers: int = 1,
    redo: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Make the items that are not done yet, and continue after broken items.

    Args:
        recipe: the recipe of the items.
        items: the items.
        out: folder of the items' folders; made if missing.
        workers: number of processes.
        redo: also make finished items again.
        progress: is advanced by one for every item to make.

    Raises:
        EnvironmentProblem: `out` has not enough free space or cannot be written (raised before the work begins), or a
            worker process was killed.
    """
    require_writable(out)
    todo = plan(recipe, items, out, redo)
    require_space(todo.bytes, out)
    out.mkdir(parents=True, exist_ok=True)
    for item in todo.done:
        _clean(out, item.name)
    work = functools.partial(_make, recipe=recipe, out=out, redo=redo)
    outcome = pool.apply(work, todo.todo, recipe.name, workers, progress, at_once=1)
    facts = {item.name: made for item, made in outcome.good}
    incomplete = {**todo.incomplete, **{name: parts for name in facts if (parts := _broken_parts(facts[name]))}}
    broken: list[tuple[str, G3DError]] = [(item.name, error) for item, error in outcome.broken]
    broken += [(name, InputError(reason)) for name, reasons in incomplete.items() for reason in reasons]
    return Prepared(tuple(facts), tuple(item.name for item in todo.done), tuple(broken), facts)


def _clean(out: Path, name: str) -> None:
    """Remove the partial folder of an item or a joint recipe that a killed process has left."""
    if has_leftovers(out, name):
        with partial_folder(out, name):
            pass


def _make(item: Item, recipe: Recipe, out: Path, redo: bool) -> Mapping[str, Any]:
    """Make one item's folder, unless another process has just made it, and return its facts."""
    final = out / item.name
    refuse_link(final)
    while True:
        with partial_folder(out, item.name) as folder:
            if folder is None:  # another process is making it
                time.sleep(0.2)
            elif not redo and why_again(recipe.manifest(item), final) is None:
                return _facts(final)
            else:
                manifest = recipe.manifest(item)
                facts = dict(recipe.work(item, folder))
                try:
                    write_manifest(folder, {**manifest, "outputs": flush_files(folder), "facts": facts})
                    replace_folder(folder, final)
                except OSError as error:
                    raise EnvironmentProblem(f"{final}: cannot be written: {error.strerror or error}") from error
                return facts


@dataclass(frozen=True)
class Joined:
    """The content of a joint recipe's files.

    Attributes:
        facts: plain JSON values for the manifest.
        broken: (name, error) of errors that were found in addition to those of the items.
        write: a function that writes the files into an empty folder.
    """

    facts: Mapping[str, Any]
    broken: tuple[tuple[str, G3DError], ...]
    write: Callable[[Path], object]


@dataclass(frozen=True)
class JointRecipe(Generic[Result]):
    """A recipe that makes one set of files from all items together.

    Attributes:
        name, version, settings: as in Recipe.
        inspect: a picklable function that checks an item and returns its content for the files.
        join: a function of the results of the good items, by name.
        source: the raw data's folder, which the manifest stores for readers of the prepared folder.
        inputs: files that the outputs are made from, besides those of the items.
        manifest: file name of the manifest, which must differ from those of other recipes in the same folder.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    inspect: Callable[[Item], Result]
    join: Callable[[Mapping[str, Result]], Joined]
    source: Path
    inputs: tuple[Path, ...] = ()
    manifest: str = MANIFEST

    def wanted(self, items: Sequence[Item]) -> dict[str, Any]:
        """Return the manifest's entries that identify the outputs: recipe, version, settings, inputs and source."""
        files = (*self.inputs, *(file for item in items for file in item.inputs))
        source = {"source": str(self.source.resolve())}
        return {**_manifest(self.name, self.version, self.settings, fingerprint_inputs(files)), **source}


@dataclass(frozen=True)
class JointlyPrepared(Generic[Result]):
    """Result of preparing items jointly.

    Attributes:
        facts: the facts of the manifest.
        broken: (name, error) of items and other parts of the data that cannot be used.
        written: whether the prepared files exist, written in this run or before.
        up_to_date: whether the files were up to date and were not written again.
        bytes: size in bytes of the files that were written in this run.
        results: results of inspecting the good items, by name; None if no inspection was necessary.
    """

    facts: Mapping[str, Any]
    broken: tuple[tuple[str, G3DError], ...] = ()
    written: bool = False
    up_to_date: bool = False
    bytes: int = 0
    results: Mapping[str, Result] | None = None


def plan_jointly(recipe: JointRecipe[Any], items: Sequence[Item], out: Path) -> str | None:
    """Return None if the files in `out` are up to date, "" if there are none, otherwise what has changed."""
    if not (out / recipe.manifest).is_file():
        return ""
    return why_again(recipe.wanted(items), out, recipe.manifest) or _left_out(out, recipe.manifest)


def prepare_jointly(
    recipe: JointRecipe[Result],
    items: Sequence[Item],
    out: Path,
    workers: int = 1,
    redo: bool = False,
    check_only: bool = False,
    inspect_all: bool = False,
    keep_going: bool = False,
    progress: Progress | None = None,
) -> JointlyPrepared[Result]:
    """Inspect all items and make one set of files from them, unless the files are up to date.

    Args:
        recipe: the recipe.
        items: the items.
        out: folder of the files, which other recipes may share; made if missing.
        workers: number of processes.
        redo: write the files even if they are up to date.
        check_only: inspect everything, write nothing.
        inspect_all: inspect the items even if the files are up to date.
        keep_going: leave out what is broken, instead of writing nothing.
        progress: is advanced by one for every item.

    Raises:
        EnvironmentProblem: `out` has not enough free space or cannot be written (raised before the work begins), or a
            worker process was killed.
    """
    if not check_only:
        require_writable(out)
        _clean(out, recipe.name)
    manifest = recipe.wanted(items)
    reason = "asked for again" if redo else why_again(manifest, out, recipe.manifest)
    if reason is None and not (check_only or inspect_all or _left_out(out, recipe.manifest)):
        return JointlyPrepared(_facts(out, recipe.manifest), written=True, up_to_date=True)
    if not check_only:
        require_space(sum(item.bytes for item in items), out)
    outcome = pool.apply(recipe.inspect, items, "check", workers, progress)
    results = {item.name: result for item, result in outcome.good}
    joined = recipe.join(results)
    broken = (*((item.name, error) for item, error in outcome.broken), *joined.broken)
    facts = dict(json.loads(json.dumps(joined.facts)))
    if broken:
        facts["left_out"] = sorted({name for name, _ in broken})
    if check_only or (broken and not keep_going):
        return JointlyPrepared(facts, broken, results=results)
    if reason is None and facts == _facts(out, recipe.manifest):
        return JointlyPrepared(facts, broken, written=True, up_to_date=True, results=results)
    size = _write(recipe, joined, {**manifest, "facts": facts}, out)
    return JointlyPrepared(facts, broken, written=True, bytes=size, results=results)


def _write(recipe: JointRecipe[Any], joined: Joined, manifest: Mapping[str, Any], out: Path) -> int:
    """Write the files and the manifest into a partial folder, then move them to `out`, the manifest last.

    Return the size of the files in bytes.
    """
    while True:
        with partial_folder(out, recipe.name) as folder:
            if folder is not None:
                try:
                    joined.write(folder)
                    sizes = flush_files(folder)
                    write_manifest(folder, {**manifest, "outputs": sizes}, recipe.manifest)
                    for name in (*sizes, recipe.manifest):
                        os.replace(folder / name, out / name)
                except OSError as error:
                    raise EnvironmentProblem(f"{out}: cannot be written: {error.strerror or error}") from error
                return sum(sizes.values())
        time.sleep(0.2)  # another process is writing the files


def _manifest(recipe: str, version: int, settings: Mapping[str, Any], inputs: str) -> dict[str, Any]:
    manifest = {"recipe": recipe, "version": version, "settings": settings, "inputs": inputs}
    return dict(json.loads(json.dumps(manifest)))


def _facts(folder: Path, manifest: str = MANIFEST) -> dict[str, Any]:
    facts = (read_manifest(folder, manifest) or {}).get("facts")
    return dict(facts) if isinstance(facts, dict) else {}


def _broken_parts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    broken = facts.get("broken")
    return tuple(map(str, broken)) if isinstance(broken, list) else ()


def _left_out(out: Path, manifest: str) -> str | None:
    left_out = _facts(out, manifest).get("left_out")
    return f"{len(left_out)} broken parts were left out" if left_out else None
