"""Cross entropy over a vocabulary, from hidden features to one loss for each word, without keeping logits.

PyTorch's composition keeps the logits, their log-softmax and the gradients of both, each (R, V). Here, logits are
computed for some rows at a time, and again in the backward pass, there only for rows whose loss has a gradient: those
of candidates that the loss leaves out cost nothing.

Letters in shapes: R rows, H channels, V words of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from g3d.nn.precision import at_least_float32

SMOOTHING = 0.1
_CHUNK = 1 << 20  # logits that are computed at a time


def word_losses(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float = SMOOTHING) -> Tensor:
    """Return the cross entropy of each row with label smoothing, (R,), float32 or wider.

    The loss of a row is (1 - smoothing) (-log p of its target) + smoothing (mean of -log p over the vocabulary), where
    p is the softmax of hidden weight^T + bias. It has first derivatives with respect to hidden, weight and bias.

    Args:
        hidden: (R, H).
        weight: (V, H).
        bias: (V,).
        targets: (R,) int64.
        smoothing: in 0..1.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        rows = at_least_float32(hidden)
        found: Tensor = _WordLosses.apply(rows, weight.to(rows.dtype), bias.to(rows.dtype), targets, smoothing)
        return found


class _WordLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        step = max(1, _CHUNK // len(weight))
        totals, losses = [hidden[:0, 0]], [hidden[:0, 0]]
        for rows, words in zip(hidden.split(step), targets.split(step), strict=True):
            logits = torch.addmm(bias, rows, weight.T)
            totals.append(logits.logsumexp(1))
            of_target = logits.gather(1, words[:, None])[:, 0]
            losses.append(totals[-1] - (1 - smoothing) * of_target - smoothing * logits.mean(1))
        ctx.save_for_backward(hidden, weight, bias, targets, torch.cat(totals))
        ctx.smoothing = smoothing
        return torch.cat(losses)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        hidden, weight, bias, targets, totals = ctx.saved_tensors
        to_hidden, to_weight, to_bias = torch.zeros_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        for rows in gradient.nonzero()[:, 0].split(max(1, _CHUNK // len(weight))):
            scale = gradient[rows, None]
            part = torch.addmm(bias, hidden[rows], weight.T).sub_(totals[rows, None]).exp_()
            part.sub_(ctx.smoothing / len(weight)).mul_(scale)
            part.scatter_add_(1, targets[rows, None], (ctx.smoothing - 1) * scale)
            to_hidden[rows] = part @ weight
            to_weight.addmm_(part.T, hidden[rows])
            to_bias += part.sum(0)
        return to_hidden, to_weight, to_bias, None, None
