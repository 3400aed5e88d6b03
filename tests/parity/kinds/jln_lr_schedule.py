"""The learning rate of every epoch of the published training, as the preset has it."""

from pathlib import Path

import numpy as np

from g3d import config as presets
from g3d.engine.schedule import learning_rate


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    optim = presets.load("jln").optim
    return {"lr": np.array([learning_rate(optim, epoch) for epoch in range(len(arrays["out.lr"]))])}
