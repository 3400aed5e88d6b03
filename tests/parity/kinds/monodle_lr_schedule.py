"""The learning rate of every epoch, with and without warm-up."""

from pathlib import Path

import numpy as np
from support.rates import rates

from g3d.config import OptimConfig

WARMUP_EPOCHS, WARMUP_RATE = 5, 1e-5
"""Length and start of the published warm-up: in neither the JSON nor the arrays of a case."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    shared = {
        "lr": float(arrays["in.base_lr"]),
        "decay_epochs": tuple(arrays["in.decay_list"].tolist()),
        "decay_rate": float(arrays["in.decay_rate"]),
        "decay_counts_warmup": False,
    }
    warm = OptimConfig(**shared, warmup_epochs=WARMUP_EPOCHS, warmup_lr=WARMUP_RATE)
    plain = OptimConfig(**shared)
    return {
        "lr_warmup": rates(warm, len(arrays["out.lr_warmup"])),
        "lr_plain": rates(plain, len(arrays["out.lr_plain"])),
    }
