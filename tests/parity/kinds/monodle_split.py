"""The frame ids of the standard splits, in the order of the published lists."""

from pathlib import Path

import numpy as np

from g3d.data.kitti.splits import standard_split


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    names = [name.removeprefix("out.") for name in arrays if name.startswith("out.")]
    return {f"out.{name}": np.array([int(frame) for frame in standard_split(name)], np.int32) for name in names}
