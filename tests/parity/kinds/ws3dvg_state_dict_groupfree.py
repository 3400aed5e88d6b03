"""Group-Free 3D's manifest: every official name is loaded or is a second name, and every entry gets a value."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.groupfree.config import ModelConfig
from g3d.systems.groupfree.model import build
from g3d.systems.groupfree.official import import_official
from parity.check import Check
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    state = filled_state(case, folder)
    network = build(ModelConfig())
    report = import_official({"model": {f"module.{name}": value for name, value in state.items()}}, network)
    own = network.state_dict()
    second = {name: entry["alias_of"] for name, entry in case["manifest"].items() if "alias_of" in entry}
    left = set(state) - set(report.taken) - set(report.ignored)
    apart = (set(own) ^ set(report.taken)) | (set(report.ignored) ^ set(second)) | set(report.fresh)
    unequal = [name for name, value in state.items() if not torch.equal(own[second.get(name, name)], value)]
    return {
        "left": Check(f"entries left over of {len(state)}", len(left), "none", not left),
        "names": Check("names", len(apart), "the network's are the loaded ones, aliases the ignored ones", not apart),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
    }
