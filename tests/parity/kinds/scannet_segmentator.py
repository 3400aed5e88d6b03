"""Segment a scan's mesh into superpoints, compared as partitions.

The arrays' names state the threshold and the smallest size.
"""

import re
from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.mesh import read_mesh
from g3d.ops.mesh_segments import mesh_segments
from parity.describe import DescriptionError
from parity.kinds.scannet import by_appearance, made_files


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    mesh = read_mesh(made_files(case, folder).mesh)
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    found = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        setting = re.fullmatch(r"k([\d.]+)_m(\d+)", name)
        if setting is None:
            raise DescriptionError(f"out.{name}: expected a name such as k0.01_m20 (threshold, minimum of vertices)")
        found[name] = by_appearance(mesh_segments(vertices, faces, float(setting[1]), int(setting[2])).numpy())
    return found
