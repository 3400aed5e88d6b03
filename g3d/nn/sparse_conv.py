"""Sparse convolution layers: features on the occupied sites of a grid, without a dense grid.

The rules of a level are computed once and shared by its layers. Weights have the layout of spconv 2, so that its
checkpoints load.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from g3d.ops.sparse_conv import sparse_conv
from g3d.ops.sparse_rules import Rules, site_order, strided_rules, submanifold_rules

Size3 = tuple[int, int, int]


@dataclass(eq=False)
class SparseGrid:
    """The occupied sites of one level, and the rules that its layers share.

    Args:
        sites: (V, 4) int32, (batch, x, y, z), all distinct, inside the grid.
        spatial_shape: extent in x, y and z.
        batch_size: number of clouds.
        finer: the grid that this grid was strided from, and the rules from that grid to this one.
    """

    sites: Tensor
    spatial_shape: Size3
    batch_size: int
    finer: tuple[SparseGrid, Rules] | None = None
    _submanifold: dict[Size3, Rules] = field(default_factory=dict, init=False, repr=False)
    # weak: a cycle would keep the tables until the garbage collector runs
    _coarser: weakref.ref[SparseGrid] | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_coarser": None}  # weak references cannot be sent to another process

    @cached_property
    def order(self) -> Tensor:
        """The row numbers in ascending order of the sites, (V,) int32."""
        return site_order(self.sites)

    def submanifold(self, kernel_size: Size3) -> Rules:
        """Return the rules of a kernel of odd sizes on these sites."""
        if kernel_size not in self._submanifold:
            self._submanifold[kernel_size] = submanifold_rules(self.sites, kernel_size, self.order)
        return self._submanifold[kernel_size]

    def coarser(self) -> SparseGrid:
        """Return the grid of half the resolution; an odd axis loses its last plane.

        Every call returns the same object as long as it is referenced.
        """
        coarse = self._coarser() if self._coarser is not None else None
        if coarse is None:
            sites, rules = strided_rules(self.sites, self.spatial_shape, self.order)
            x, y, z = (size // 2 for size in self.spatial_shape)
            coarse = SparseGrid(sites, (x, y, z), self.batch_size, finer=(self, rules))
            coarse.__dict__["order"] = rules.order  # strided_rules computed it
            self._coarser = weakref.ref(coarse)
        return coarse


@dataclass(frozen=True)
class SparseTensor:
    """Features (V, C) on the sites of a grid."""

    features: Tensor
    grid: SparseGrid

    @classmethod
    def of(cls, features: Tensor, sites: Tensor, spatial_shape: Size3, batch_size: int) -> SparseTensor:
        """Return a tensor to start a chain of layers with, after checking the input.

        Args:
            features: (V, C) floating point.
            sites: (V, 4) integers, (batch, x, y, z), all distinct.
            spatial_shape: extent of the grid in x, y and z.
            batch_size: number of clouds.

        Raises:
            ValueError: shapes do not fit or a site lies outside the grid. A repeated site raises when rules are
                computed.
        """
        if sites.dim() != 2 or sites.shape[1] != 4 or sites.is_floating_point():
            raise ValueError(f"sites: expected integers (V, 4), found {sites.dtype} {tuple(sites.shape)}")
        if features.dim() != 2 or features.shape[0] != sites.shape[0]:
            raise ValueError(f"features: expected ({sites.shape[0]}, C), found {tuple(features.shape)}")
        outside = ((sites < 0) | (sites >= sites.new_tensor([batch_size, *spatial_shape]))).any(1).nonzero()
        if len(outside):
            row = int(outside[0])
            extent = (batch_size, *spatial_shape)
            raise ValueError(
                f"sites: expected 0 <= (batch, x, y, z) < {extent}, found {tuple(sites[row].tolist())} in row {row}"
            )
        return cls(features, SparseGrid(sites.int(), spatial_shape, batch_size))

    @property
    def sites(self) -> Tensor:
        return self.grid.sites

    @property
    def spatial_shape(self) -> Size3:
        return self.grid.spatial_shape

    @property
    def batch_size(self) -> int:
        return self.grid.batch_size

    def with_features(self, features: Tensor) -> SparseTensor:
        """Return a tensor with other features on the same sites, for example after a normalisation."""
        return replace(self, features=features)


class _SparseConvolution(nn.Module):
    """Base class: a weight [C_out, kx, ky, kz, C_in], the layout of spconv 2, without bias."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size3) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(out_channels, *kernel_size, in_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise uniformly within 1 / sqrt(fan-in), as torch's dense convolutions."""
        bound = 1 / math.sqrt(max(1, self.in_channels * math.prod(self.kernel_size)))
        nn.init.uniform_(self.weight, -bound, bound)

    def matrices(self) -> Tensor:
        """Return (K, C_in, C_out), one matrix for each kernel offset."""
        return self.weight.reshape(self.out_channels, -1, self.in_channels).permute(1, 2, 0)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


