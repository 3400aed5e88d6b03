"""Run directories: config.yaml, checkpoints/, metrics.jsonl, log.txt, environment.json, predictions/."""

from __future__ import annotations

import datetime
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g3d import __version__
from g3d.config import Config
from g3d.data.files import read_text
from g3d.errors import EnvironmentProblem, InputError, MissingDataError

log = logging.getLogger(__name__)


class Run:
    """One training run on disk. Only the first process writes; the others hold a Run with `writes=False`."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder = folder
        self.writes = writes
        self.checkpoints = folder / "checkpoints"
        self.best = self.checkpoints / "best.pt"
        self._metrics = folder / "metrics.jsonl"

    @staticmethod
    def new_folder(config: Config, out: Path | None) -> Path:
        """`out`, or runs/<preset>/<time> below the working directory."""
        return out or Path("runs") / config.name / datetime.datetime.now().strftime("%Y-%m-%d_%H%M%S")

    def create(self, config: Config, command: list[str]) -> None:
        """Make the directory and write what is known before the first step.

        Raises:
            InputError: it already holds a run.
            EnvironmentProblem: it cannot be written.
        """
        if any(self.checkpoints.glob("*.pt")):
            raise InputError(
                f"run {self.folder}: already holds checkpoints",
                f"go on with --resume {self.folder}, or choose another --out",
            )
        if not self.writes:
            return
        with self._explained():
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            (self.folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            (self.folder / "environment.json").write_text(
                json.dumps(environment(command), indent=2) + "\n", encoding="utf-8"
            )
            self._metrics.write_text("", encoding="utf-8")

    def reopen(self, config: Config, step: int) -> None:
        """Go on after `step` with a config that `--set` may have changed; metrics of later steps, which will be made
        again, are dropped."""
        if not self.writes:
            return
        with self._explained():
            (self.folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
            if not self._metrics.is_file():
                return
            kept = [line for line in self._metrics.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
            temporary = self._metrics.with_suffix(".tmp")
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            os.replace(temporary, self._metrics)

    def record(self, values: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        if self.writes:
            with self._explained(), self._metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")

    def evaluations(self, split: str) -> dict[int, float | None]:
        """Scores of the evaluations of a split that are recorded, by step."""
        if not self._metrics.is_file():
            return {}
        lines = [json.loads(line) for line in read_text(self._metrics, "metrics").splitlines() if '"split"' in line]
        return {line["step"]: line.get("score") for line in lines if line.get("split") == split}

    def log_to_file(self) -> logging.Handler | None:
        """Copy the log into log.txt; the caller removes the handler at the end."""
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


def find_latest(preset: str) -> Path:
    """The newest run of a preset below ./runs that has a checkpoint, for `--resume auto`.

    Raises:
        MissingDataError: there is none.
    """
    found = sorted(Path("runs", preset).glob("*/checkpoints/last.pt"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise MissingDataError(
            f"--resume auto: no run with a checkpoint in runs/{preset}",
            "give the run directory, or start without --resume",
        )
    return found[-1].parent.parent


def environment(command: list[str]) -> dict[str, Any]:
    """What the run ran on, for whoever has to repeat it."""
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
    """The step of a metrics line; a line cut off by a kill is beyond every step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
