"""Resize and crop a colour picture to the size of the stored result."""

from pathlib import Path

import numpy as np

from g3d.data.scannet.multiview import fit_picture


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    height, width = arrays["out.resized"].shape[:2]
    return {"resized": fit_picture(arrays["in.source"], (width, height))}
