"""The position of a training run, on which schedules and losses may depend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """How far a training run has come before the present optimiser step.

    Attributes:
        epoch: the present epoch, counted from 0.
        step: optimiser steps done so far in the run.
        steps_per_epoch: optimiser steps of one epoch.
        epochs: epochs of the whole run.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    epochs: int

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.epochs
