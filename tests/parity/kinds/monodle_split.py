"""The frame ids of the standard splits, in the order of the published lists."""

import hashlib
from pathlib import Path

import numpy as np

from g3d.data.kitti.splits import standard_split
from parity.check import Check


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    names = [name.removeprefix("out.") for name in arrays if name.startswith("out.")]
    found: dict[str, np.ndarray | Check] = {}
    for name in names:
        frames = [int(frame) for frame in standard_split(name)]
        found[f"out.{name}"] = np.array(frames, np.int32)
    for name, expected in case.get("sha256_of_lines_%06d_LF", {}).items():
        lines = "".join(f"{int(frame):06d}\n" for frame in standard_split(name))
        same = hashlib.sha256(lines.encode()).hexdigest() == expected
        found[f"sha256 {name}"] = Check(f"sha256 of {name}", float(not same), "equal", same)
    return found