class SubMConv3d(_SparseConvolution):
    """Submanifold convolution: the output has the sites of the input.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: an odd number, or one for each of x, y and z.
        pointwise_reread: a kernel of one site computes y = x @ W.reshape(C_in, C_out), that is, it reinterprets the
            stored [C_out, 1, 1, 1, C_in] row by row instead of transposing it. spconv 2 does this, and its checkpoints
            were trained with it.

    Source: Graham et al. 2018; traveller59/spconv.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | Size3, pointwise_reread: bool = True
    ) -> None:
        size = (kernel_size,) * 3 if isinstance(kernel_size, int) else kernel_size
        super().__init__(in_channels, out_channels, size)
        self.pointwise_reread = pointwise_reread

    def forward(self, x: SparseTensor) -> SparseTensor:
        if self.kernel_size == (1, 1, 1):
            matrix = (
                self.weight.reshape(self.in_channels, self.out_channels)
                if self.pointwise_reread
                else self.matrices()[0]
            )
            return x.with_features(x.features @ matrix)
        return x.with_features(sparse_conv(x.features, self.matrices(), x.grid.submanifold(self.kernel_size)))


class SparseConv3d(_SparseConvolution):
    """Convolution of size 2 and stride 2 onto the grid of half the resolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 2, 2))

    def forward(self, x: SparseTensor) -> SparseTensor:
        coarse = x.grid.coarser()
        assert coarse.finer is not None
        return SparseTensor(sparse_conv(x.features, self.matrices(), coarse.finer[1]), coarse)


class SparseInverseConv3d(_SparseConvolution):
    """Inverse of a SparseConv3d: it maps back to the sites of that layer's input.

    Sites without a coarse site get exact zeros.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (2, 2, 2))

    def forward(self, x: SparseTensor) -> SparseTensor:
        if x.grid.finer is None:
            raise ValueError("x: expected a tensor on a grid that SparseConv3d made, found one without a finer grid")
        fine, rules = x.grid.finer
        return SparseTensor(sparse_conv(x.features, self.matrices(), rules.inverse()), fine)


def spconv2_weight(stored: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a checkpoint's weight in the layout of spconv 2, from the layout of spconv 1 or 2.

    Args:
        stored: [C_out, kx, ky, kz, C_in] (spconv 2) or [kx, ky, kz, C_in, C_out] (spconv 1), distinguished by the
            position of the kernel's axes.
        shape: shape of the layer's `weight`. If both layouts fit, that of spconv 2 is assumed.

    Returns:
        The weight in `shape`. spconv 1 applies a kernel of one site as (C_in, C_out), as `pointwise_reread` does, so
        such a weight keeps its storage order.

    Raises:
        ValueError: neither layout fits.
    """
    out_channels, *kernel_size, in_channels = shape
    if tuple(stored.shape) == tuple(shape):
        return stored
    if tuple(stored.shape) != (*kernel_size, in_channels, out_channels):
        expected = f"{tuple(shape)} or {(*kernel_size, in_channels, out_channels)}"
        raise ValueError(f"weight: expected {expected}, found {tuple(stored.shape)}")
    return stored.reshape(shape) if math.prod(kernel_size) == 1 else stored.permute(4, 0, 1, 2, 3).contiguous()
