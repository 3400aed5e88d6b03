"""ENet: a picture -> features, with filled or with the published weights."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from support.fill import fill_state_dict

from g3d.nn.enet import ENet, import_enet, load_enet, normalise
from parity.check import Check, compare

REAL = Path("data/real/scannet/enet/scannetv2_enet.pth")


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    network = _network(case, folder)
    means: list[float] = []
    for part in network.bottlenecks:
        part.register_forward_hook(lambda _module, _inputs, output: means.append(output.mean().item()))
    with torch.inference_mode():
        features = network(normalise(torch.from_numpy(arrays["in.image"])[None]))[0]
    found = {
        "features_s4": features[::4],
        "features_mean": features.mean((1, 2)),
        "features_std": features.std((1, 2)),
        "block_out_mean": torch.tensor(means),
    }
    relative, absolute = (float(re.search(rf"{word} (\S+)", case["tolerance"])[1]) for word in ("rtol", "atol"))
    return {
        name: compare(f"out.{name}", value.numpy(), arrays[f"out.{name}"], absolute, relative)
        for name, value in found.items()
    }


def _network(case: dict, folder: Path) -> ENet:
    if "manifest" not in case:
        return load_enet(folder.parents[1] / REAL)
    filled = fill_state_dict(json.loads((folder / case["manifest"]).read_text()), case["gain"], case["salt"])
    network = ENet().eval()
    import_enet({name: torch.from_numpy(values) for name, values in filled.items()}, network)
    return network
