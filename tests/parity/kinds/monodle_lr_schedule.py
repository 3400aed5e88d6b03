"""The learning rate of every epoch, with and without warm-up."""

from pathlib import Path

import numpy as np
from support.rates import rates

from g3d.config import OptimConfig
from parity.kinds.monodle import setting


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    shared = {
        "lr": float(arrays["in.base_lr"]),
        "decay_epochs": tuple(arrays["in.decay_list"].tolist()),
        "decay_rate": float(arrays["in.decay_rate"]),
        "decay_counts_warmup": False,
    }
    warm = OptimConfig(**shared, warmup_epochs=int(setting(case, "warmup_epochs", "warm-up", 5)), warmup_lr=1e-5)
    plain = OptimConfig(**shared)
    return {
        "lr_warmup": rates(warm, len(arrays["out.lr_warmup"])),
        "lr_plain": rates(plain, len(arrays["out.lr_plain"])),
    }
