"""Image -> every head and the neck's output, in evaluation mode."""

import re
from pathlib import Path

import numpy as np
import torch

from parity.kinds.monodle import filled_model, seeded_image, summary


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    model = filled_model(case, folder).eval()
    with torch.inference_mode():
        maps = {name: value.numpy() for name, value in model.maps(seeded_image(arrays)).items()}
    maps["feat"] = maps.pop("features")
    found = {}
    for name, value in maps.items():
        if f"out.{name}" in arrays:
            step = _stride(case, arrays, name, value.shape)
            found[name] = value[:, :, ::step, ::step]
            found[f"{name}.stats"] = summary(value)
    return found


def _stride(case: dict, arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> int:
    """Every how many cells a case stores: as it says, otherwise from the sizes."""
    said = re.search(r"::(\d+),\s*::\1\]", case.get("arrays", {}).get(f"out.{name}", {}).get("meaning", ""))
    return int(said[1]) if said else max(1, round(shape[-1] / arrays[f"out.{name}"].shape[-1]))
