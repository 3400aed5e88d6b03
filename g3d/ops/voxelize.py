"""Voxelisation over kernels/voxelize.py: map points to grid sites and sites to voxels, and average over voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import voxelize as kernel
from g3d.ops.registry import Operator
from g3d.ops.segment_reduce import segment_reduce

_INT32 = torch.iinfo(torch.int32)


class Voxels(NamedTuple):
    """The occupied cells of a grid, numbered by their first point, with the maps from points to voxels and back.

    Args:
        sites: (V, 4) int32, (batch, x, y, z).
        point_to_voxel: (N,) int64.
        points: (N,) int64, the point indices grouped by voxel, ascending within each voxel.
        offsets: (V + 1,) int64: the points of voxel v are points[offsets[v]:offsets[v + 1]].
    """

    sites: Tensor
    point_to_voxel: Tensor
    points: Tensor
    offsets: Tensor

    @property
    def counts(self) -> Tensor:
        """Number of points in each voxel, (V,) int64."""
        return self.offsets.diff()

    def mean(self, features: Tensor) -> Tensor:
        """Return the mean (V, C) of floating-point features (N, C) over the points of each voxel; differentiable."""
        return segment_reduce(features, self.point_to_voxel, len(self.sites), "mean")


def voxelize(sites: Tensor) -> Voxels:
    """Find the distinct sites of points.

    Args:
        sites: (N, 4) integers, (batch, x, y, z); negative values are allowed.

    Returns:
        The voxels, numbered in order of first appearance.

    Raises:
        ValueError: the shape or dtype is wrong, the values or the number of sites exceed int32, or the range of the
            sites does not fit into 62 bits.

    Source: the numbering of PointGroup (dvlab-research/PointGroup) and the methods derived from it.
    """
    return Voxels(*_operator(_checked(sites)))


def points_to_sites(
    points: Tensor, size: float, batch: Tensor | int = 0, origin: Tensor | Sequence[float] | None = None
) -> Tensor:
    """Return the grid site of each point: points * (1 / size) minus the minimum of its cloud, truncated.

    Args:
        points: (N, 3) floating point, metres; computations use this dtype.
        size: edge of a voxel in metres, above 0.
        batch: the cloud of each point, (N,) integers, or one number for all. The minimum is taken per cloud.
        origin: (3,) the grid's corner in metres, used instead of the minimum. A point below it is an error.

    Returns:
        (N, 4) int32, (batch, x, y, z).

    Raises:
        ValueError: shapes or dtypes are wrong; `size` is not above 0; a batch number is negative; a coordinate is not
            finite, is below `origin`, or is 2^31 or more voxels away from it.

    Source: SPFormer (sunjiahao1999/SPFormer), voxels of 2 cm.
    """
    if points.dim() != 2 or points.shape[1] != 3 or not points.is_floating_point():
        raise ValueError(f"points: expected floating point (N, 3), found {points.dtype} {tuple(points.shape)}")
    if not size > 0:
        raise ValueError(f"size: expected metres above 0, found {size}")
    if isinstance(batch, Tensor) and (batch.shape != points.shape[:1] or batch.is_floating_point()):
        raise ValueError(f"batch: expected integers ({points.shape[0]},), found {batch.dtype} {tuple(batch.shape)}")
    cloud = batch.long() if isinstance(batch, Tensor) else torch.full(points.shape[:1], batch, device=points.device)
    grid = points * _per_metre(size)
    if origin is not None:
        grid = grid - torch.as_tensor(origin, dtype=points.dtype, device=points.device) * _per_metre(size)
    elif points.shape[0]:
        grid = grid - (_lowest_of_each(grid, cloud)[cloud] if isinstance(batch, Tensor) else grid.amin(0))
    if not ((grid >= 0) & (grid < 2**31)).all():  # also false for NaN
        raise ValueError("points: expected finite coordinates, not below the origin and less than 2^31 voxels from it")
    return torch.cat([cloud[:, None].int(), grid.int()], 1)


def _lowest_of_each(grid: Tensor, cloud: Tensor) -> Tensor:
    """Return the smallest coordinates of each cloud, (B, 3)."""
    if cloud.min() < 0:
        raise ValueError(f"batch: expected numbers from 0, found {cloud.min()}")
    lowest = grid.new_full((int(cloud.max()) + 1, 3), torch.inf)
    return lowest.scatter_reduce_(0, cloud[:, None].expand(-1, 3), grid, "amin")


def _per_metre(size: float) -> float:
    """Return 1 / size, rounded to the integer within 1e-9 relative if there is one, as published: 50 for 2 cm."""
    whole = round(1 / size)
    return float(whole) if whole and abs(1 / size - whole) < 1e-9 * whole else 1 / size


def _checked(sites: Tensor) -> Tensor:
    if (
        sites.dim() != 2
        or sites.shape[1] != 4
        or sites.dtype.is_floating_point
        or sites.dtype.is_complex
        or sites.dtype == torch.bool
    ):
        raise ValueError(f"sites: expected integers (N, 4), found {sites.dtype} {tuple(sites.shape)}")
    if sites.shape[0] > _INT32.max:
        raise ValueError(f"sites: expected at most {_INT32.max}, found {sites.shape[0]}")
    if sites.dtype == torch.int64 and sites.numel() and not (_INT32.min <= sites.min() and sites.max() <= _INT32.max):
        raise ValueError(f"sites: expected numbers within int32, found {sites.min()} to {sites.max()}")
    return sites.int()


def _cpu(sites: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = sites.shape[0]
    lowest, steps = (np.array(numbers, dtype=np.int64) for numbers in kernel.packing(sites))
    table = np.full(max(16, 1 << (2 * count - 1).bit_length()), -1, dtype=np.int32)
    found, voxel = torch.empty((count, 4), dtype=torch.int32), torch.empty(count, dtype=torch.int64)
    points = torch.empty(count, dtype=torch.int64)
    voxels = kernel.number_voxels(
        sites.contiguous().numpy(), lowest, steps, table, points.numpy(), found.numpy(), voxel.numpy()
    )
    offsets = torch.empty(voxels + 1, dtype=torch.int64)
    kernel.points_by_voxel(voxel.numpy(), offsets.numpy(), points.numpy())  # `points` held the keys until now
    return found[:voxels].clone(), voxel, points, offsets


def _fake(sites: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count, voxels = sites.shape[0], torch.library.get_ctx().new_dynamic_size()
    indices = sites.new_empty(count, dtype=torch.int64)
    return (
        sites.new_empty(voxels, 4),
        indices,
        torch.empty_like(indices),
        sites.new_empty(voxels + 1, dtype=torch.int64),
    )


def _example() -> tuple[Tensor]:
    return (torch.randint(-5, 5, (500, 4), generator=torch.Generator().manual_seed(0), dtype=torch.int32),)


_operator = Operator("voxelize", reference=kernel.reference, cpu=_cpu, cuda=None, fake=_fake, example=_example)
