"""Clouds that the tests of the point operators share: drawn, degenerate and real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from support import paths

SCANS = paths.REAL / "scannet"
SCENES = ("scene0000_00", "scene0001_00", "scene0002_00")
DRAWN = ("uniform", "surfaces", "lattice", "equal", "line", "far", "tiny", "clusters")


def drawn(kind: str, count: int, seed: int = 0) -> Tensor:
    """(N, 3) float32 of one kind of DRAWN; those beyond the first two are hard on cells, boxes or ties."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 3, generator=draw)
    if kind == "surfaces":
        axis = torch.randint(0, 3, (count, 1), generator=draw)
        return points.scatter(1, axis, points.gather(1, axis).round()) * torch.tensor([4.0, 3.0, 2.0])
    if kind == "lattice":  # many equal distances, many equal points
        return (points * 6).round() / 4 - 0.5
    if kind == "equal":
        return points[:1].expand(count, 3)
    if kind == "line":
        return points[:, :1] * torch.tensor([1.0, 0.0, 0.0])
    if kind == "far":  # float32 resolves 0.06 here
        return points + 1e6
    if kind == "tiny":
        return points * 1e-20
    if kind == "clusters":  # cells of one size are all but empty or overfull
        return points * 1e-3 + torch.randint(0, 3, (count, 1), generator=draw) * 1e3
    return points


def real_scan(name: str) -> Tensor:
    """(50000, 3) float32, metres: a scan as VoteNet prepares it; skips the test where it is not."""
    file = SCANS / "votenet_npy" / f"{name}_vert.npy"
    if not file.is_file():
        pytest.skip("the real ScanNet sample is not here")
    return torch.from_numpy(np.load(file)[:, :3].astype(np.float32))


def ragged(clouds: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Points (T, 3) and offsets (B + 1,) of clouds."""
    return torch.cat(clouds), torch.tensor([0, *(len(cloud) for cloud in clouds)]).cumsum(0)
