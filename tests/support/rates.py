"""The learning rates of a run, one per epoch or per step."""

from __future__ import annotations

import numpy as np

from g3d.config import OptimConfig
from g3d.engine.schedule import learning_rate
from g3d.position import Position


def rates(optim: OptimConfig, epochs: int, steps_per_epoch: int = 1) -> np.ndarray:
    """Return the rate of every optimiser step, (epochs * steps_per_epoch,) float64."""
    positions = (
        Position(step // steps_per_epoch, step, steps_per_epoch, epochs) for step in range(epochs * steps_per_epoch)
    )
    return np.array([learning_rate(optim, position) for position in positions])
