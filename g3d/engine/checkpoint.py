"""Checkpoint files.

They are written atomically and read without executing code. A checkpoint alone is sufficient for eval and infer.
"""

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
    """Content of a g3d checkpoint.

    Attributes:
        path: the file.
        config: the run's resolved config, with overrides applied.
        written: the config as stored in the file, without overrides.
        model: the network's state dict.
        training: optimiser, random states and position, which `g3d train` needs to resume; may be empty.
        modified: time of the file's last change in nanoseconds, when it was read.
    """

    path: Path
    config: Config
    written: Config
    model: dict[str, torch.Tensor]
    training: dict[str, Any]
    modified: int


def write(path: Path, config: Config, model: Mapping[str, torch.Tensor], training: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    The file is written under a temporary name, flushed to disk and renamed, so a crash leaves either the old file or
    the new one.

    Raises:
        EnvironmentProblem: the disk is full or the folder cannot be written; no incomplete file remains.
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
    """Convert errors of writing a checkpoint to an EnvironmentProblem with a reason of one line."""
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
    """Delete the temporary checkpoint files that a killed run left in a folder."""
    for file in folder.glob(".*.part"):
        file.unlink(missing_ok=True)


def read_raw(path: Path) -> dict[str, Any]:
    """Return the content of a g3d or published checkpoint, with tensors on the CPU, without executing code.

    Raises:
        MissingDataError: there is no such file.
        InputError: the file is truncated, is not a torch file, holds objects other than plain data, or is not a dict.
    """
    content = pickles.read(path, "checkpoint", hint=_PLAIN_ONLY, problem="truncated or not a torch file")
    if not isinstance(content, dict):
        raise InputError(f"checkpoint {path}: expected a dict, found {type(content).__name__}")
    return content


def is_ours(content: Mapping[str, Any]) -> bool:
    """Return whether the content of a checkpoint was written by g3d."""
    return "g3d_format" in content


def read(path: Path, overrides: tuple[str, ...] = ()) -> Checkpoint:
    """Read a g3d checkpoint.

    Args:
        path: the file.
        overrides: `a.b=c` changes of its config.

    Raises:
        MissingDataError: there is no such file.
        InputError: the file was not written by g3d, is damaged or of a newer g3d, or an override changes a setting
            that a checkpoint fixes (`carried` and `starts` of its system).
    """
    return parse(read_raw(path), path, overrides)


def parse(content: dict[str, Any], path: Path, overrides: tuple[str, ...] = ()) -> Checkpoint:
    """Return the checkpoint for content that `read_raw` returned. See `read` for the arguments and errors."""
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
    return Checkpoint(path, config, written, content["model"], content["training"], path.stat().st_mtime_ns)


def check_unchanged(names: Sequence[str], written: Config, config: Config, path: Path) -> None:
    """Check that a config to be used with a checkpoint does not change some of its settings.

    Args:
        names: dotted names of the settings.
        written: the config in the checkpoint.
        config: the config to be used.
        path: the checkpoint, for error messages.

    Raises:
        InputError: one of the settings differs.
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
    """Return the found and expected values as text; for two dicts, only the entries that differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        then, now = ({key: whole.get(key) for key in keys} for whole in (then, now))
    return f"{now}, expected {then}"


def locate(where: Path) -> Path:
    """Return the checkpoint file of a path: the last checkpoint of a run directory, or the file itself.

    Raises:
        MissingDataError: there is no checkpoint.
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
    """Return the run directory that a checkpoint file lies in; None if it lies elsewhere."""
    folder = path.parent if path.parent.name else path.absolute().parent  # a bare file name such as `last.pt`
    return folder.parent if folder.name == "checkpoints" else None
