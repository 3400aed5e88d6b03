"""A colour picture, resized and cropped to what ENet sees."""

from pathlib import Path

import numpy as np

from g3d.data.scannet.multiview import COLOUR_SIZE, fit_picture


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    return {"resized": fit_picture(arrays["in.source"], COLOUR_SIZE)}
