"""`norm_relu`: the face of kernels/norm_relu.py. Checks, dispatch by device, gradient, registration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import norm_relu as kernel
from g3d.ops.registry import Operator


def norm_relu(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ReLU of the batch norm of rows with the batch's own statistics, and these statistics.

    Args:
        x: (N, C) float32 or float64, N at least 2.
        weight: (C,) same dtype and device.
        bias: (C,) same dtype and device.
        eps: added to the variance, above 0.

    Returns:
        (N, C) in the dtype of x, differentiable with respect to x, weight and bias; mean (C,) and biased variance (C,),
        without gradient. On a CPU the same to the bit with any number of threads.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; there are fewer than two rows.

    Source: Ioffe and Szegedy 2015, as in torch.nn.BatchNorm1d.
    """
    if x.dim() != 2 or x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x: expected (N, C) float32 or float64, found {tuple(x.shape)} {x.dtype}")
    if len(x) < 2:
        raise ValueError(f"x: expected at least 2 rows for statistics, found {len(x)}")
    for name, values in (("weight", weight), ("bias", bias)):
        if values.shape != x.shape[1:] or values.dtype != x.dtype or values.device != x.device:
            found = f"{tuple(values.shape)} {values.dtype} on {values.device}"
            raise ValueError(f"{name}: expected ({x.shape[1]},) {x.dtype} on {x.device}, found {found}")
    found, mean, variance = _operator(x, weight, bias, eps)
    return found, mean.detach(), variance.detach()


def _cpu(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    rows = x.detach().contiguous()
    means, squares = (np.empty((_blocks(x), x.shape[1]), rows.numpy().dtype) for _ in range(2))
    kernel.cpu_moments(rows.numpy(), means, squares)
    sizes = np.full((len(means), 1), kernel.BLOCK, np.float64)
    sizes[-1] = len(x) - (len(means) - 1) * kernel.BLOCK
    mean = (sizes * means).sum(0) / len(x)
    variance = (squares.sum(0, dtype=np.float64) + (sizes * (means - mean) ** 2).sum(0)) / len(x)
    mean_found, variance_found = torch.from_numpy(mean).to(x.dtype), torch.from_numpy(variance).to(x.dtype)
    gain, shift = _affine(weight, bias, mean_found, variance_found, eps)
    found = torch.empty_like(rows)
    kernel.cpu_apply(rows.numpy(), gain.numpy(), shift.numpy(), found.numpy())
    return found, mean_found, variance_found


def _cpu_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    rows, upstream = x.detach().contiguous().numpy(), gradient.detach().contiguous().numpy()
    gain, shift = (values.numpy() for values in _affine(weight, bias, mean, variance, eps))
    centre = mean.detach().numpy()
    sums, products = (np.empty((_blocks(x), x.shape[1]), rows.dtype) for _ in range(2))
    kernel.cpu_backward_sums(upstream, rows, gain, shift, centre, sums, products)
    scale = 1 / np.sqrt(variance.detach().numpy().astype(np.float64) + eps)
    of_bias, of_weight = sums.sum(0, dtype=np.float64), products.sum(0, dtype=np.float64) * scale
    constant, slope = gain * of_bias / len(x), gain * scale * of_weight / len(x)
    found = torch.empty(x.shape, dtype=x.dtype)
    kernel.cpu_backward_apply(
        upstream, rows, gain, shift, centre, constant.astype(rows.dtype), slope.astype(rows.dtype), found.numpy()
    )
    return found, torch.from_numpy(of_weight).to(x.dtype), torch.from_numpy(of_bias).to(x.dtype)


def _blocks(x: Tensor) -> int:
    return -(-len(x) // kernel.BLOCK)


def _affine(weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return gain and shift (C,): the norm is gain * x + shift. Forward and backward must find the same signs."""
    gain = weight.detach() * torch.rsqrt(variance.detach() + eps)
    return gain, bias.detach() - mean.detach() * gain


def _example() -> tuple[Tensor, Tensor, Tensor, float]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(600, 5, generator=draw) + 3, torch.rand(5, generator=draw), torch.rand(5, generator=draw), 1e-5


def _backward_example() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, float]:
    x, weight, bias, eps = _example()
    _, mean, variance = kernel.reference(x, weight, bias, eps)
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return gradient, x, weight, bias, mean, variance, eps


_operator = Operator(
    "norm_relu",
    reference=kernel.reference,
    cpu=_cpu,
    cuda=None,
    fake=lambda x, weight, bias, eps: (
        x.new_empty(x.shape),
        x.new_empty(weight.shape),
        x.new_empty(weight.shape),
    ),
    example=_example,
)
_backward_operator = Operator(
    "norm_relu_backward",
    reference=kernel.backward_reference,
    cpu=_cpu_backward,
    cuda=None,
    fake=lambda gradient, x, weight, bias, mean, variance, eps: (
        x.new_empty(x.shape),
        x.new_empty(weight.shape),
        x.new_empty(weight.shape),
    ),
    example=_backward_example,
)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3], *output[1:])
    ctx.eps = inputs[3]


def _backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    x, weight, bias, mean, variance = ctx.saved_tensors
    return *_backward_operator(gradient, x, weight, bias, mean, variance, ctx.eps), None


_backward_operator.refuse_gradient()
_operator.register_autograd(_backward, _setup_context)
