"""ENet's manifest: every official name is loaded, and every entry of the network gets a value."""

from pathlib import Path

import numpy as np
import torch

from g3d.nn.enet import ENet, import_enet, published_name
from parity.check import Check
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    state = filled_state(case, folder)
    network = ENet()
    import_enet(state, network)
    own = {
        published: value for name, value in network.state_dict().items() if (published := published_name(name, network))
    }
    unequal = [name for name in state if name in own and not torch.equal(own[name], state[name])]
    apart = set(own) ^ set(state)
    return {
        "names": Check(f"{len(state)} names", len(apart), "the network's and the manifest's are the same", not apart),
        "equal": Check("values after loading", len(unequal), "exact", not unequal),
    }
