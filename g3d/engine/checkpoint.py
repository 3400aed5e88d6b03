"""Checkpoint files: written whole or not at all, read without running code, and enough on their own for eval and
infer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from g3d import config as presets
from g3d.config import Config
from g3d.data import pickles
from g3d.data.files import atomic_write
from g3d.errors import EnvironmentProblem, InputError, MissingDataError
from g3d.systems.base import get_system

FORMAT = 1
_CONTENT = {"g3d_format": int, "system": str, "config": str, "model": dict, "training": dict}
_PLAIN_ONLY = "g3d loads plain weights only; copy the file again, or ask its author for a state dict"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of our own.

    Attributes:
        path: the file.
        config: the run's resolved config, with overrides applied.
        written: the same as it was written.
        model: the network's state dict.
        training: optimiser, random states and position, as `g3d train` needs them to go on; may be empty.
    """

    path: Path
    config: Config
    written: Config
    model: dict[str, torch.Tensor]
    training: dict[str, Any]


def write(path: Path, config: Config, model: Mapping[str, torch.Tensor], training: Mapping[str, Any]) -> None:
    """Write a checkpoint under a temporary name, flush it to disk, then rename: a crash leaves the old file or the new
    one.

    Raises:
        EnvironmentProblem: the disk is full or the folder cannot be written; nothing half-written remains.
    """
    content = {
        "g3d_format": FORMAT,
        "system": config.system,
        "config": config.to_yaml(),
        "model": dict(model),
        "training": dict(training),
    }
    with _explained(path), atomic_write(path) as file:
        torch.save(content, file)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What keeps a checkpoint from being written, in one line."""
    try:
        yield
    except (EnvironmentProblem, RuntimeError) as error:  # torch wraps a failing write in a RuntimeError
        cause = next((e for e in (error.__cause__, error.__context__) if isinstance(e, OSError)), None)
        reason = (cause.strerror if cause else None) or str(error).splitlines()[0]
        raise EnvironmentProblem(
            f"checkpoint {path}: cannot be written: {reason}",
            "free some space, or choose another --out; what was written before is intact",
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed run left behind."""
    for file in folder.glob(".*.part"):
        file.unlink(missing_ok=True)


def read_raw(path: Path) -> dict[str, Any]:
    """Return the content of any torch file, ours or a published one, with tensors on the CPU and no code run.

    Raises:
        MissingDataError: no such file.
        InputError: truncated, not a torch file, or a pickle that needs more than plain data.
    """
    content = pickles.read(path, "checkpoint", hint=_PLAIN_ONLY, problem="truncated or not a torch file")
    if not isinstance(content, dict):
        raise InputError(f"checkpoint {path}: expected a dict, found {type(content).__name__}")
    return content


def is_ours(content: Mapping[str, Any]) -> bool:
    """Whether a file's content was written by g3d."""
    return "g3d_format" in content


def read(path: Path, overrides: tuple[str, ...] = ()) -> Checkpoint:
    """A checkpoint of our own.

    Raises:
        InputError: it is a foreign one, damaged, of a newer g3d, or the overrides are of something that is inside the
            file.
    """
    return parse(read_raw(path), path, overrides)


def parse(content: dict[str, Any], path: Path, overrides: tuple[str, ...] = ()) -> Checkpoint:
    """What `read` does, for content already read."""
    if not is_ours(content):
        raise InputError(f"checkpoint {path}: not written by g3d", "a published checkpoint needs --preset NAME")
    missing = [key for key in _CONTENT if key not in content]
    if missing:
        raise InputError(f"checkpoint {path}: damaged: it has no {', '.join(missing)}")
    for key, kind in _CONTENT.items():
        if not isinstance(content[key], kind):
            found = type(content[key]).__name__
            raise InputError(f"checkpoint {path}: damaged: {key} is of type {found}, expected {kind.__name__}")
    if content["g3d_format"] > FORMAT:
        raise InputError(
            f"checkpoint {path}: format {content['g3d_format']}, this g3d reads up to {FORMAT}", "install a newer g3d"
        )
    written = presets.from_yaml(content["config"], source=f"config in {path}")
    config = presets.from_yaml(content["config"], overrides, source=f"config in {path}")
    system = get_system(written.system)
    check_unchanged((*system.carried, *system.starts), written, config, path)
    return Checkpoint(path, config, written, content["model"], content["training"])


def check_unchanged(names: Sequence[str], written: Config, config: Config, path: Path) -> None:
    """Whether a config that is to be used with a checkpoint leaves these of its settings as they were written.

    Raises:
        InputError: one differs.
    """
    for name in names:
        then, now = (reduce(getattr, name.split("."), whole) for whole in (written, config))
        if then != now:
            raise InputError(
                f"checkpoint {path}: {name} cannot be changed: found {_differences(then, now)}; what it named is "
                f"in the file",
                "leave this setting, or --preset, away",
            )


def _differences(then: Any, now: Any) -> str:
    """Found and expected values; of two dicts those entries that differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        then, now = ({key: whole.get(key) for key in keys} for whole in (then, now))
    return f"{now}, expected {then}"


def locate(where: Path) -> Path:
    """The file meant by a run directory (its last checkpoint) or a file.

    Raises:
        MissingDataError: there is none.
    """
    if where.is_dir():
        folder = where / "checkpoints" if (where / "checkpoints").is_dir() else where
        last = folder / "last.pt"
        if not last.is_file() and not (where / "config.yaml").is_file():
            files = sorted(file.name for file in folder.iterdir() if file.suffix in (".pt", ".pth"))
            hint = (
                f"it has {', '.join(files[:4])}: name one of them"
                if files
                else "give a run directory or a checkpoint file"
            )
            raise MissingDataError(f"checkpoint {where}: is neither a run directory nor a checkpoint", hint)
        if not last.is_file():
            raise MissingDataError(
                f"run {where}: no checkpoints/last.pt",
                "a run writes its first checkpoint at the end of the first epoch",
            )
        return last
    if not where.is_file():
        raise MissingDataError(f"checkpoint {where}: no such file or run directory")
    return where


def run_of(path: Path) -> Path | None:
    """The run directory that a checkpoint file lies in; None if it lies elsewhere."""
    folder = path.parent if path.parent.name else path.absolute().parent  # `last.pt` was named from within its folder
    return folder.parent if folder.name == "checkpoints" else None
