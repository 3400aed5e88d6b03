"""VoteNet's manifest: every official name is loaded, and every entry of the network gets a value."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.votenet.config import ModelConfig
from g3d.systems.votenet.model import build
from g3d.systems.votenet.official import import_official
from parity.check import Check
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    state = filled_state(case, folder)
    network = build(ModelConfig())
    report = import_official({"model_state_dict": state}, network)
    own = network.state_dict()
    left = set(state) - set(report.taken)
    apart = (set(own) ^ set(report.taken)) | set(report.ignored) | set(report.fresh)
    unequal = [name for name in state if not torch.equal(own[name], state[name])]
    return {
        "left": Check(f"entries left over of {len(state)}", len(left), "none", not left),
        "names": Check("names", len(apart), "the network's and the manifest's are the same", not apart),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
    }
