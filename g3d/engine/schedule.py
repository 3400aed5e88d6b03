"""Build the optimiser and compute the learning rate of each step from the `optim` section of a preset."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from g3d.config import NormMomentum, OptimConfig
from g3d.position import Position


def learning_rate(optim: OptimConfig, position: Position) -> float:
    """Return the base learning rate of the optimiser step at a position.

    The rate depends only on the position, so a resumed run continues like an uninterrupted one. Units are epochs or
    steps (`schedule_unit`), counted from 0. The run has N units; the first W are the warm-up. Let n be the current
    unit, c = n and C = N with `decay_counts_warmup`, c = n - W and C = N - W without it:

    - step: lr * decay_rate^k, where k is the number of decay epochs or steps that are at most c.
    - cosine: final_lr + (lr - final_lr) * (1 + cos(pi * c / C)) / 2.
    - poly: final_lr + (lr - final_lr) * (1 - c / C)^power.

    For cosine and poly without `decay_counts_warmup`, the first unit after the warm-up has the rate lr. Both curves
    reach final_lr at c = C, one unit after the last one; the rate of the last unit, c = C - 1, is still above final_lr,
    as in PyTorch's CosineAnnealingLR and PolynomialLR.

    The warm-up rises from warmup_lr at n = 0 to its target at n = W. The target is lr for step; for cosine and poly it
    is the value of the curve at n, or lr if the curve starts after the warm-up. Source of the step schedule with cosine
    warm-up: xinzhuma/monodle, whose decay counter starts after the warm-up (`decay_counts_warmup: false`).
    """
    unit = 1 if optim.schedule_unit == "epoch" else position.steps_per_epoch
    now = position.epoch if optim.schedule_unit == "epoch" else position.step
    warmup = optim.warmup_steps or optim.warmup_epochs * unit
    start = 0 if optim.decay_counts_warmup else warmup
    if optim.schedule == "step":
        milestones = optim.decay_steps or [epoch * unit for epoch in optim.decay_epochs]
        goal = optim.lr
        decayed = optim.lr * optim.decay_rate ** sum(now - start >= milestone for milestone in milestones)
    else:
        goal = decayed = _curve(optim, now - start, position.epochs * unit - start)
    if now >= warmup:
        return decayed
    progress = (1 - math.cos(math.pi * now / warmup)) / 2 if optim.warmup == "cosine" else now / warmup
    return optim.warmup_lr + (goal - optim.warmup_lr) * progress


def _curve(optim: OptimConfig, done: int, length: int) -> float:
    """Return the cosine or poly rate after `done` of `length` units; `done` is clamped to this range."""
    progress = min(max(done / length, 0.0), 1.0) if length > 0 else 0.0
    share = (1 + math.cos(math.pi * progress)) / 2 if optim.schedule == "cosine" else (1 - progress) ** optim.power
    return optim.final_lr + (optim.lr - optim.final_lr) * share


def build_optimizer(
    groups: list[dict[str, Any]],
    optim: OptimConfig,
    more: Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]],
) -> Optimizer:
    """Return the optimiser that a preset names.

    Args:
        groups: a system's parameter groups. `lr_scale` in a group multiplies its rate; a group without `weight_decay`
            gets that of `optim`.
        optim: the `optim` section of the preset.
        more: the system's own optimisers: name -> function of (groups, optim).
    """
    groups = [{"lr_scale": 1.0, "weight_decay": optim.weight_decay, **group} for group in groups]
    if optim.name in more:
        return more[optim.name](groups, optim)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim.name]
    return kind(groups, lr=optim.lr, betas=optim.betas, fused=True)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to `rate` times its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def set_norm_momentum(model: nn.Module, settings: NormMomentum, epoch: int) -> None:
    """Set the momentum of all batch norms of a network to that of an epoch, counted from 0.

    Source: BNMomentumScheduler of facebookresearch/votenet.
    """
    momentum = max(settings.initial * settings.rate ** (epoch // settings.epochs), settings.least)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = momentum
