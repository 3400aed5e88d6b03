"""Normals of a point cloud: the direction in which each point's neighbours vary least.

It is the eigenvector of the smallest eigenvalue of the neighbours' covariance (Hoppe et al. 1992), in float64. The two
sides of a surface cannot be distinguished: the sign is chosen so that the largest component is positive.

Shapes: N points, k neighbours; coordinates in metres, any frame.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

_SWEEPS = 12  # Jacobi's method converges quadratically: 3 x 3 matrices need about 5


def reference(points: Tensor, neighbours: Tensor) -> Tensor:
    """Return unit normals float32 (N, 3) from points float32 (N, 3) and neighbours int64 (N, k), in plain PyTorch."""
    near = points.double()[neighbours]
    offsets = near - near.mean(1, keepdim=True)
    normals = torch.linalg.eigh(offsets.mT @ offsets).eigenvectors[..., 0]
    largest = normals.gather(1, normals.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -normals, normals).float()


@part()
def _rotate(a: np.ndarray, vectors: np.ndarray, p: int, q: int) -> None:
    """Apply one Jacobi rotation: make a[p, q] of the symmetric matrix a (3, 3) zero, and rotate the columns of
    `vectors` in the same way."""
    if a[p, q] == 0:
        return
    theta = (a[q, q] - a[p, p]) / (2 * a[p, q])
    t = math.copysign(1.0, theta) / (abs(theta) + math.hypot(theta, 1.0))
    cos = 1 / math.sqrt(t * t + 1)
    sin = t * cos
    r = 3 - p - q
    a[p, p], a[q, q] = a[p, p] - t * a[p, q], a[q, q] + t * a[p, q]
    rp, rq = cos * a[r, p] - sin * a[r, q], sin * a[r, p] + cos * a[r, q]
    a[r, p], a[p, r], a[r, q], a[q, r], a[p, q], a[q, p] = rp, rp, rq, rq, 0.0, 0.0
    for row in range(3):
        vp, vq = vectors[row, p], vectors[row, q]
        vectors[row, p], vectors[row, q] = cos * vp - sin * vq, sin * vp + cos * vq


@part()
def _covariance(points: np.ndarray, neighbours: np.ndarray, a: np.ndarray) -> None:
    """Fill a (3, 3) with the sum of the outer products of the neighbours' offsets from their mean."""
    mean = np.zeros(3)
    for n in neighbours:
        for i in range(3):
            mean[i] += points[n, i]
    mean /= len(neighbours)
    a[:] = 0
    for n in neighbours:
        for i in range(3):
            for j in range(3):
                a[i, j] += (points[n, i] - mean[i]) * (points[n, j] - mean[j])


@kernel(parallel=True)
def cpu(points: np.ndarray, neighbours: np.ndarray, normals: np.ndarray) -> None:
    """Fill `normals` (N, 3) float32 from points (N, 3) float32 and neighbours (N, k) int64."""
    for point in prange(points.shape[0]):
        a, vectors = np.empty((3, 3)), np.eye(3)
        _covariance(points, neighbours[point], a)
        for _ in range(_SWEEPS):
            if a[0, 1] == 0 and a[0, 2] == 0 and a[1, 2] == 0:
                break
            _rotate(a, vectors, 0, 1)
            _rotate(a, vectors, 0, 2)
            _rotate(a, vectors, 1, 2)
        least = 0
        for i in range(1, 3):
            if a[i, i] < a[least, least]:
                least = i
        largest = 0
        for i in range(1, 3):
            if abs(vectors[i, least]) > abs(vectors[largest, least]):
                largest = i
        sign = -1.0 if vectors[largest, least] < 0 else 1.0
        for i in range(3):
            normals[point, i] = sign * vectors[i, least]
