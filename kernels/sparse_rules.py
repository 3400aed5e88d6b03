"""Rules of sparse convolution: the pairs of input and output rows at each offset of the kernel.

Sites (batch, x, y, z) are processed in ascending order, in which neighbours are close in memory. The result is a table
(K offsets, V sites in that order) of input rows, -1 where there is no site. Offsets are row-major over (x, y, z), as in
a dense kernel. Because the sites are sorted, one linear pass finds the neighbours of a line of z offsets; no hash table
is needed.

Shapes: V sites, K = kx * ky * kz offsets.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange
from g3d.kernels.voxelize import packed, packing

BLOCK = 2048  # consecutive sites per work item of a thread


def order_reference(sites: Tensor) -> Tensor:
    """Return the rows int32 (V,) of sites int32 (V, 4) by ascending (batch, x, y, z), in plain PyTorch.

    Raises:
        ValueError: a site occurs twice.
    """
    keys, order = packed(sites, *packing(sites)).sort(stable=True)
    again = (keys[1:] == keys[:-1]).nonzero()
    if len(again):
        refuse_repeated(sites, order, int(again[0]))
    return order.int()


def refuse_repeated(sites: Tensor, order: Tensor, position: int) -> None:
    """Raise the ValueError for equal sites at `position` and position + 1 of the order."""
    first, second = int(order[position]), int(order[position + 1])
    raise ValueError(
        f"sites: rows {first} and {second} are the same site {tuple(sites[first].tolist())}; voxelize() "
        f"gives distinct ones"
    )


def reference(sites: Tensor, order: Tensor, size_x: int, size_y: int, size_z: int) -> Tensor:
    """Return the table int32 (K, V) of a submanifold kernel from sites int32 (V, 4) and order int32 (V,), in plain
    PyTorch."""
    radius = (size_x // 2, size_y // 2, size_z // 2)
    lowest, steps = packing(sites, radius)
    keys = packed(sites, lowest, steps)[order.long()]
    moves = [
        (x * steps[1] + y * steps[2] + z * steps[3])
        for x in _span(radius[0])
        for y in _span(radius[1])
        for z in _span(radius[2])
    ]
    table = []
    for move in moves:
        at = torch.searchsorted(keys, keys + move).clamp(max=max(len(keys) - 1, 0))
        table.append(torch.where(keys[at] == keys + move, order[at], -1))
    return torch.stack(table)


def _span(radius: int) -> range:
    return range(-radius, radius + 1)


@part()
def pack(site: np.ndarray, lowest: np.ndarray, steps: np.ndarray) -> int:
    key = np.int64(0)
    for axis in range(4):
        key += (np.int64(site[axis]) - lowest[axis]) * steps[axis]
    return key


@part()
def first_not_below(keys: np.ndarray, wanted: int) -> int:
    """Return the position of the first of the ascending keys that is at least `wanted`; the last key always is."""
    low, high = 0, keys.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel()
def sort_sites(sites: np.ndarray, lowest: np.ndarray, steps: np.ndarray, bits: int, order: np.ndarray) -> int:
    """Fill `order` (V,) by a radix sort of keys of `bits` bits; return the first position whose site equals the next
    one, or -1."""
    count = sites.shape[0]
    keys, moved_keys = np.empty(count, np.int64), np.empty(count, np.int64)
    rows, moved_rows = np.empty(count, np.int32), np.empty(count, np.int32)
    for n in range(count):
        keys[n], rows[n] = pack(sites[n], lowest, steps), n
    starts = np.empty(2048, np.int64)
    for shift in range(0, bits, 11):
        starts.fill(0)
        for n in range(count):
            starts[(keys[n] >> shift) & 2047] += 1
        total = 0
        for digit in range(2048):
            starts[digit], total = total, total + starts[digit]
        for n in range(count):
            digit = (keys[n] >> shift) & 2047
            to = starts[digit]
            starts[digit] += 1
            moved_keys[to], moved_rows[to] = keys[n], rows[n]
        keys, moved_keys, rows, moved_rows = moved_keys, keys, moved_rows, rows
    repeated = -1
    for n in range(count - 1, -1, -1):
        order[n] = rows[n]
        if n + 1 < count and keys[n] == keys[n + 1]:
            repeated = n
    return repeated


@kernel(parallel=True)
def find_neighbours(
    sites: np.ndarray, order: np.ndarray, lowest: np.ndarray, steps: np.ndarray, radius: np.ndarray, table: np.ndarray
) -> None:
    """Fill `table` (K, V). `lowest` and `steps` pack with a margin of `radius`, so that the key of a moved site never
    equals that of a different site."""
    count = order.shape[0]
    keys = np.empty(count + 1, np.int64)
    keys[count] = np.iinfo(np.int64).max
    for j in prange(count):
        keys[j] = pack(sites[order[j]], lowest, steps)
    size_y, size_z = 2 * radius[1] + 1, 2 * radius[2] + 1
    for block in prange((count + BLOCK - 1) // BLOCK):
        begin, end = block * BLOCK, min(count, (block + 1) * BLOCK)
        for line in range((2 * radius[0] + 1) * size_y):
            move = (
                (line // size_y - radius[0]) * steps[1] + (line % size_y - radius[1]) * steps[2] - radius[2] * steps[3]
            )
            at = first_not_below(keys, keys[begin] + move)
            for j in range(begin, end):
                wanted = keys[j] + move
                while keys[at] < wanted:
                    at += 1
                ahead = at
                for z in range(size_z):
                    found = keys[ahead] == wanted + z
                    table[line * size_z + z, j] = order[min(ahead, count - 1)] if found else -1
                    ahead += found
