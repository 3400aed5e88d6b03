"""Superpoints of a cloud without a mesh (`point_segments`), and the operator `point_normals` over
kernels/point_normals.py."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from g3d.kernels import point_normals as kernel
from g3d.ops.mesh_segments import graph_segments
from g3d.ops.registry import Operator


def point_segments(
    points: Tensor,
    neighbours: int = 8,
    normals: Tensor | None = None,
    threshold: float = 0.01,
    min_vertices: int = 20,
    roots: bool = False,
) -> Tensor:
    """Segment a cloud into superpoints with `graph_segments` over the k-nearest-neighbour graph. Runs on a CPU.

    Args:
        points: (N, 3) float32, metres, finite.
        neighbours: number of nearest neighbours of each point, for the graph and for the normals.
        normals: (N, 3) float32, unit length, pointing out of the surface. None: use `point_normals`; the signs of those
            normals are arbitrary, so convex edges are weighted like concave ones.
        threshold, min_vertices, roots: the same as in mesh_segments.

    Returns:
        (N,) int64 on the device of `points`, numbered as in mesh_segments.

    Raises:
        ValueError: shapes or dtypes are wrong; a point is not finite; neighbours < 1.
    """
    near = _nearest(points, neighbours)
    oriented = normals is not None
    if normals is None:
        normals = _normals(points.detach().cpu(), near).to(points.device)
    start = torch.arange(len(points))[:, None].expand_as(near)
    edges = torch.stack([start, near], 2)[start != near]
    return graph_segments(points, normals, edges, threshold, min_vertices, roots, oriented)


def point_normals(points: Tensor, neighbours: int = 8) -> Tensor:
    """Estimate the unit normal of each point from the point and its nearest neighbours.

    Args:
        points: (N, 3) float32, metres, finite.
        neighbours: number of nearest neighbours, at least 1; 1 does not determine the normal.

    Returns:
        (N, 3) float32 on the device of `points`; the largest component is positive.

    Raises:
        ValueError: shape or dtype is wrong; a point is not finite; neighbours < 1.

    Source: Hoppe et al. 1992, section 3.1.
    """
    found: Tensor = _normals(points.detach().cpu(), _nearest(points, neighbours)).to(points.device)
    return found


def _nearest(points: Tensor, neighbours: int) -> Tensor:
    """Return each point and its at most `neighbours` nearest neighbours, int64 (N, K) on the CPU. The order of
    coincident points is unspecified."""
    if points.dim() != 2 or points.shape[1] != 3 or points.dtype != torch.float32:
        raise ValueError(f"points: expected (N, 3) float32, found {tuple(points.shape)} {points.dtype}")
    if neighbours < 1:
        raise ValueError(f"neighbours: expected 1 or more, found {neighbours}")
    cloud = points.detach().cpu().numpy()
    if not np.isfinite(cloud).all():
        raise ValueError(f"points: row {int((~np.isfinite(cloud)).any(1).argmax())} is not finite")
    count = min(neighbours + 1, len(points))
    if count == 0:
        return torch.empty(0, 1, dtype=torch.int64)
    tree = cKDTree(
        cloud, balanced_tree=False, compact_nodes=False
    )  # faster to build; queries take the same time on surfaces
    _, rows = tree.query(cloud, k=range(1, count + 1), workers=torch.get_num_threads())
    return torch.from_numpy(np.asarray(rows, dtype=np.int64))


def _cpu(points: Tensor, neighbours: Tensor) -> Tensor:
    normals = torch.empty(len(points), 3)
    kernel.cpu(points.contiguous().numpy(), neighbours.contiguous().numpy(), normals.numpy())
    return normals


def _example() -> tuple[Tensor, Tensor]:
    points = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    return points, torch.cdist(points, points).argsort(1)[:, :8]


_normals = Operator(
    "point_normals",
    reference=kernel.reference,
    cpu=_cpu,
    cuda=None,
    fake=lambda points, neighbours: points.new_empty(points.shape),
    example=_example,
)
