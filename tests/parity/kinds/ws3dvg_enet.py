"""ENet: a picture -> features, with filled or with the published weights."""

import hashlib
import re
from pathlib import Path

import numpy as np
import torch
from support import paths

from g3d.nn.enet import MEAN, STD, ENet, import_enet, load_enet, normalise
from parity.check import Check, compare
from parity.describe import DescriptionError, stated, stated_number
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    check_preprocessing(case["settings"])
    network = _network(case, folder)
    means: list[float] = []
    for part in network.bottlenecks:
        part.register_forward_hook(lambda _module, _inputs, output: means.append(output.mean().item()))
    with torch.inference_mode():
        features = network(normalise(torch.from_numpy(arrays["in.image"])[None]))[0]
    found = {
        "features_mean": features.mean((1, 2)),
        "features_std": features.std((1, 2)),
        "block_out_mean": torch.tensor(means),
    }
    for name in (name.removeprefix("out.") for name in arrays if name.startswith("out.features_s")):
        if step := re.fullmatch(r"features_s(\d+)", name):
            found[name] = features[:: int(step[1])]
    relative, absolute = (
        stated_number(case["tolerance"], rf"\b{word} #", f"tolerance, {word}") for word in ("rtol", "atol")
    )
    return {
        name: compare(f"out.{name}", value.numpy(), arrays[f"out.{name}"], absolute, relative)
        for name, value in found.items()
    }


def check_preprocessing(settings: dict) -> None:
    """Raise unless the case normalises pictures as the network's `normalise` does (RGB, the published mean and std)."""
    if settings["channel_order"] != "RGB":
        raise DescriptionError(f"settings.channel_order: expected RGB, found {settings['channel_order']!r}")
    for name, ours in (("mean", MEAN), ("std", STD)):
        if not np.array_equal(np.float32(settings[name]), np.float32(ours)):
            raise DescriptionError(f"settings.{name}: expected the published {ours}, found {settings[name]}")


def published_weights(text: str, folder: Path) -> Path:
    """Return the file of published weights that a text names, for example "scannetv2_enet.pth of ..., sha256 ...".

    Args:
        text: names one .pth file, and may state its hash.
        folder: folder of the case; the file lies below `../../data/real`, or below the repository's shared samples.

    Raises:
        DescriptionError: the text names no file or several, no such file is there, or its hash is another one.
    """
    (name,) = stated(text, r"\b([\w-]+\.pth)\b", "published weights")
    roots = (folder.parent.parent / "data" / "real", paths.REAL)
    files = [file for root in roots if root.is_dir() for file in sorted(root.rglob(name))]
    if not files:
        raise DescriptionError(f"published weights: no file {name} below {' or '.join(map(str, roots))}")
    if "sha256" in text:
        (expected,) = stated(text, r"\bsha256 ([0-9a-f]{64})\b", "hash of the published weights")
        found = hashlib.sha256(files[0].read_bytes()).hexdigest()
        if found != expected:
            raise DescriptionError(f"published weights: {files[0]} has sha256 {found}, the case states {expected}")
    return files[0]


def _network(case: dict, folder: Path) -> ENet:
    if "manifest" not in case:
        return load_enet(published_weights(case["settings"]["weights"], folder))
    network = ENet().eval()
    import_enet(filled_state(case, folder), network)
    return network
