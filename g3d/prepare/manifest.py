"""Manifests of prepared folders.

A manifest records what the outputs were made from, so that they are made again only if this changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.errors import EnvironmentProblem, G3DError, InputError

MANIFEST = "manifest.json"
_SAMPLE = 2**14  # bytes


def fingerprint(files: Iterable[Path]) -> str:
    """Return a hash of the files' names, sizes, and content at the beginning, in the middle and at the end.

    Modification times are ignored, so a copy of the data has the same hash.
    """
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            digest.update(f"{file.name} {size}\n".encode())
            for place in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
                opened.seek(place)
                digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()


def fingerprint_inputs(files: Sequence[Path]) -> str:
    """Return the fingerprint of the existing files, followed by the number of missing files."""
    there = [file for file in files if file.is_file()]
    return f"{fingerprint(there)}-{len(files) - len(there)}"


def require_space(wanted: int, folder: Path) -> int:
    """Return the number of free bytes on the disk of a folder, which need not exist yet.

    Raises:
        EnvironmentProblem: fewer than `wanted` bytes are free.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise EnvironmentProblem(
            f"{folder}: {wanted / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            "choose another place with --out, or make room",
        )
    return free


def write_manifest(folder: Path, values: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Write the manifest of a prepared folder. Callers write it last, so a folder with a manifest is complete."""
    with atomic_write(folder / name) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    """Return the manifest of a prepared folder; None if there is none.

    Raises:
        InputError: it is not a JSON object.
    """
    path = folder / name
    if not path.is_file():
        return None
    with reading(path, hint="delete it and run g3d prepare again", problem="not valid JSON"):
        values = json.loads(path.read_bytes())
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: expected an object, found {type(values).__name__}", "delete it and run g3d prepare again"
        )
    return values


def why_again(wanted: Mapping[str, Any], folder: Path, name: str = MANIFEST) -> str | None:
    """Compare the manifest of a prepared folder with the one that it would get now.

    Args:
        wanted: recipe, version, settings and inputs (and the source, if the recipe records one), as plain JSON values.
        folder: the prepared folder.
        name: file name of the manifest.

    Returns:
        None if the folder is up to date, "" if there is no folder, otherwise a short description of what has changed.
    """
    if not folder.exists():
        return ""
    try:
        found = read_manifest(folder, name)
    except G3DError:
        return "its manifest is damaged"
    if found is None:
        return "it has no manifest"
    for key, what in _CHANGES.items():
        if found.get(key) != wanted.get(key):
            return what
    outputs = found.get("outputs")
    for output, size in outputs.items() if isinstance(outputs, dict) else ():
        file = folder / output
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            return f"{output} is missing or of another size"
    return None


_CHANGES = {
    "recipe": "another recipe made it",
    "version": "an older version made it",
    "settings": "the settings differ",
    "source": "the raw data has moved",
    "inputs": "its input files have changed",
}
