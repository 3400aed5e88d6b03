"""Voxelisation: the occupied cells of a grid and the points in each of them.

A site is four integers, (batch, x, y, z). Voxels are numbered by their first point; the points of a voxel keep their
order.

Shapes: N points, V voxels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel

_BITS = 62  # bits of a packed site


def packing(sites: Tensor, margin: tuple[int, int, int] = (0, 0, 0)) -> tuple[list[int], list[int]]:
    """Return `lowest` and `steps` that pack each site into one int64 that sorts like (batch, x, y, z).

    The packed site is the sum of (site - lowest) * step over the columns. `margin` is added on both sides of x, y and
    z, so that a site moved by up to that much still packs to a unique number.

    Raises:
        ValueError: the range of the sites does not fit into 62 bits.
    """
    if sites.shape[0] == 0:
        return [0] * 4, [1] * 4
    lowest, highest = sites.amin(0).tolist(), sites.amax(0).tolist()
    steps, span = [1] * 4, 1
    for axis in (3, 2, 1, 0):
        room = margin[axis - 1] if axis else 0
        steps[axis] = span
        span *= highest[axis] - lowest[axis] + 1 + 2 * room
        lowest[axis] -= room
    if span > 1 << _BITS:
        extent = [high - low + 1 for low, high in zip(sites.amin(0).tolist(), sites.amax(0).tolist(), strict=True)]
        raise ValueError(
            f"sites: expected (batch, x, y, z) within {_BITS} bits, found extents {extent}; are there outliers?"
        )
    return lowest, steps


def packed(sites: Tensor, lowest: list[int], steps: list[int]) -> Tensor:
    """Pack sites (N, 4) to int64 (N,)."""
    return (
        (sites.long() - sites.new_tensor(lowest, dtype=torch.int64)) * sites.new_tensor(steps, dtype=torch.int64)
    ).sum(1)


def reference(sites: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, for int32 sites (N, 4), the voxels' sites (V, 4), the voxel of each point (N,), the points grouped by
    voxel (N,) and their offsets (V + 1,), in plain PyTorch."""
    keys = packed(sites, *packing(sites))
    found, inverse = keys.unique(return_inverse=True)
    first = inverse.new_full(found.shape, sites.shape[0]).scatter_reduce_(
        0, inverse, torch.arange(len(keys), device=keys.device), "amin"
    )
    by_appearance = first.argsort()
    number = torch.empty_like(by_appearance)
    number[by_appearance] = torch.arange(len(found), device=keys.device)
    voxel = number[inverse]
    counts = torch.zeros_like(first).index_add_(0, voxel, torch.ones_like(voxel))
    return (
        sites[first[by_appearance]],
        voxel,
        voxel.argsort(stable=True),
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
    )


@kernel()
def number_voxels(
    sites: np.ndarray,
    lowest: np.ndarray,
    steps: np.ndarray,
    table: np.ndarray,
    keys: np.ndarray,
    found: np.ndarray,
    voxel: np.ndarray,
) -> int:
    """Fill the first V rows of `found` (N, 4) and `voxel` (N,); return V.

    `table` (its length is a power of two above N) is an open-addressing hash table of voxel numbers, -1 when free;
    `keys` (N,) is a buffer for their packed sites.
    """
    mask = table.shape[0] - 1
    bits = 0
    while (1 << bits) <= mask:
        bits += 1
    shift = np.uint64(64 - bits)
    count = 0
    for n in range(sites.shape[0]):
        key = np.int64(0)
        for axis in range(4):
            key += (np.int64(sites[n, axis]) - lowest[axis]) * steps[axis]
        slot = np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> shift)  # Fibonacci hashing
        while True:
            here = table[slot]
            if here < 0:
                table[slot] = count
                keys[count] = key
                for axis in range(4):
                    found[count, axis] = sites[n, axis]
                voxel[n] = count
                count += 1
                break
            if keys[here] == key:
                voxel[n] = here
                break
            slot = (slot + 1) & mask
    return count


@kernel()
def points_by_voxel(voxel: np.ndarray, offsets: np.ndarray, points: np.ndarray) -> None:
    """Fill `offsets` (V + 1,) and `points` (N,): the points of voxel v are points[offsets[v]:offsets[v + 1]], in
    ascending order."""
    offsets[:] = 0
    for n in range(voxel.shape[0]):
        offsets[voxel[n] + 1] += 1
    for v in range(offsets.shape[0] - 1):
        offsets[v + 1] += offsets[v]
    for n in range(voxel.shape[0]):  # moves each voxel's offset to the voxel's end ...
        points[offsets[voxel[n]]] = n
        offsets[voxel[n]] += 1
    for v in range(offsets.shape[0] - 1, 0, -1):  # ... which is the start of the next voxel
        offsets[v] = offsets[v - 1]
    offsets[0] = 0
