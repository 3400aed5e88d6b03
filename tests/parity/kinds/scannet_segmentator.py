"""The made scene's mesh -> superpoints, as partitions, for the thresholds and smallest sizes that the arrays' names
state."""

import re
from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.mesh import read_mesh
from g3d.ops.mesh_segments import mesh_segments

SCENE = Path("data/made/scannet/scans/scene0900_00/scene0900_00_vh_clean_2.ply")


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    mesh = read_mesh(folder.parents[1] / SCENE)
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    found = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        setting = re.fullmatch(r"k([\d.]+)_m(\d+)", name)
        assert setting, name
        found[name] = _by_appearance(mesh_segments(vertices, faces, float(setting[1]), int(setting[2])).numpy())
    return found


def _by_appearance(labels: np.ndarray) -> np.ndarray:
    """Numbered in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse]
