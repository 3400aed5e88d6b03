"""A manifest of official names: each is loaded into a network of the same names and shapes, and comes back out."""

from pathlib import Path

import numpy as np

from g3d.systems.monodle.official import import_official
from parity.check import Check
from parity.kinds.monodle import model_like
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    state = filled_state(case, folder)
    model = model_like(state)
    report = import_official({f"module.{name}": value for name, value in state.items()}, model)
    own = model.state_dict()
    unequal = [name for name in report.taken if not np.array_equal(own[name].numpy(), state[name].numpy())]
    left = set(state) - set(report.taken) - set(report.ignored)
    surplus = set(own) - set(report.taken)
    loaded = f"{len(report.taken)} of {len(state)} names loaded"
    return {
        "consumed": Check(loaded, len(left), "every name loaded or ignored with a reason", not left),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
        "names": Check("names of the network", len(surplus), "the manifest's", not surplus),
    }
