"""What a loss or a layer needs from the other processes of a run; all of it does nothing in a single process.

Gradients are averaged over processes by DistributedDataParallel. A loss that is a mean over the global batch is
therefore local sum times processes / global count: its mean over the processes is the global mean. Every process must
call these functions in the same order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from g3d.nn.precision import at_least_float32


def world_size() -> int:
    """Processes of this run; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of every process's `values` (same shape everywhere), without gradient."""
    values = values.detach()
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather_objects(rows: Tensor) -> Tensor:
    """The rows (N, C) of all processes in rank order, (sum of N, C); N may differ between processes.

    The gradient reaches this process's rows only, times the number of processes: it is right when every process
    computes the same value from the result and gradients are then averaged, and it needs no communication in the
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
    """Every batch norm takes its training statistics over all processes; parameters, buffers and their names stay.

    On CUDA these are PyTorch's SyncBatchNorm, which has no CPU implementation; elsewhere SyncBatchNorm2d.
    """
    parameter = next(module.parameters(), None)
    if parameter is not None and parameter.is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SyncBatchNorm2d
    return module


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, on any device; one collective forward and one backward.

    Each process computes its own mean and squared deviations; the two are merged as in Chan et al. (1979), which loses
    no digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        if self.momentum is None or not self.track_running_stats or not self.affine:
            raise ValueError("SyncBatchNorm2d: expected a momentum, running statistics and an affine transform")
        out, mean, variance, count = _SyncBatchNorm.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return out


class _SyncBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, float]:
        local_variance, local_mean = torch.var_mean(at_least_float32(x), (0, 2, 3), correction=0)
        local_count = x.numel() // x.shape[1]
        parts = local_mean.new_zeros((world_size(), 3, x.shape[1]))
        parts[dist.get_rank()] = torch.stack([local_mean, local_variance, torch.full_like(local_mean, local_count)])
        means, variances, counts = sum_over_ranks(parts).unbind(1)
        count = float(counts[:, 0].sum())
        mean = (means * counts).sum(0) / count
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / count
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.count = count
        ctx.mark_non_differentiable(mean, variance)
        gain = scale * weight
        out = x * gain.view(-1, 1, 1) + (bias - mean * gain).view(-1, 1, 1)
        return out.to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = at_least_float32(gradient)
        normalised = (x - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1)
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normalised).sum((0, 2, 3))])
        means = (sum_over_ranks(sums) / ctx.count).view(2, -1, 1, 1)
        inner = gradient - means[0] - normalised * means[1]
        return (inner * (weight * scale).view(-1, 1, 1)).to(x.dtype), sums[1], sums[0], None
