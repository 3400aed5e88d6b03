"""Voxelisation: the face of kernels/voxelize.py. Points to grid sites, sites to voxels, means over voxels."""

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
    """The occupied cells of a grid, numbered by the first of their points, and the maps in both directions.

    Args:
        sites: (V, 4) int32, (batch, x, y, z).
        point_to_voxel: (N,) int64.
        points: (N,) int64, the points voxel after voxel, each voxel's in ascending order.
        offsets: (V + 1,) int64: the points of voxel v are points[offsets[v]:offsets[v + 1]].
    """

    sites: Tensor
    point_to_voxel: Tensor
    points: Tensor
    offsets: Tensor

    @property
    def counts(self) -> Tensor:
        """(V,) int64, points per voxel."""
        return self.offsets.diff()

    def mean(self, features: Tensor) -> Tensor:
        """(N, C) floating point -> (V, C), the mean over the points of each voxel; differentiable."""
        return segment_reduce(features, self.point_to_voxel, len(self.sites), "mean")


def voxelize(sites: Tensor) -> Voxels:
    """Find the distinct sites of points.

    Args:
        sites: (N, 4) integers, (batch, x, y, z); negative ones are fine.

    Raises:
        ValueError: shape or dtype do not fit, int32 cannot hold the numbers or count the sites, or they spread too far
            to be packed into 62 bits.

    Source: voxels in order of first appearance, as PointGroup (dvlab-research/PointGroup) and its descendants number
        them.
    """
    return Voxels(*_operator(_checked(sites)))


def points_to_sites(
    points: Tensor, size: float, batch: Tensor | int = 0, origin: Tensor | Sequence[float] | None = None
) -> Tensor:
    """The grid site of each point: q = points * (1 / size) less its minimum, truncated.

    Args:
        points: (N, 3) floating point, metres; the arithmetic is in their dtype.
        size: edge of a voxel in metres, above 0.
        batch: the cloud of each point, (N,) integers, or one number for all. Every cloud has a minimum of its own.
        origin: (3,) the grid's corner in metres, instead of the minimum. Points below it are refused.

    Returns:
        (N, 4) int32, (batch, x, y, z).

    Raises:
        ValueError: shapes do not fit; a coordinate is not finite, lies below `origin`, or is more than 2^31 voxels
            away.

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
    """(B, 3): the smallest coordinates of each cloud."""
    if cloud.min() < 0:
        raise ValueError(f"batch: expected numbers from 0, found {cloud.min()}")
    lowest = grid.new_full((int(cloud.max()) + 1, 3), torch.inf)
    return lowest.scatter_reduce_(0, cloud[:, None].expand(-1, 3), grid, "amin")


def _per_metre(size: float) -> float:
    """1 / size, exactly as published where that is a whole number: 50 for 2 cm."""
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
