"""Optimisers and the learning rate of each epoch, from the `optim` section of a preset."""

from __future__ import annotations

import math
from typing import Any

import torch

from g3d.config import OptimConfig
from g3d.engine.optimizers import AdamWScaledDecay


def learning_rate(optim: OptimConfig, epoch: int) -> float:
    """The rate in force during an epoch, counted from 0: cosine warm-up, then a factor at each decay epoch.

    A function of the epoch alone, so a resumed run continues as it would have. Source: xinzhuma/monodle, whose decay
    counter starts after the warm-up (`decay_counts_warmup: false`).
    """
    if epoch < optim.warmup_epochs:
        progress = (1 - math.cos(math.pi * epoch / optim.warmup_epochs)) / 2
        return optim.warmup_lr + (optim.lr - optim.warmup_lr) * progress
    counted = epoch if optim.decay_counts_warmup else epoch - optim.warmup_epochs
    return optim.lr * optim.decay_rate ** sum(counted >= decay for decay in optim.decay_epochs)


def build_optimizer(groups: list[dict[str, Any]], optim: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser over a system's parameter groups; `lr_scale` in a group multiplies the rate of that group."""
    groups = [{"lr_scale": 1.0, "weight_decay": optim.weight_decay, **group} for group in groups]
    if optim.name == "adamw_scaled_decay":
        return AdamWScaledDecay(groups, lr=optim.lr, betas=optim.betas)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim.name]
    return kind(groups, lr=optim.lr, betas=optim.betas, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
