"""The wrapper of published checkpoints: numbers of numpy's beside the weights."""

from pathlib import Path

import numpy as np
import torch

from g3d.engine.checkpoint import read_raw
from parity.check import Check, compare


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    content = read_raw(folder / f"{case['case']}.pth")
    numbers = {
        name: compare(name, np.asarray(content[name]), np.asarray(case[name]))
        for name in ("epoch", "best_result", "best_epoch")
    }
    tensors = content["model_state"]
    names = Check(
        "names", len(set(tensors) ^ set(case["model_state"])), "exact", list(tensors) == list(case["model_state"])
    )
    values = {
        name: compare(name, tensors[name].numpy(), torch.tensor(value).numpy())
        for name, value in case["model_state"].items()
    }
    return {"names": names, **numbers, **values}
