"""Image -> every head and the neck's output, in evaluation mode."""

from pathlib import Path

import numpy as np
import torch

from parity.describe import stored_part
from parity.kinds.monodle import filled_model, seeded_image, summary


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    model = filled_model(case, folder).eval()
    with torch.inference_mode():
        maps = {name: value.numpy() for name, value in model.maps(seeded_image(arrays)).items()}
    maps["feat"] = maps.pop("features")
    found = {}
    for name, value in maps.items():
        if f"out.{name}" in arrays:
            found[name] = value[stored_part(case, f"out.{name}", value.shape, arrays[f"out.{name}"].shape)]
            found[f"{name}.stats"] = summary(value)
    return found
