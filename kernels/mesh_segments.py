"""Superpoints of a mesh: graph-based segmentation (Felzenszwalb and Huttenlocher 2004) of its vertices by their
normals.

The rules are those of ScanNet's segmenter (ScanNet/ScanNet, Karbo123/segmentator), in float32 without fused
multiply-add and in the published order of equal weights (kernels/edge_order.py), so that segments and their roots are
the published ones:

1. A vertex normal is the running mean of the unit normals (p2 - p1) x (p3 - p1) of its faces in their order; it is not
   normalised again.
2. Each face gives the edges 1->2, 1->3 and 3->2; inner edges of the mesh occur twice.
3. The weight of an edge a->b is 1 - n_a . n_b, or its square if n_b points along p_b - p_a (convex).
4. In ascending order of weight, an edge joins its two components if the weight is at most both their thresholds; the
   new threshold is the weight plus `threshold` / size. In a second pass in that order, an edge joins its components if
   either has fewer than `min_vertices`.

Two rules are not published: a face without area is ignored and its edges join nothing (the published code produces NaN
around it, in no defined order); without an orientation of the normals the weight is 1 - |n_a . n_b|.

Shapes: N vertices, F faces, E edges; coordinates in metres, any frame.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import edge_order
from g3d.kernels.compiled import kernel, part, prange


def reference_graph(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Return normals float32 (N, 3) and edges int32 (3F, 2), 0-0 for no edge, from vertices float32 (N, 3) and faces
    int64 (F, 3): rules 1 and 2 in plain PyTorch."""
    first, second, third = vertices[faces].unbind(1)
    normal = _cross(second - first, third - first)
    length = _length(normal)
    real = (length > 0) & length.isfinite()
    edges = torch.stack([faces[:, [0, 1]], faces[:, [0, 2]], faces[:, [2, 1]]], 1).int() * real[:, None, None]
    faces, votes = faces[real], (normal / length[:, None])[real].repeat_interleave(3, 0)
    normals = vertices.new_zeros(vertices.shape)
    vertex, order = faces.flatten().sort(stable=True)
    counts = torch.bincount(vertex, minlength=len(vertices))
    turn = torch.arange(len(vertex), device=vertex.device) - (counts.cumsum(0) - counts)[vertex]
    for k in range(int(counts.max()) if len(vertex) else 0):  # each vertex's k-th face
        here = turn == k
        share = torch.tensor(1.0, device=vertex.device) / (k + 1)
        normals[vertex[here]] = share * votes[order[here]] + (1 - share) * normals[vertex[here]]
    return normals, edges.flatten(0, 1)


def reference_segments(
    points: Tensor, normals: Tensor, edges: Tensor, threshold: float, min_vertices: int, oriented: bool
) -> Tensor:
    """Return the root vertex of each vertex's component, int64 (N,), from points and normals float32 (N, 3) and edges
    int32 (E, 2): rules 3 and 4 in plain PyTorch."""
    start, end = edges.long().unbind(1)
    along = points[end] - points[start]
    alike = _dot(normals[start], normals[end])
    weights = 1 - (alike if oriented else alike.abs())
    convex = _dot(normals[end], along / _length(along)[:, None]) > 0
    weights = torch.where(convex, weights * weights, weights) if oriented else weights
    order = edge_order.reference(weights)
    forest = _Forest(len(points))
    limit = np.full(len(points), threshold, np.float32)
    sorted_edges = list(zip(*(rows[order].tolist() for rows in (start, end)), strict=True))
    for (a, b), weight in zip(sorted_edges, weights[order].cpu().numpy(), strict=True):
        a, b = forest.find(a), forest.find(b)
        if a != b and weight <= limit[a] and weight <= limit[b]:
            root = forest.join(a, b)
            limit[root] = weight + np.float32(threshold) / np.float32(forest.size[root])
    for a, b in sorted_edges:
        a, b = forest.find(a), forest.find(b)
        if a != b and min(forest.size[a], forest.size[b]) < min_vertices:
            forest.join(a, b)
    return torch.tensor([forest.find(vertex) for vertex in range(len(points))], dtype=torch.int64, device=points.device)


