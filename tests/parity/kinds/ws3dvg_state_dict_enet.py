"""ENet's manifest: every official name is loaded, and nothing of the network is left without a value."""

from pathlib import Path

import numpy as np
import torch
from support.fill import fill_state_dict

from g3d.nn.enet import ENet, import_enet, published_name
from parity.check import Check


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    manifest = case["manifest"]
    state = {name: torch.from_numpy(values) for name, values in fill_state_dict(manifest).items()}
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
