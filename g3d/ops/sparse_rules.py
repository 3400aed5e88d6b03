"""Rules of sparse convolution over kernels/sparse_rules.py: submanifold kernels of odd size, and the kernel of size 2
with stride 2."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import sparse_rules as kernel
from g3d.kernels.voxelize import packing
from g3d.ops.registry import Operator
from g3d.ops.voxelize import voxelize


class Rules(NamedTuple):
    """The pairs of input and output rows at each of a kernel's K offsets, as tables by output and by input.

    Args:
        neighbours: (K, V_out) int32: the input row at offset k of an output site, or -1 if there is none.
        order: (V_out,) int32: the output row of each column of `neighbours`.
        back_neighbours: (K, V_in) int32: the output row that an input site contributes to, or -1 if there is none.
        back_order: (V_in,) int32: the input row of each column of `back_neighbours`.
        mirrored: True if row k of `back_neighbours` belongs to offset K - 1 - k, as in a submanifold kernel, where both
            tables are the same.
    """

    neighbours: Tensor
    order: Tensor
    back_neighbours: Tensor
    back_order: Tensor
    mirrored: bool

    def inverse(self) -> Rules:
        """Return the rules of the inverse convolution, from this one's output sites to its input sites."""
        return Rules(self.back_neighbours, self.back_order, self.neighbours, self.order, self.mirrored)


def site_order(sites: Tensor) -> Tensor:
    """Return the rows of distinct sites sorted by ascending (batch, x, y, z).

    Args:
        sites: (V, 4) int32.

    Returns:
        (V,) int32.

    Raises:
        ValueError: the shape or dtype is wrong, a site occurs twice, or the range of the sites does not fit into 62
            bits.
    """
    _check_sites(sites)
    return _order(sites)


def submanifold_rules(sites: Tensor, kernel_size: tuple[int, int, int], order: Tensor | None = None) -> Rules:
    """Return the rules of a submanifold convolution: output sites equal input sites, offsets are -(k // 2) to k // 2.

    Args:
        sites: (V, 4) int32, (batch, x, y, z), all distinct.
        kernel_size: odd sizes in x, y and z.
        order: the result of site_order(sites) if already computed.

    Raises:
        ValueError: the shape, dtype or kernel size is wrong, or a site occurs twice.

    Source: Graham et al. 2018, "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks", section 3.
    """
    _check_sites(sites)
    if any(size < 1 or size % 2 == 0 for size in kernel_size):
        raise ValueError(f"kernel_size: expected odd numbers, found {kernel_size}")
    order = site_order(sites) if order is None else order
    table = _submanifold(sites, order, *kernel_size)
    return Rules(table, order, table, order, mirrored=True)


def strided_rules(
    sites: Tensor, spatial_shape: tuple[int, int, int], order: Tensor | None = None
) -> tuple[Tensor, Rules]:
    """Return coarse sites and rules of a convolution of size 2, stride 2, no padding: p is offset p % 2 of site p // 2.

    The coarse grid has floor(S / 2) cells per axis: the last plane of an odd axis has no coarse site, as in spconv.
    Coarse sites are numbered by their first fine site.

    Args:
        sites: (V, 4) int32, (batch, x, y, z), all distinct, inside the grid.
        spatial_shape: size of the fine grid in x, y and z.
        order: the result of site_order(sites) if already computed.

    Returns:
        The coarse sites, (V_out, 4) int32, and the rules.

    Raises:
        ValueError: the shape or dtype is wrong, or a site occurs twice.
    """
    _check_sites(sites)
    order = site_order(sites) if order is None else order
    halves = torch.cat([sites[:, :1], sites[:, 1:] // 2], 1)
    fine = (halves[:, 1:] < halves.new_tensor([size // 2 for size in spatial_shape])).all(1).nonzero()[:, 0]
    coarse = voxelize(halves[fine])
    coarse_order = site_order(coarse.sites)
    offset = (sites[fine, 1:] % 2 * sites.new_tensor([4, 2, 1])).sum(1)
    neighbours = sites.new_full((8, len(coarse_order)), -1)
    neighbours[offset, _position(coarse_order)[coarse.point_to_voxel]] = fine.int()
    back = sites.new_full((8, len(order)), -1)
    back[offset, _position(order)[fine]] = coarse.point_to_voxel.int()
    return coarse.sites, Rules(neighbours, coarse_order, back, order, mirrored=False)


def _position(order: Tensor) -> Tensor:
    """Return the inverse of a permutation as int64."""
    position = torch.empty_like(order, dtype=torch.int64)
    position[order.long()] = torch.arange(len(order), device=order.device)
    return position


def _check_sites(sites: Tensor) -> None:
    if sites.dim() != 2 or sites.shape[1] != 4 or sites.dtype != torch.int32 or sites.shape[0] >= 2**31:
        raise ValueError(f"sites: expected int32 (V, 4), found {sites.dtype} {tuple(sites.shape)}")


def _order_cpu(sites: Tensor) -> Tensor:
    lowest, steps = packing(sites)
    order = torch.empty(sites.shape[0], dtype=torch.int32)
    span = (int(sites[:, 0].max()) - lowest[0] + 1) * steps[0] if len(sites) else 1
    how = np.array(lowest, np.int64), np.array(steps, np.int64), (span - 1).bit_length()
    repeated = kernel.sort_sites(sites.contiguous().numpy(), *how, order.numpy())
    if repeated >= 0:
        kernel.refuse_repeated(sites, order, repeated)
    return order


def _submanifold_cpu(sites: Tensor, order: Tensor, size_x: int, size_y: int, size_z: int) -> Tensor:
    table = torch.empty((size_x * size_y * size_z, len(order)), dtype=torch.int32)
    radius = (size_x // 2, size_y // 2, size_z // 2)
    if len(order):
        lowest, steps, reach = (np.array(numbers, np.int64) for numbers in (*packing(sites, radius), radius))
        kernel.find_neighbours(
            sites.contiguous().numpy(), order.contiguous().numpy(), lowest, steps, reach, table.numpy()
        )
    return table


def _example() -> tuple[Tensor]:
    return (
        torch.randint(0, 9, (300, 4), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
        .unique(dim=0)
        .flip(0),
    )


_order = Operator(
    "site_order",
    reference=kernel.order_reference,
    cpu=_order_cpu,
    cuda=None,
    fake=lambda sites: sites.new_empty(sites.shape[0]),
    example=_example,
)
_submanifold = Operator(
    "submanifold_neighbours",
    reference=kernel.reference,
    cpu=_submanifold_cpu,
    cuda=None,
    fake=lambda sites, order, size_x, size_y, size_z: sites.new_empty(size_x * size_y * size_z, order.shape[0]),
    example=lambda: (*_example(), kernel.order_reference(*_example()), 3, 3, 3),
)
