"""Batch norm of rows with the batch's own statistics, followed by ReLU, and the gradient.

A block of rows stays in the cache while its mean and the squares about it are summed; blocks are then combined in
float64 in their order. So the statistics are exact to the last bits of the values whatever their mean, and the same
with any number of threads. (PyTorch sums all rows of this layout one after another in float32.) ReLU costs no pass:
forward applies it in place of storing, and backward finds it again from the input.

Shapes: N rows, C channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, prange

BLOCK = 256
"""Rows of a block."""


def reference(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The oracle: x (N, C), weight and bias (C,) -> ReLU of the normed rows (N, C), mean and biased variance (C,)."""
    variance, mean = torch.var_mean(x, 0, correction=0)
    found = (((x - mean) * torch.rsqrt(variance + eps)) * weight + bias).relu()
    return found.contiguous(), mean.contiguous(), variance.contiguous()


def backward_reference(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient (N, C) of the result -> those of x (N, C), weight (C,) and bias (C,)."""
    scale = torch.rsqrt(variance + eps)
    normed = (x - mean) * scale
    gradient = torch.where(normed * weight + bias > 0, gradient, 0)
    of_weight, of_bias = (gradient * normed).sum(0), gradient.sum(0)
    of_x = weight * scale * (gradient - of_bias / len(x) - normed * (of_weight / len(x)))
    return of_x.contiguous(), of_weight, of_bias


@kernel(parallel=True)
def cpu_moments(x: np.ndarray, means: np.ndarray, squares: np.ndarray) -> None:
    """Fill the means (P, C) of the blocks of x (N, C) and the sums of squares (P, C) about them."""
    channels = x.shape[1]
    for block in prange(means.shape[0]):
        first, last = block * BLOCK, min(x.shape[0], (block + 1) * BLOCK)
        mean, square = means[block], squares[block]
        mean[:] = 0
        square[:] = 0
        for row in range(first, last):
            for c in range(channels):
                mean[c] += x[row, c]
        for c in range(channels):
            mean[c] /= last - first
        for row in range(first, last):
            for c in range(channels):
                away = x[row, c] - mean[c]
                square[c] += away * away


@kernel(parallel=True)
def cpu_apply(x: np.ndarray, gain: np.ndarray, shift: np.ndarray, found: np.ndarray) -> None:
    """Fill `found` (N, C) with ReLU of gain * x + shift."""
    blocks = (x.shape[0] + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        for row in range(block * BLOCK, min(x.shape[0], (block + 1) * BLOCK)):
            for c in range(x.shape[1]):
                value = x[row, c] * gain[c] + shift[c]
                found[row, c] = value if value > 0 else type(value)(0)


@kernel(parallel=True)
def cpu_backward_sums(
    gradient: np.ndarray,
    x: np.ndarray,
    gain: np.ndarray,
    shift: np.ndarray,
    mean: np.ndarray,
    sums: np.ndarray,
    products: np.ndarray,
) -> None:
    """Fill, for each block, the sums (P, C) of the gradient behind ReLU and of its product with x - mean."""
    channels = x.shape[1]
    for block in prange(sums.shape[0]):
        total, product = sums[block], products[block]
        total[:] = 0
        product[:] = 0
        for row in range(block * BLOCK, min(x.shape[0], (block + 1) * BLOCK)):
            for c in range(channels):
                value = x[row, c]
                g = gradient[row, c] if value * gain[c] + shift[c] > 0 else type(value)(0)
                total[c] += g
                product[c] += g * (value - mean[c])


@kernel(parallel=True)
def cpu_backward_apply(
    gradient: np.ndarray,
    x: np.ndarray,
    gain: np.ndarray,
    shift: np.ndarray,
    mean: np.ndarray,
    constant: np.ndarray,
    slope: np.ndarray,
    found: np.ndarray,
) -> None:
    """Fill `found` (N, C) with gain * gradient behind ReLU - constant - slope * (x - mean)."""
    blocks = (x.shape[0] + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        for row in range(block * BLOCK, min(x.shape[0], (block + 1) * BLOCK)):
            for c in range(x.shape[1]):
                value = x[row, c]
                g = gradient[row, c] if value * gain[c] + shift[c] > 0 else type(value)(0)
                found[row, c] = gain[c] * g - constant[c] - slope[c] * (value - mean[c])
