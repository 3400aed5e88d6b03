"""Where training figures go: metrics.jsonl always, TensorBoard and Weights & Biases where they are installed and asked
for."""

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
    """Writes each figure to every open place. Only the first process's logger does anything."""

    def __init__(self, run: Run, scalars: list[Any]) -> None:
        self._run = run
        self._scalars = scalars
        self._began = time.monotonic()

    def losses(
        self, step: int, epoch: int, rate: float, losses: Mapping[str, float], samples_per_second: float
    ) -> None:
        """Loss terms after a step."""
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
        """An evaluation after a step."""
        self._run.record({"step": step, "epoch": epoch, "split": split, "score": table.score, "metrics": table.metrics})
        self._send(step, {f"{split}/{k}": v for k, v in table.metrics.items()})

    def _send(self, step: int, values: Mapping[str, float]) -> None:
        for place in self._scalars:
            place.write(step, values)

    def close(self) -> None:
        """Flush every place."""
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
    """Whether every place of `train.log_to` can be opened.

    Raises:
        EnvironmentProblem: its package is not installed.
    """
    for name in config.train.log_to:
        _load(name)


@contextmanager
def open_loggers(run: Run, config: Config) -> Iterator[Logger]:
    """The run's logger; closed at the end."""
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
