"""WS-3DVG's manifest with VoteNet: every official name is loaded, every entry gets a value."""

from pathlib import Path

import numpy as np

from parity.check import Check
from parity.kinds.ws3dvg_state_dict_ws3dvg_groupfree import VOTENET, checks


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    return checks(case, folder, VOTENET)
