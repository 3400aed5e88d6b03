"""The optimiser that JLN, Mono3DVG-TR and MonoDETR were trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from g3d.systems.jln.config import OptimConfig


class AdamWScaledDecay(Optimizer):
    """An early form of AdamW: weight decay and eps are part of the bias-corrected step.

    p <- p - step (weight_decay p + m / (sqrt(v) + eps)) with step = lr sqrt(1 - b2^t) / (1 - b1^t). In contrast to
    torch.optim.AdamW, the decay is scaled by the correction (by 0.32 at t = 1) and eps is not corrected.

    Source: ZhanYang-nwpu/Mono3DVG, which took it from PyTorch 1.0.

    Args:
        params: parameters, or groups of parameters with their own options.
        lr, betas, eps, weight_decay: see the formula; the preset's schema validates their values.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with the current gradients; parameters without a gradient do not change."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group, [p for p in group["params"] if p.grad is not None])
        return loss

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        if not parameters:
            return
        states = [self._state_of(parameter) for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        means, squares = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        first, second = group["betas"]
        torch._foreach_mul_(means, first)
        torch._foreach_add_(means, gradients, alpha=1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
        scales = torch._foreach_sqrt(squares)
        torch._foreach_add_(scales, group["eps"])
        updates = torch._foreach_mul(parameters, group["weight_decay"])
        torch._foreach_addcdiv_(updates, means, scales)
        for state in states:
            state["step"] += 1
        steps = [group["lr"] * (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"]) for state in states]
        torch._foreach_mul_(updates, steps)
        torch._foreach_sub_(parameters, updates)

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
        return state


def adamw_scaled_decay(groups: list[dict[str, Any]], optim: OptimConfig) -> AdamWScaledDecay:
    """Return the optimiser for the `optim` section of a preset; each group sets its own `weight_decay`."""
    return AdamWScaledDecay(groups, lr=optim.lr, betas=optim.betas)
