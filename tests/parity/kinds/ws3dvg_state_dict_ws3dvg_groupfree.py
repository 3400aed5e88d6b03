"""WS-3DVG's manifest with Group-Free 3D: every official name is loaded or is a second name of one that is."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.ws3dvg.model import WS3DVG
from g3d.systems.ws3dvg.model_config import ModelConfig
from g3d.systems.ws3dvg.official import import_official, vocabulary_size
from parity.check import Check
from parity.weights import filled_state

GROUPFREE = {"detector": "groupfree"}
VOTENET = {"detector": "votenet", "channels": 128, "input_features": 1}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    return checks(case, folder, GROUPFREE)


def checks(case: dict, folder: Path, settings: dict) -> dict[str, Check]:
    """Return the checks of a manifest, loaded as a bare state dict and as a published checkpoint."""
    state = filled_state(case, folder)
    second = {name: entry["alias_of"] for name, entry in case["manifest"].items() if "alias_of" in entry}
    left, apart, unequal = set(), set(), set()
    for checkpoint in (state, {"epoch": 20, "model_state_dict": {f"module.{n}": v for n, v in state.items()}}):
        network = WS3DVG(ModelConfig(**settings, vocabulary=vocabulary_size(checkpoint)))
        report = import_official(checkpoint, network)
        own = network.state_dict()
        left |= set(state) - set(report.taken) - set(report.ignored)
        apart |= (set(own) ^ set(report.taken)) | (set(report.ignored) ^ set(second)) | set(report.fresh)
        unequal |= {name for name, value in state.items() if not torch.equal(own[second.get(name, name)], value)}
    return {
        "left": Check(f"entries left over of {len(state)}", len(left), "none", not left),
        "names": Check("names", len(apart), "the network's are the loaded ones, aliases the ignored ones", not apart),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
    }
