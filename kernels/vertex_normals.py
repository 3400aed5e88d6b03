"""Vertex normals of a triangle mesh: the normalised sum of the unit normals of a vertex's faces.

Sums are computed in float64, in the order of the faces. Shapes: N vertices, F faces.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel

EPSILON = 1e-8
"""Added to lengths, so that vectors of length 0 stay 0."""


def reference(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return normals (N, 3) float32 from vertices (N, 3) float32 and faces (F, 3) integer, in plain PyTorch."""
    a, b, c = (vertices.double()[column.long()] for column in faces.T)
    of_faces = torch.linalg.cross(b - a, c - a)
    of_faces = of_faces / (of_faces.norm(dim=1, keepdim=True) + EPSILON)
    sums = vertices.new_zeros(vertices.shape, dtype=torch.float64)
    sums.index_add_(0, faces.long().flatten(), of_faces.repeat_interleave(3, 0))
    return (sums / (sums.norm(dim=1, keepdim=True) + EPSILON)).float()


@kernel()
def cpu(vertices: np.ndarray, faces: np.ndarray, sums: np.ndarray, normals: np.ndarray) -> None:
    """Fill `normals` (N, 3) float32; `sums` (N, 3) float64 is zero on entry."""
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        x, y, z = np.float64(vertices[a, 0]), np.float64(vertices[a, 1]), np.float64(vertices[a, 2])
        ux, uy, uz = vertices[b, 0] - x, vertices[b, 1] - y, vertices[b, 2] - z
        vx, vy, vz = vertices[c, 0] - x, vertices[c, 1] - y, vertices[c, 2] - z
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        scale = 1 / (math.sqrt(nx * nx + ny * ny + nz * nz) + EPSILON)
        for corner in range(3):
            vertex = faces[face, corner]
            sums[vertex, 0] += nx * scale
            sums[vertex, 1] += ny * scale
            sums[vertex, 2] += nz * scale
    for vertex in range(len(sums)):
        x, y, z = sums[vertex, 0], sums[vertex, 1], sums[vertex, 2]
        scale = 1 / (math.sqrt(x * x + y * y + z * z) + EPSILON)
        normals[vertex, 0], normals[vertex, 1], normals[vertex, 2] = x * scale, y * scale, z * scale
