"""`g3d train --dry-run`: build everything, train on one batch, and measure the cost. Nothing is written."""

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
    """Cost of a training run.

    Attributes:
        parameters, trainable: number of all weights and of those that are trained.
        samples: number of training samples, or of groups if the system draws samples from groups.
        steps_per_epoch, steps: number of optimiser steps in an epoch and in the whole run.
        step_seconds: duration of one optimiser step, measured after one warm-up step.
        data_seconds: duration of loading the first batch, including the start of the loading workers.
        peak_memory: peak memory in bytes: of the device on CUDA, of the process on a CPU.
        losses: loss terms of the first step.
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
        """Estimated duration of all optimiser steps in seconds. Loading time is not added: workers load in parallel."""
        return self.steps * self.step_seconds


def dry_run(config: Any, root: Path, group: Processes, fresh: bool = True) -> DryRun:
    """Build a trainer, load one batch and make two optimiser steps on it; time the second step.

    Args:
        config: the resolved preset, or the config of a checkpoint.
        root: the data set's folder.
        group: this process among all.
        fresh: False for a config of a checkpoint: its start weights are not loaded.

    Raises:
        InputError, MissingDataError, EnvironmentProblem: what `train` would raise before and during its first step.
    """
    check_installed(config)
    check_evaluation(config, root, group)
    trainer = Trainer(config, root, group, fresh)
    began = time.perf_counter()
    batch = next(trainer.loader.epoch(0))
    loaded = time.perf_counter()
    losses = {name: float(value) for name, value in trainer.step(batch).losses.items()}
    warm = time.perf_counter()
    {name: float(value) for name, value in trainer.step(batch).losses.items()}  # float() waits for the device
    weights = list(trainer.model.parameters())
    return DryRun(
        parameters=sum(p.numel() for p in weights),
        trainable=sum(p.numel() for p in weights if p.requires_grad),
        samples=trainer.loader.count,
        steps_per_epoch=trainer.loader.steps,
        steps=trainer.loader.steps * config.train.epochs,
        step_seconds=time.perf_counter() - warm,
        data_seconds=loaded - began,
        peak_memory=peak_memory(group.device),
        losses=losses,
    )


def peak_memory(device: torch.device) -> int:
    """Return the peak memory so far in bytes: of the device on CUDA, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
