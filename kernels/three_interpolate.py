"""Interpolation of features from three weighted neighbours, and its gradients.

PointNet++'s feature propagation (Qi et al. 2017, section 3.4): result[n] = sum over j of weights[n, j] *
features[indices[n, j]], added in the order j = 0, 1, 2.

Shapes: B clouds, C channels, M known points, N points.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, prange

_CHUNK = 256  # points per work item of a thread in the gradient of the weights


def reference(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Interpolate features (B, C, M) at indices (B, N, 3) int64 with weights (B, N, 3): (B, C, N), in plain PyTorch.

    The sums are computed in float32 or wider.
    """
    wide = torch.promote_types(features.dtype, torch.float32)
    a, b, c = (_at(features.to(wide), indices[..., j]) * weights[:, None, :, j].to(wide) for j in range(3))
    return (a + b + c).to(features.dtype)


def backward_reference(gradient: Tensor, features: Tensor, indices: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the features (B, C, M) and the weights (B, N, 3) from the result's gradient (B, C, N)."""
    wide = torch.promote_types(features.dtype, torch.float32)
    gradient, of_features = gradient.to(wide), features.new_zeros(features.shape, dtype=wide)
    for j in range(3):
        index = indices[:, None, :, j].expand(-1, features.shape[1], -1)
        of_features.scatter_add_(2, index, gradient * weights[:, None, :, j].to(wide))
    of_weights = [(_at(features.to(wide), indices[..., j]) * gradient).sum(1) for j in range(3)]
    return of_features.to(features.dtype), torch.stack(of_weights, -1).to(weights.dtype)


def _at(features: Tensor, index: Tensor) -> Tensor:
    return features.gather(2, index[:, None].expand(-1, features.shape[1], -1))


@kernel(parallel=True)
def cpu(features: np.ndarray, indices: np.ndarray, weights: np.ndarray, result: np.ndarray) -> None:
    """Fill `result` (B, C, N). A thread processes one channel of a cloud, whose row stays in its cache."""
    channels = features.shape[1]
    for row in prange(features.shape[0] * channels):
        cloud, channel = row // channels, row % channels
        source, index, weight, target = features[cloud, channel], indices[cloud], weights[cloud], result[cloud, channel]
        for n in range(len(target)):
            target[n] = (
                source[index[n, 0]] * weight[n, 0]
                + source[index[n, 1]] * weight[n, 1]
                + source[index[n, 2]] * weight[n, 2]
            )


@kernel(parallel=True)
def cpu_backward_features(
    gradient: np.ndarray, indices: np.ndarray, weights: np.ndarray, of_features: np.ndarray
) -> None:
    """Fill `of_features` (B, C, M). One thread sums a row, in the order of the points, for any number of threads."""
    channels = gradient.shape[1]
    for row in prange(gradient.shape[0] * channels):
        cloud, channel = row // channels, row % channels
        source, index, weight, target = (
            gradient[cloud, channel],
            indices[cloud],
            weights[cloud],
            of_features[cloud, channel],
        )
        target[:] = 0
        for n in range(len(source)):
            for j in range(3):
                target[index[n, j]] += source[n] * weight[n, j]


@kernel(parallel=True)
def cpu_backward_weights(
    gradient: np.ndarray, features: np.ndarray, indices: np.ndarray, of_weights: np.ndarray
) -> None:
    """Fill `of_weights` (B, N, 3), summed in the order of the channels. A thread processes a chunk of the points of a
    cloud."""
    clouds, channels, count = gradient.shape
    chunks = (count + _CHUNK - 1) // _CHUNK
    for chunk in prange(clouds * chunks):
        cloud, first = chunk // chunks, chunk % chunks * _CHUNK
        end = min(first + _CHUNK, count)
        index, target = indices[cloud], of_weights[cloud]
        target[first:end] = 0
        for channel in range(channels):
            upstream, source = gradient[cloud, channel], features[cloud, channel]
            for n in range(first, end):
                for j in range(3):
                    target[n, j] += upstream[n] * source[index[n, j]]
