"""Gathering of features by index, and its gradient, for the operators group_points and gather_points.

Shapes: B clouds, C channels, N points, L indices (M for gather_points, M * K for group_points).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, prange


def reference(features: Tensor, indices: Tensor) -> Tensor:
    """Gather features (B, C, N) at indices (B, L) int64: (B, C, L), in plain PyTorch."""
    return features.gather(2, indices[:, None].expand(-1, features.shape[1], -1))


def backward_reference(gradient: Tensor, indices: Tensor, count: int) -> Tensor:
    """Sum the result's gradient (B, C, L) to the features' gradient (B, C, N = count), in float32 or wider."""
    wide = torch.promote_types(gradient.dtype, torch.float32)
    features = gradient.new_zeros(*gradient.shape[:2], count, dtype=wide)
    return features.scatter_add_(2, indices[:, None].expand(-1, gradient.shape[1], -1), gradient.to(wide)).to(
        gradient.dtype
    )


@kernel(parallel=True)
def cpu(features: np.ndarray, indices: np.ndarray, found: np.ndarray) -> None:
    """Fill `found` (B, C, L). A thread processes one channel of a cloud, whose row stays in its cache."""
    channels = features.shape[1]
    for row in prange(features.shape[0] * channels):
        cloud, channel = row // channels, row % channels
        source, index, target = features[cloud, channel], indices[cloud], found[cloud, channel]
        for i in range(len(index)):
            target[i] = source[index[i]]


@kernel(parallel=True)
def cpu_backward(gradient: np.ndarray, indices: np.ndarray, features: np.ndarray) -> None:
    """Fill `features` (B, C, N) with sums of `gradient` (B, C, L). One thread sums a row, in index order."""
    channels = gradient.shape[1]
    for row in prange(gradient.shape[0] * channels):
        cloud, channel = row // channels, row % channels
        source, index, target = gradient[cloud, channel], indices[cloud], features[cloud, channel]
        target[:] = 0
        for i in range(len(index)):
            target[index[i]] += source[i]
