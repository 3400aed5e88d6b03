"""A made-up scan to measure point operators on: the surfaces of a furnished room, sampled like a depth camera's merged
frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ROOM = (8.0, 6.0, 2.6)
FURNITURE = 25
NOISE = 0.005


def room(points: int, seed: int) -> Tensor:
    """(N, 3) float32, metres, z up: floor, walls and 25 boxes of furniture, each point drawn by area, with 5 mm of
    Gaussian noise."""
    rng = np.random.default_rng(seed)
    size = rng.uniform((0.4, 0.4, 0.4), (1.6, 1.0, 1.2), (FURNITURE, 3))
    low = np.concatenate([rng.uniform(0, 1, (FURNITURE, 2)) * (ROOM[:2] - size[:, :2]), np.zeros((FURNITURE, 1))], 1)
    origins, first_edges, second_edges = [], [], []
    for corner, extent, top in [
        (np.zeros(3), np.array(ROOM), False),
        *((low[i], size[i], True) for i in range(FURNITURE)),
    ]:
        edges = np.diag(extent)
        far = corner + extent
        floor_or_top = corner + edges[2] if top else corner
        origins += [floor_or_top, corner, corner, far - edges[0] - edges[2], far - edges[1] - edges[2]]
        first_edges += [edges[0], edges[0], edges[1], edges[0], edges[1]]
        second_edges += [edges[1], edges[2], edges[2], edges[2], edges[2]]
    origin, first, second = np.array(origins), np.array(first_edges), np.array(second_edges)
    area = np.linalg.norm(np.cross(first, second), axis=1)
    face = rng.choice(len(area), points, p=area / area.sum())
    u, v = rng.uniform(0, 1, (2, points, 1))
    cloud = origin[face] + u * first[face] + v * second[face] + rng.normal(0, NOISE, (points, 3))
    return torch.from_numpy(cloud.astype(np.float32))
