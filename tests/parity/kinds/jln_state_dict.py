"""The manifest of official names: a checkpoint of it is loaded whole, with nothing left over, and comes out as it went
in."""

from pathlib import Path
from typing import Any

import numpy as np

from g3d import config as presets
from g3d.systems.jln.model import JLN
from g3d.systems.jln.official import import_official, our_name
from parity.check import Check
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    state = filled_state(case, folder)
    config: Any = presets.load("jln")
    model = JLN(config.model, config.text)
    wrapper = {"epoch": 74, "optimizer_state": {}, "best_result": np.float64(1), "best_epoch": 70}
    report = import_official(
        {"model_state": {f"module.{name}": value for name, value in state.items()}, **wrapper}, model
    )
    own = model.state_dict()
    unequal = [name for name in report.taken if not np.array_equal(own[our_name(name)].numpy(), state[name].numpy())]
    left = set(state) - set(report.taken) - set(report.ignored)
    surplus = set(own) - {our_name(name) for name in report.taken} - set(report.fresh)
    said = f"{len(report.taken)} of {len(state)} names loaded, {len(report.ignored)} ignored with reasons"
    return {
        "consumed": Check(said, len(left), "every name loaded or ignored with a reason", not left),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
        "names": Check(
            "names of the network", len(surplus), "the manifest's", not surplus, f"besides {', '.join(report.fresh)}"
        ),
    }
