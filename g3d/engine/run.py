"""Run directories: .lock, config.yaml, checkpoints/, metrics.jsonl, log.txt, environment.json, predictions/."""

from __future__ import annotations

import datetime
import json
import logging
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g3d import __version__
from g3d.config import Config
from g3d.data.files import atomic_write
from g3d.data.folders import FileLock
from g3d.engine.distributed import Processes, from_first
from g3d.errors import EnvironmentProblem, InputError, MissingDataError

log = logging.getLogger(__name__)
LAST, BEST = "last.pt", "best.pt"
"""Names of checkpoints in a run directory."""


_MOST_FOLDERS_A_SECOND = 1000


class Run:
    """One training run on disk, locked against other processes while it is open.

    Only the first process of a training run writes and locks; the others hold a Run with `writes=False`. `close`
    releases the lock; the operating system releases it if the process ends without `close`.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder = folder
        self.writes = writes
        self.checkpoints = folder / "checkpoints"
        self.best = self.checkpoints / BEST
        self._metrics = folder / "metrics.jsonl"
        self._lock: FileLock | None = None

    @classmethod
    def create(cls, config: Config, out: Path | None, command: list[str], group: Processes) -> Run:
        """Make and lock a run directory, and write config.yaml, environment.json and an empty metrics.jsonl.

        Args:
            config: the resolved config.
            out: the directory; if None, a new directory runs/<preset>/<time> in the working directory. Runs that start
                in the same second get the suffixes -2, -3 and so on.
            command: the command line, for environment.json.
            group: this process among all.

        Raises:
            InputError: `out` already holds checkpoints, or another process trains in it.
            EnvironmentProblem: the directory cannot be written.
        """
        if out is not None:
            _refuse_checkpoints(cls(out))
        folder = None
        if group.first:
            folder = str(out) if out is not None else str(_new_folder(config))
        run = cls(Path(str(from_first(folder, group))), writes=group.first)
        if run.writes:
            with run._explained():
                run.folder.mkdir(parents=True, exist_ok=True)
                run._lock = run._locked()
                _refuse_checkpoints(run)  # again: another run may have ended here before the lock was taken
                run.checkpoints.mkdir(exist_ok=True)
                (run.folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
                (run.folder / "environment.json").write_text(
                    json.dumps(environment(command), indent=2) + "\n", encoding="utf-8"
                )
                run._metrics.write_text("", encoding="utf-8")
        return run

    @classmethod
    def resume(cls, folder: Path, group: Processes) -> Run:
        """Lock the directory of a run that is resumed. `reopen` then prepares its files.

        Raises:
            InputError: another process trains in the directory.
            EnvironmentProblem: the directory cannot be written.
        """
        run = cls(folder, writes=group.first)
        if run.writes:
            with run._explained():
                run._lock = run._locked()
        return run

    def close(self) -> None:
        """Release the lock, so that other processes can train in this directory."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _locked(self) -> FileLock:
        return FileLock(self.folder / ".lock", f"run {self.folder}")

    def reopen(self, config: Config, step: int, evaluated: bool) -> None:
        """Prepare the files of a run that is resumed after `step`, with a config that `--set` may have changed.

        Write config.yaml, and remove the lines of metrics.jsonl that will be recorded again: those of later steps, and
        the evaluation after `step` itself unless it is done.

        Args:
            config: the resolved config.
            step: number of optimiser steps in the checkpoint.
            evaluated: whether the evaluation after `step` is done.
        """
        if not self.writes:
            return
        with self._explained():
            (self.folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            if not self._metrics.is_file():
                return
            lines = self._metrics.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) < step + (evaluated or '"split"' not in line)]
            with atomic_write(self._metrics) as file:
                file.write("".join(line + "\n" for line in kept).encode())

    def record(self, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        if self.writes:
            with self._explained(), self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    def log_to_file(self) -> logging.Handler | None:
        """Copy the log to log.txt and return the handler, which the caller removes at the end.

        Return None in a process that does not write.
        """
        if not self.writes:
            return None
        with self._explained():
            handler = logging.FileHandler(self.folder / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logging.getLogger("g3d").addHandler(handler)
        return handler

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = "choose another --out, or make room; checkpoints written before are intact"
            raise EnvironmentProblem(f"run {self.folder}: cannot be written: {error.strerror}", hint) from None


def _new_folder(config: Config) -> Path:
    """Make and return runs/<preset>/<time>, with a suffix if other runs were started in the same second.

    Raises:
        EnvironmentProblem: the folder cannot be made.
    """
    base = Path("runs") / config.name / datetime.datetime.now().strftime("%Y-%m-%d_%H%M%S")
    for number in range(1, _MOST_FOLDERS_A_SECOND):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise EnvironmentProblem(
                f"run {folder}: cannot be made: {error.strerror or error}", "choose another place with --out"
            ) from None
        return folder
    raise EnvironmentProblem(f"run {base}: {_MOST_FOLDERS_A_SECOND} folders of this second exist", "choose an --out")


def _refuse_checkpoints(run: Run) -> None:
    if any(run.checkpoints.glob("*.pt")):
        raise InputError(
            f"run {run.folder}: already holds checkpoints",
            f"go on with --resume {run.folder}, or choose another --out",
        )


def find_latest(preset: str) -> Path:
    """Return the newest run of a preset in ./runs that has a checkpoint, for `--resume auto`.

    Raises:
        MissingDataError: there is no such run.
    """
    found = sorted(Path("runs", preset).glob("*/checkpoints/last.pt"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise MissingDataError(
            f"--resume auto: no run with a checkpoint in runs/{preset}",
            "give the run directory, or start without --resume",
        )
    return found[-1].parent.parent


def environment(command: list[str]) -> dict[str, Any]:
    """Return the versions, devices and command line of this process, so that the run can be repeated."""
    import numpy
    import torch

    return {
        "g3d": __version__,
        "command": command,
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpu_threads": torch.get_num_threads(),
    }


def _step_of(line: str) -> float:
    """Return the step of a line of metrics.jsonl; infinity for an incomplete line of a killed run."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
