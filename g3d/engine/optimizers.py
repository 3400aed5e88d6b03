"""Optimisers of the published systems that are not PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class AdamWScaledDecay(Optimizer):
    """AdamW as JLN, Mono3DVG-TR and MonoDETR train with it: decay and eps within the bias-corrected step.

    p <- p - step (weight_decay p + m / (sqrt(v) + eps)) with step = lr sqrt(1 - b2^t) / (1 - b1^t). Beside
    torch.optim.AdamW, the decay shrinks with the correction (to 0.32 of it at t = 1) and eps is not corrected. Source:
    ZhanYang-nwpu/Mono3DVG, from PyTorch 1.0.

    Args:
        params: parameters, or groups of them with options of their own.
        lr, betas, eps, weight_decay: as above; there is no check of what a preset has checked.
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
        """One step with the gradients at hand; parameters without one are left alone."""
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
