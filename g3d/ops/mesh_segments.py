"""Superpoints of meshes (`mesh_segments`) and of graphs of points (`graph_segments`) over kernels/mesh_segments.py."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import edge_order
from g3d.kernels import mesh_segments as kernel
from g3d.ops.registry import Operator

log = logging.getLogger(__name__)


def mesh_segments(
    vertices: Tensor, faces: Tensor, threshold: float = 0.01, min_vertices: int = 20, roots: bool = False
) -> Tensor:
    """Segment a triangle mesh into superpoints: parts of its surface whose normals change little.

    The algorithm is sequential and runs on a CPU whatever the device of the mesh.

    Args:
        vertices: (N, 3) float32, metres, any frame. For ScanNet, pass the raw vertices, not the axis-aligned ones,
            because rounding decides ties.
        faces: (F, 3) int32 or int64, rows of `vertices`.
        threshold: a larger threshold gives larger segments (published kThresh).
        min_vertices: a segment with fewer vertices is merged into a neighbour if it has one.
        roots: return the root vertex of each segment, as ScanNet's segs.json files do, instead of compact numbers.

    Returns:
        (N,) int64 on the device of `vertices`: segments 0 .. S - 1 in the order of their root vertices. A vertex
        without a face forms its own segment.

    Raises:
        ValueError: shapes or dtypes are wrong; a face refers to a vertex that does not exist.

    Source: Felzenszwalb and Huttenlocher 2004; semantics of ScanNet/ScanNet Segmentator and Karbo123/segmentator.
    """
    _check_points("vertices", vertices)
    _check_rows("faces", faces, 3, len(vertices))
    normals, edges = _graph(vertices.detach().cpu(), faces.cpu().long())
    degenerate = int((edges[::3, 0] == edges[::3, 1]).sum())
    if degenerate:
        log.warning("mesh_segments: %d of %d faces have no area and are passed over", degenerate, len(faces))
    found = _segments(vertices.detach().cpu(), normals, edges, threshold, min_vertices, True)
    return _numbered(found, roots).to(vertices.device)


def graph_segments(
    points: Tensor,
    normals: Tensor,
    edges: Tensor,
    threshold: float = 0.01,
    min_vertices: int = 20,
    roots: bool = False,
    oriented: bool = True,
) -> Tensor:
    """Segment points with normals into superpoints over the given edges. Runs on a CPU whatever the points' device.

    Args:
        points: (N, 3) float32, metres.
        normals: (N, 3) float32, approximately unit length. Edges at a point whose normal is NaN are ignored.
        edges: (E, 2) int32 or int64, rows of `points`. The weight is directed from the first point to the second.
        threshold, min_vertices, roots: the same as in mesh_segments.
        oriented: True if all normals point out of the surface, so that convex edges get smaller weights (published).
            False: the signs are arbitrary.

    Returns:
        (N,) int64 on the device of `points`, numbered as in mesh_segments.

    Raises:
        ValueError: shapes or dtypes are wrong; an edge refers to a point that does not exist.

    Source: segment_point of Karbo123/segmentator.
    """
    _check_points("points", points)
    _check_points("normals", normals)
    if normals.shape != points.shape:
        raise ValueError(f"normals: expected {tuple(points.shape)} as points, found {tuple(normals.shape)}")
    _check_rows("edges", edges, 2, len(points))
    found = _segments(
        points.detach().cpu(), normals.detach().cpu(), edges.cpu().int(), threshold, min_vertices, oriented
    )
    return _numbered(found, roots).to(points.device)


def _check_points(name: str, points: Tensor) -> None:
    if points.dim() != 2 or points.shape[1] != 3 or points.dtype != torch.float32:
        raise ValueError(f"{name}: expected (N, 3) float32, found {tuple(points.shape)} {points.dtype}")
    if len(points) > 2**31 - 1:
        raise ValueError(f"{name}: expected fewer than 2^31 rows, found {len(points)}")


def _check_rows(name: str, rows: Tensor, columns: int, count: int) -> None:
    if rows.dim() != 2 or rows.shape[1] != columns or rows.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"{name}: expected (.., {columns}) int32 or int64, found {tuple(rows.shape)} {rows.dtype}")
    if len(rows) * columns > 2**31 - 1:  # three edges per face; edges are numbered in int32
        raise ValueError(f"{name}: expected fewer than {2**31 // columns} rows, found {len(rows)}")
    if len(rows):
        least, most = (int(bound) for bound in rows.aminmax())
        if least < 0 or most >= count:
            raise ValueError(f"{name}: expected rows 0..{count - 1}, found {least}..{most}")


def _numbered(found: Tensor, roots: bool) -> Tensor:
    if roots:
        return found
    is_root = torch.zeros(len(found), dtype=torch.int64)
    is_root[found] = 1
    return (is_root.cumsum(0) - 1)[found]


def _cpu_graph(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    normals = torch.zeros(len(vertices), 3)
    edges = torch.zeros(len(faces), 3, 2, dtype=torch.int32)
    counts = np.zeros(len(vertices), np.int32)
    kernel.cpu_graph(vertices.contiguous().numpy(), faces.contiguous().numpy(), normals.numpy(), edges.numpy(), counts)
    return normals, edges.flatten(0, 1)


def _cpu_segments(
    points: Tensor, normals: Tensor, edges: Tensor, threshold: float, min_vertices: int, oriented: bool
) -> Tensor:
    edges = edges.contiguous()
    weights = torch.empty(len(edges))
    kernel.cpu_weights(
        points.contiguous().numpy(), normals.contiguous().numpy(), edges.numpy(), oriented, weights.numpy()
    )
    keys = np.empty(len(edges), np.uint64)
    keys = keys[: edge_order.cpu(weights.numpy(), keys)]
    roots = torch.empty(len(points), dtype=torch.int64)
    kernel.cpu_segments(edges.numpy(), weights.numpy(), keys, np.float32(threshold), min_vertices, roots.numpy())
    return roots


def _example_mesh() -> tuple[Tensor, Tensor]:
    """Return the vertices and faces of a square height field of 12 x 12 vertices."""
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    height = torch.rand(144, generator=torch.Generator().manual_seed(0)) * 0.3
    corner = (rows * 12 + columns)[:-1, :-1].flatten()
    faces = torch.cat(
        [torch.stack([corner, corner + 1, corner + 12], 1), torch.stack([corner + 1, corner + 13, corner + 12], 1)]
    )
    return torch.stack([rows.flatten(), columns.flatten(), height], 1), faces


def _example_graph() -> tuple[Tensor, Tensor, Tensor, float, int, bool]:
    vertices, faces = _example_mesh()
    return vertices, *kernel.reference_graph(vertices, faces), 0.01, 5, True


_graph = Operator(
    "mesh_graph",
    reference=kernel.reference_graph,
    cpu=_cpu_graph,
    cuda=None,
    fake=lambda vertices, faces: (
        vertices.new_empty(vertices.shape),
        faces.new_empty((3 * len(faces), 2), dtype=torch.int32),
    ),
    example=_example_mesh,
)
_segments = Operator(
    "graph_segments",
    reference=kernel.reference_segments,
    cpu=_cpu_segments,
    cuda=None,
    fake=lambda points, normals, edges, threshold, min_vertices, oriented: points.new_empty(
        len(points), dtype=torch.int64
    ),
    example=_example_graph,
)
