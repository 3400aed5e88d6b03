"""The published AdamW: its formula, beside PyTorch's, in parts, and after a resume."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from g3d.engine.schedule import build_optimizer, set_learning_rate
from g3d.systems.jln.config import OptimConfig
from g3d.systems.jln.optimizer import AdamWScaledDecay
from g3d.systems.jln.system import SYSTEM


def parameters(count: int = 3) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(4, 2 + i, generator=draw, dtype=torch.float64).requires_grad_() for i in range(count)]


def give_gradients(params: list[Tensor], step: int, without: int | None = None) -> None:
    draw = torch.Generator().manual_seed(100 + step)
    for index, parameter in enumerate(params):
        gradient = torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
        parameter.grad = None if index == without else gradient


def by_hand(start: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    p, m, v = start.detach().clone(), torch.zeros_like(start), torch.zeros_like(start)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * (decay * p + m / (v.sqrt() + 1e-8))
    return p


def test_its_steps_are_the_formulas() -> None:
    params = parameters()
    start = [p.detach().clone() for p in params]
    optimizer = AdamWScaledDecay(
        [{"params": params[:1], "weight_decay": 0.0}, {"params": params[1:]}], lr=1e-2, weight_decay=0.1
    )
    given: list[list[Tensor]] = [[] for _ in params]
    for step in range(6):
        give_gradients(params, step, without=2 if step == 3 else None)  # a parameter without gradient counts no step
        for seen, parameter in zip(given, params, strict=True):
            seen.extend([] if parameter.grad is None else [parameter.grad.clone()])
        optimizer.step()
    for parameter, first, seen, decay in zip(params, start, given, (0.0, 0.1, 0.1), strict=True):
        torch.testing.assert_close(parameter.detach(), by_hand(first, seen, 1e-2, decay), rtol=1e-12, atol=1e-14)


def test_a_resumed_run_takes_the_same_steps_bit_for_bit() -> None:
    params = parameters()
    optimizer = AdamWScaledDecay(params, lr=1e-2, weight_decay=0.1)
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
    others = [p.detach().clone().requires_grad_() for p in params]
    resumed = AdamWScaledDecay(others, lr=5.0, weight_decay=0.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, 6):
        for values, stepper in ((params, optimizer), (others, resumed)):
            give_gradients(values, step)
            stepper.step()
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))


def test_the_preset_builds_it_with_its_groups() -> None:
    first, second = (p.detach().float().requires_grad_() for p in parameters(2))
    optim = OptimConfig(name="adamw_scaled_decay", lr=1e-3, weight_decay=0.5, betas=(0.8, 0.9))
    groups = [{"params": [first], "weight_decay": 0.0}, {"params": [second], "lr_scale": 0.1}]
    optimizer = build_optimizer(groups, optim, SYSTEM.optimizers)
    assert isinstance(optimizer, AdamWScaledDecay)
    set_learning_rate(optimizer, 1e-2)
    assert [(g["lr"], g["weight_decay"], g["betas"]) for g in optimizer.param_groups] == [
        (1e-2, 0.0, (0.8, 0.9)),
        (1e-3, 0.5, (0.8, 0.9)),
    ]
    give_gradients([first, second], 0)
    optimizer.step()
    assert math.isfinite(float(first.detach().sum() + second.detach().sum()))


def test_the_first_steps_decay_less_than_pytorchs() -> None:
    """At t = 1 decay is scaled by sqrt(1 - 0.999) / (1 - 0.9) = 0.316, and later fully."""
    parameter = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = AdamWScaledDecay([parameter], lr=1e-3, weight_decay=1.0)
    parameter.grad = torch.zeros(1, dtype=torch.float64)
    optimizer.step()
    assert 1 - parameter.item() == pytest.approx(1e-3 * 0.31623, rel=1e-4)
