"""The learning rate of every epoch of a training with the preset's warm-up and decay rate."""

import json
import re
from pathlib import Path

import numpy as np
from support.rates import rates

from g3d import config as presets
from g3d.config import OptimConfig
from parity.describe import DescriptionError, stated, stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    epochs = int(stated_number(case["ran"], r"\b# epochs\b", "ran"))
    if epochs != len(arrays["out.lr"]):
        raise DescriptionError(f"ran: {epochs} epochs, but out.lr has {len(arrays['out.lr'])}")
    optim = optim_config(case["ran"])
    return {"lr": rates(optim, epochs)}


def optim_config(text: str) -> OptimConfig:
    """Return the preset's optimiser with the rate, the decay epochs and the warm-up (or none) that a text states.

    The length and the start of the warm-up and the factor of the decay are the preset's: no case states them.
    """
    (decays,) = stated(text, r"\bdecay_list (\[[\d, ]*\])", "ran")
    values = {
        "lr": stated_number(text, r"\blr #", "ran"),
        "decay_epochs": tuple(json.loads(decays)),
    }
    if re.search(r"\b(?:no|without) warm-?up\b", text) or not re.search(r"\bwarm-?up\b", text):
        values["warmup_epochs"] = 0
    return presets.load("jln").optim.model_copy(update=values)
