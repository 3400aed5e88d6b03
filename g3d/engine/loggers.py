"""Log training figures to metrics.jsonl and, if the preset asks for them, to TensorBoard and Weights & Biases."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from g3d.config import Config
from g3d.engine.run import Run
from g3d.errors import EnvironmentProblem
from g3d.metrics.table import Table


class Logger:
    """Writer of training figures to all destinations. Only the logger of the first process writes."""

    def __init__(self, run: Run, scalars: list[Any]) -> None:
        self._run = run
        self._scalars = scalars
        self._began = time.monotonic()

    def losses(
        self, step: int, epoch: int, rate: float, losses: Mapping[str, float], samples_per_second: float
    ) -> None:
        """Record the loss terms after an optimiser step.

        Args:
            step: number of optimiser steps made.
            epoch: the epoch of the step, counted from 0.
            rate: the learning rate of the step.
            losses: loss terms by name.
            samples_per_second: training speed since the previous record.
        """
        seconds = round(time.monotonic() - self._began, 3)
        self._run.record(
            {
                "step": step,
                "epoch": epoch,
                "lr": rate,
                "seconds": seconds,
                "samples_per_second": round(samples_per_second, 3),
                "loss": dict(losses),
            }
        )
        self._send(
            step, {"lr": rate, "samples_per_second": samples_per_second, **{f"loss/{k}": v for k, v in losses.items()}}
        )

    def evaluation(self, step: int, epoch: int, split: str, table: Table) -> None:
        """Record the result of an evaluation after an optimiser step."""
        self._run.record({"step": step, "epoch": epoch, "split": split, "score": table.score, "metrics": table.metrics})
        self._send(step, {f"{split}/{k}": v for k, v in table.metrics.items()})

    def _send(self, step: int, values: Mapping[str, float]) -> None:
        for place in self._scalars:
            place.write(step, values)

    def close(self) -> None:
        """Close TensorBoard and Weights & Biases, which writes what they still hold."""
        for place in self._scalars:
            place.close()


class _TensorBoard:
    def __init__(self, run: Run, config: Config) -> None:
        self._writer = _load("tensorboard").SummaryWriter(str(run.folder / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, run: Run, config: Config) -> None:
        self._run = _load("wandb").init(
            project="g3d", name=run.folder.name, dir=str(run.folder), config=config.model_dump(mode="json")
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


PLACES = {"tensorboard": _TensorBoard, "wandb": _Wandb}
_MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}


def check_installed(config: Config) -> None:
    """Check that the package of every destination in `train.log_to` is installed.

    Raises:
        EnvironmentProblem: a package is not installed.
    """
    for name in config.train.log_to:
        _load(name)


@contextmanager
def open_loggers(run: Run, config: Config) -> Iterator[Logger]:
    """Yield the logger of a run and close it at the end of the block."""
    logger = Logger(run, [PLACES[name](run, config) for name in config.train.log_to] if run.writes else [])
    try:
        yield logger
    finally:
        logger.close()


def _load(name: str) -> Any:
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError:
        raise EnvironmentProblem(f"train.log_to: {name} is not installed", f"pip install 'g3d[{name}]'") from None
