"""Communication of losses and layers with the other processes of a run; in a single process it has no effect.

DistributedDataParallel averages gradients over processes. A loss that is a mean over the global batch is therefore
local sum times processes / global count: its mean over the processes is the global mean. Every process must call these
functions in the same order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from g3d.nn.precision import at_least_float32


def world_size() -> int:
    """Return the number of processes of this run; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of every process's `values` (same shape everywhere), without gradient."""
    values = values.detach()
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather_objects(rows: Tensor) -> Tensor:
    """Return the rows (N, C) of all processes in rank order, (sum of N, C); N may differ between processes.

    The gradient reaches this process's rows only, multiplied by the number of processes. This is correct if every
    process computes the same value from the result and gradients are then averaged; it needs no communication in the
    backward pass.
    """
    return rows if world_size() == 1 else _GatherObjects.apply(rows)


class _GatherObjects(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        counts = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
        counts[dist.get_rank()] = len(rows)
        sizes = sum_over_ranks(counts).tolist()
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        ctx.first = sum(sizes[: dist.get_rank()])
        ctx.count = len(rows)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[ctx.first : ctx.first + ctx.count] * world_size()


def convert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """Make every batch norm compute its training statistics over all processes.

    Parameters, buffers and names are unchanged. On CUDA the result has PyTorch's SyncBatchNorm, which has no CPU
    implementation; elsewhere it has SyncBatchNorm1d, 2d or 3d of this file. Processes may have different numbers of
    rows, or none.

    Raises:
        TypeError: a batch norm on the CPU is of a class that has no synchronised counterpart here.
    """
    parameter = next(module.parameters(), None)
    if parameter is not None and parameter.is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_modules():
        if type(child) in _SYNCHRONISED:
            child.__class__ = _SYNCHRONISED[type(child)]
        elif isinstance(child, _BatchNorm) and not isinstance(child, _Synchronised):
            known = ", ".join(kind.__name__ for kind in _SYNCHRONISED)
            raise TypeError(f"{name}: {type(child).__name__} cannot be synchronised, expected {known}")
    return module


class _Synchronised(_BatchNorm):
    """Batch norm over the batches of all processes, on any device; one collective in each of forward and backward.

    Each process computes its own mean and squared deviations; the two are merged as in Chan et al. (1979), without loss
    of precision.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised x (N, C) or (N, C, ...); N may differ between processes and be 0."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        if self.momentum is None or not self.track_running_stats or not self.affine:
            raise ValueError(f"{type(self).__name__}: expected a momentum, running statistics and an affine transform")
        out, mean, variance, count = _SyncBatchNorm.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return out


class SyncBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Synchronised BatchNorm1d: x (N, C) or (N, C, L)."""


class SyncBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Synchronised BatchNorm2d: x (N, C, H, W)."""


class SyncBatchNorm3d(_Synchronised, nn.BatchNorm3d):
    """Synchronised BatchNorm3d: x (N, C, D, H, W)."""


_SYNCHRONISED: dict[type[nn.Module], type[_Synchronised]] = {
    nn.BatchNorm1d: SyncBatchNorm1d,
    nn.BatchNorm2d: SyncBatchNorm2d,
    nn.BatchNorm3d: SyncBatchNorm3d,
}


class _SyncBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, float]:
        rows, shape = _layout_of(x)
        parts = at_least_float32(x).new_zeros((world_size(), 3, x.shape[1]))
        if x.numel():  # a process without rows takes part with zeros
            variance, mean = torch.var_mean(at_least_float32(x), rows, correction=0)
            count = torch.full_like(mean, x.numel() // x.shape[1])
            parts[dist.get_rank()] = torch.stack([mean, variance, count])
        means, variances, counts = sum_over_ranks(parts).unbind(1)
        total = float(counts[:, 0].sum())
        if total < 2:
            raise ValueError(f"batch norm: expected more than one value per channel in training, found {total:g}")
        mean = (means * counts).sum(0) / total
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / total
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.count = total
        ctx.mark_non_differentiable(mean, variance)
        gain = scale * weight
        out = x * gain.view(shape) + (bias - mean * gain).view(shape)
        return out.to(x.dtype), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        rows, shape = _layout_of(x)
        gradient = at_least_float32(gradient)
        normalised = (x - mean.view(shape)) * scale.view(shape)
        sums = torch.stack([gradient.sum(rows), (gradient * normalised).sum(rows)])
        means = sum_over_ranks(sums) / ctx.count
        inner = gradient - means[0].view(shape) - normalised * means[1].view(shape)
        return (inner * (weight * scale).view(shape)).to(x.dtype), sums[1], sums[0], None


def _layout_of(x: Tensor) -> tuple[list[int], tuple[int, ...]]:
    """Return the axes of x (N, C, ...) that a channel's statistics cover, and the shape that broadcasts (C,) over x."""
    return [0, *range(2, x.dim())], (-1, *[1] * (x.dim() - 2))
