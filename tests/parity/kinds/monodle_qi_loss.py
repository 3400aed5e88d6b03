"""The quasi-isometric loss alone, on sets of descriptors and depths."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.monodle.config import QuasiIsometricConfig
from g3d.systems.monodle.losses import bound_violations, quasi_isometric_loss
from parity.describe import meaning_of, stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for name in (n for n in arrays if n.startswith("in.") and n.endswith(".x")):
        number = name.split(".")[1]
        x = torch.from_numpy(arrays[name]).requires_grad_()
        depth = torch.from_numpy(arrays[f"in.{number}.depth"])[:, 0]
        slope, offset, radius = arrays[f"in.{number}.KBrad"].tolist()
        meaning, where = meaning_of(case, f"out.{number}.loss"), f"out.{number}.loss"
        config = QuasiIsometricConfig(
            K=slope,
            B=offset,
            radius=radius,
            weight=stated_number(meaning, r"\b# \* quasi-isometric loss", where),
            temperature=stated_number(meaning, r"\btemperature #", where),
        )
        loss = config.weight * quasi_isometric_loss(x, depth, config)
        loss.backward()
        upper, lower, pairs = bound_violations(x.detach(), depth, config)
        assert x.grad is not None
        found |= {
            f"{number}.loss": loss.detach().numpy(),
            f"{number}.grad": x.grad.numpy(),
            f"{number}.upper_lower_pairs": np.array([len(upper), len(lower), pairs]),
        }
    return found
