"""Find the systems and data sets of g3d, and those of other packages by their entry points.

A package adds a system with an entry point in the group `g3d.systems`; its value is a package with the layout of a
folder of g3d/systems (config.py with `Config`, system.py with `SYSTEM`, presets/*.yaml, optionally demo.py). A package
adds a data set with an entry point in the group `g3d.datasets`; its value is a module with `DATASET`. Listing the names
imports nothing. A broken package stops what names it; where all packages are looked through, it is left out with a
warning.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from g3d.errors import EnvironmentProblem

log = logging.getLogger(__name__)
T = TypeVar("T")
SYSTEMS, DATASETS = "g3d.systems", "g3d.datasets"


@functools.cache
def modules(group: str) -> Mapping[str, str]:
    """Return the import path of each system or data set by its name.

    Args:
        group: SYSTEMS or DATASETS, which are also the names of the packages of the built-in ones.

    Raises:
        EnvironmentProblem: an entry point of another package has a name that is already taken.
    """
    found = {name: f"{group}.{name}" for name in _built_in(group)}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        if found.setdefault(point.name, point.value) != point.value:
            raise EnvironmentProblem(
                f"entry point {point.name} of {group} in {_owner(point)}: {found[point.name]} has this name already",
                f"uninstall {_owner(point)}, or ask its author for another name",
            )
    return found


def load(group: str, name: str, part: str = "") -> ModuleType:
    """Import and return the module of a system or data set.

    Args:
        group: SYSTEMS or DATASETS.
        name: a key of `modules(group)`.
        part: a module inside its package, for example "config"; empty for the package itself.

    Raises:
        EnvironmentProblem: the module of another package cannot be imported.
    """
    path = modules(group)[name] + (f".{part}" if part else "")
    if path.startswith("g3d."):
        return importlib.import_module(path)
    try:
        return importlib.import_module(path)
    except Exception as error:  # importing runs the package's own code
        raise _unusable(group, name, f"{path} cannot be imported", error) from error


def member(group: str, name: str, attribute: str, part: str = "") -> Any:
    """Return an object of a system's or a data set's module, for example its `SYSTEM`.

    Raises:
        EnvironmentProblem: the module of another package cannot be imported, or has no such object.
    """
    module = load(group, name, part)
    if not hasattr(module, attribute):
        raise EnvironmentProblem(
            f"{group} {name}: {module.__name__} has no {attribute}", "ask the author of the package for a repair"
        )
    return getattr(module, attribute)


def each(group: str, get: Callable[[str], T]) -> dict[str, T]:
    """Return `get(name)` of each system or data set; those of a broken package are left out with a warning."""
    found = {}
    for name in modules(group):
        try:
            found[name] = get(name)
        except EnvironmentProblem as error:
            log.warning("%s; left out", error.message)
    return found


def has_part(group: str, name: str, part: str) -> bool:
    """Return whether the package of a system or data set has a module `part`. This imports the package."""
    return importlib.util.find_spec(f"{load(group, name).__name__}.{part}") is not None


def folder(group: str, name: str) -> Path | None:
    """Return the folder of a system that is a package; None for a single module, and for one that is not there."""
    try:
        spec = importlib.util.find_spec(modules(group)[name])  # imports the packages around it
    except Exception as error:
        log.warning("%s", _unusable(group, name, f"{modules(group)[name]} cannot be imported", error).message)
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _unusable(group: str, name: str, what: str, error: Exception) -> EnvironmentProblem:
    reason = (str(error).splitlines() or [""])[0]
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    hint = "was it uninstalled?" if isinstance(error, ImportError) else "ask the author of the package for a repair"
    return EnvironmentProblem(f"{group} {name}: {what}: {kind}{reason}", hint)


def _built_in(group: str) -> list[str]:
    """Return the sorted names in g3d/systems (folders with a config.py) or in g3d/datasets (modules)."""
    here = Path(__file__).parent / group.rpartition(".")[2]
    if group == SYSTEMS:
        return sorted(file.parent.name for file in here.glob("*/config.py"))
    return sorted(file.stem for file in here.glob("*.py") if file.stem not in ("__init__", "base"))


def _owner(point: object) -> str:
    distribution = getattr(point, "dist", None)
    return str(distribution.name) if distribution else "another package"
