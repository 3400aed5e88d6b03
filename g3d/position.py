"""The position of a training run, which schedules and losses may depend on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Position of a training run before the current optimiser step.

    Attributes:
        epoch: the current epoch, counted from 0.
        step: number of optimiser steps made so far in the run.
        steps_per_epoch: number of optimiser steps in one epoch.
        epochs: number of epochs of the whole run.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    epochs: int

    @property
    def total_steps(self) -> int:
        """Number of optimiser steps of the whole run."""
        return self.steps_per_epoch * self.epochs