class _Forest:
    """The disjoint sets of the reference, joined by rank; at equal ranks the second becomes the root."""

    def __init__(self, count: int) -> None:
        self.parent, self.rank, self.size = list(range(count)), [0] * count, [1] * count

    def find(self, element: int) -> int:
        while element != self.parent[element]:
            self.parent[element] = element = self.parent[self.parent[element]]
        return element

    def join(self, a: int, b: int) -> int:
        root, child = (a, b) if self.rank[a] > self.rank[b] else (b, a)
        self.rank[root] += self.rank[root] == self.rank[child]
        self.parent[child] = root
        self.size[root] += self.size[child]
        return root


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the dot product, summed from x to z as in the kernels."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _length(a: Tensor) -> Tensor:
    """Return the correctly rounded length; PyTorch's float32 square root is not correctly rounded."""
    return _dot(a, a).double().sqrt().to(a.dtype)


@kernel()
def cpu_graph(
    vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, edges: np.ndarray, counts: np.ndarray
) -> None:
    """Fill `normals` (N, 3) float32 and `edges` (F, 3, 2) int32, both zeroed; `counts` (N,) int32, zeroed, counts the
    faces of each vertex."""
    one = np.float32(1)
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        bx, by, bz = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        length = np.float32(math.sqrt(x * x + y * y + z * z))
        if not 0 < length < np.inf:
            continue
        x, y, z = x / length, y / length, z / length
        for vertex in (i, j, k):
            share = one / (np.float32(counts[vertex]) + one)
            kept = one - share
            normals[vertex, 0] = share * x + kept * normals[vertex, 0]
            normals[vertex, 1] = share * y + kept * normals[vertex, 1]
            normals[vertex, 2] = share * z + kept * normals[vertex, 2]
            counts[vertex] += 1
        edges[f, 0, 0], edges[f, 0, 1] = i, j
        edges[f, 1, 0], edges[f, 1, 1] = i, k
        edges[f, 2, 0], edges[f, 2, 1] = k, j


@kernel(parallel=True)
def cpu_weights(
    points: np.ndarray, normals: np.ndarray, edges: np.ndarray, oriented: bool, weights: np.ndarray
) -> None:
    """Fill `weights` (E,) float32."""
    one = np.float32(1)
    for e in prange(edges.shape[0]):
        a, b = edges[e, 0], edges[e, 1]
        nx, ny, nz = normals[b, 0], normals[b, 1], normals[b, 2]
        alike = normals[a, 0] * nx + normals[a, 1] * ny + normals[a, 2] * nz
        weight = one - (alike if oriented else abs(alike))
        if oriented:
            x, y, z = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
            length = np.float32(math.sqrt(x * x + y * y + z * z))
            if length > 0 and nx * (x / length) + ny * (y / length) + nz * (z / length) > 0:
                weight = weight * weight
        weights[e] = weight


@part()
def _find(parent: np.ndarray, element: int) -> int:
    while element != parent[element]:
        parent[element] = parent[parent[element]]
        element = parent[element]
    return element


@part()
def _join(parent: np.ndarray, rank: np.ndarray, size: np.ndarray, a: int, b: int) -> int:
    """Join two sets and return their root: the root of higher rank, or the second at equal ranks."""
    root, child = (a, b) if rank[a] > rank[b] else (b, a)
    rank[root] += rank[root] == rank[child]
    parent[child] = root
    size[root] += size[child]
    return root


@kernel()
def cpu_segments(
    edges: np.ndarray, weights: np.ndarray, keys: np.ndarray, threshold: np.float32, least: int, roots: np.ndarray
) -> None:
    """Fill `roots` (N,) int64 from edges (E, 2) int32, their weights (E,) float32 and the keys of edge_order, which are
    overwritten."""
    count = len(roots)
    parent, rank, size = np.arange(count).astype(np.int32), np.zeros(count, np.uint8), np.ones(count, np.int32)
    limit = np.full(count, threshold, np.float32)
    apart = 0
    for n in range(len(keys)):
        e = np.int64(keys[n] & np.uint64(0xFFFFFFFF))
        a, b = _find(parent, edges[e, 0]), _find(parent, edges[e, 1])
        if a == b:
            continue
        weight = weights[e]
        if weight <= limit[a] and weight <= limit[b]:
            root = _join(parent, rank, size, a, b)
            limit[root] = weight + threshold / np.float32(size[root])
        else:
            keys[apart] = e  # joined components stay joined: the second pass needs only the other edges
            apart += 1
    for n in range(apart):
        e = np.int64(keys[n])
        a, b = _find(parent, edges[e, 0]), _find(parent, edges[e, 1])
        if a != b and min(size[a], size[b]) < least:
            _join(parent, rank, size, a, b)
    for vertex in range(count):
        roots[vertex] = _find(parent, vertex)
