"""`g3d train --dry-run`: build everything, run one batch, say what it will cost. Writes nothing."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d.engine.distributed import Processes
from g3d.engine.evaluate import check_evaluation
from g3d.engine.loggers import check_installed
from g3d.engine.trainer import Trainer


@dataclass(frozen=True)
class DryRun:
    """What a training run would cost.

    Attributes:
        parameters, trainable: numbers of weights.
        samples, steps_per_epoch, steps: sizes of the run.
        step_seconds: of one optimiser step, after a first one to warm up.
        data_seconds: of making that step's batch.
        peak_memory: bytes: of the device on CUDA, of the process on a CPU.
        losses: terms of the first step.
    """

    parameters: int
    trainable: int
    samples: int
    steps_per_epoch: int
    steps: int
    step_seconds: float
    data_seconds: float
    peak_memory: int
    losses: dict[str, float]

    @property
    def estimated_seconds(self) -> float:
        """Of the whole run, with data made beside the steps if there are workers."""
        return self.steps * self.step_seconds


def dry_run(config: Any, root: Path, group: Processes) -> DryRun:
    """Build a trainer, take one batch and step on it twice, the second time with a clock.

    Raises:
        InputError, MissingDataError, EnvironmentProblem: whatever `train` would raise before and during its first step.
    """
    check_installed(config)
    check_evaluation(config, root, group)
    trainer = Trainer(config, root, group)
    began = time.perf_counter()
    batch = next(trainer.loader.epoch(0))
    loaded = time.perf_counter()
    losses = {name: float(value) for name, value in trainer.step(batch).losses.items()}
    warm = time.perf_counter()
    {name: float(value) for name, value in trainer.step(batch).losses.items()}  # waits for the device
    weights = list(trainer.model.parameters())
    return DryRun(
        parameters=sum(p.numel() for p in weights),
        trainable=sum(p.numel() for p in weights if p.requires_grad),
        samples=len(trainer.loader.units),
        steps_per_epoch=trainer.loader.steps,
        steps=trainer.loader.steps * config.train.epochs,
        step_seconds=time.perf_counter() - warm,
        data_seconds=loaded - began,
        peak_memory=peak_memory(group.device),
        losses=losses,
    )


def peak_memory(device: torch.device) -> int:
    """Most memory in use so far, bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
