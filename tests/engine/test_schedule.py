"""Learning rates of every schedule, against PyTorch's schedulers and by hand; optimisers and their groups."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from support.rates import rates
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, PolynomialLR

from g3d import config
from g3d.config import OptimConfig
from g3d.engine.schedule import build_optimizer, set_learning_rate
from g3d.errors import InputError


def optim(**settings: Any) -> OptimConfig:
    return OptimConfig.model_validate({"lr": 0.5, **settings})


def pytorchs(steps: int, make: Any) -> list[float]:
    """The rates that one of PyTorch's schedulers gives to an optimiser of rate 0.5."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler: LRScheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"schedule": "cosine"}, lambda o: CosineAnnealingLR(o, 12)),
        ({"schedule": "cosine", "final_lr": 0.1}, lambda o: CosineAnnealingLR(o, 12, eta_min=0.1)),
        ({"schedule": "poly"}, lambda o: PolynomialLR(o, 12)),
        ({"schedule": "poly", "power": 0.9}, lambda o: PolynomialLR(o, 12, power=0.9)),
    ],
)
def test_curves_per_step_are_pytorchs(settings: dict[str, Any], make: Any) -> None:
    found = rates(optim(schedule_unit="step", **settings), epochs=4, steps_per_epoch=3)
    np.testing.assert_allclose(found, pytorchs(12, make), rtol=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_curves_per_epoch_are_constant_within_an_epoch(schedule: str) -> None:
    found = rates(optim(schedule=schedule, final_lr=0.1), epochs=4, steps_per_epoch=3)
    np.testing.assert_array_equal(found, np.repeat(rates(optim(schedule=schedule, final_lr=0.1), epochs=4), 3))
    assert found[0] == 0.5
    assert found[-1] > 0.1  # the curve ends one unit after the last one


def test_poly_by_hand() -> None:
    found = rates(optim(schedule="poly", power=2, final_lr=0.1), epochs=4)
    np.testing.assert_allclose(found, [0.1 + 0.4 * share**2 for share in (1, 0.75, 0.5, 0.25)], rtol=1e-12)


def test_step_decays_by_epochs_or_by_steps() -> None:
    per_epoch = optim(decay_epochs=[1, 3], decay_rate=0.5)
    expected = [0.5] * 2 + [0.25] * 4 + [0.125] * 2
    np.testing.assert_allclose(rates(per_epoch, 4, 2), expected)
    np.testing.assert_allclose(rates(optim(schedule_unit="step", decay_epochs=[1, 3], decay_rate=0.5), 4, 2), expected)
    np.testing.assert_allclose(rates(optim(schedule_unit="step", decay_steps=[2, 6], decay_rate=0.5), 4, 2), expected)


@pytest.mark.parametrize("length", [{"warmup_steps": 4}, {"warmup_epochs": 2}])
@pytest.mark.parametrize("curve", ["linear", "cosine"])
def test_warm_up_per_step(length: dict[str, int], curve: str) -> None:
    found = rates(optim(schedule_unit="step", warmup=curve, warmup_lr=0.1, **length), epochs=3, steps_per_epoch=2)
    shares = {"linear": [0, 0.25, 0.5, 0.75, 1, 1], "cosine": [(1 - math.cos(math.pi * n / 4)) / 2 for n in range(5)]}
    np.testing.assert_allclose(found, [0.1 + 0.4 * share for share in (*shares[curve], 1)[:6]], rtol=1e-12)


def test_warm_up_per_epoch_is_linear_or_cosine() -> None:
    linear, cosine = (rates(optim(warmup=curve, warmup_epochs=4, warmup_lr=0.1), 5) for curve in ("linear", "cosine"))
    np.testing.assert_allclose(linear, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert cosine[1] < linear[1]
    assert cosine[2] == pytest.approx(linear[2])
    assert cosine[3] > linear[3]


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_a_curve_starts_after_the_warm_up_or_with_it(schedule: str) -> None:
    shared = {"schedule": schedule, "warmup": "linear", "warmup_epochs": 2}
    after = rates(optim(**shared, decay_counts_warmup=False), 6)
    np.testing.assert_allclose(after[:2], [0, 0.25])
    np.testing.assert_allclose(after[2:], rates(optim(schedule=schedule), 4))
    together, plain = rates(optim(**shared), 6), rates(optim(schedule=schedule), 6)
    np.testing.assert_allclose(together, plain * [0, 0.5, 1, 1, 1, 1])


def test_a_warm_up_as_long_as_the_run() -> None:
    settings = {"schedule": "cosine", "warmup": "linear", "warmup_epochs": 4, "decay_counts_warmup": False}
    np.testing.assert_allclose(rates(optim(**settings), 4), [0, 0.125, 0.25, 0.375])


def test_the_default_is_a_constant_rate() -> None:
    assert set(rates(optim(), 5, 2)) == {0.5}


def test_a_published_schedule_falls_twice() -> None:
    found = rates(config.load("monodle").optim, 140)
    falls = [epoch + 1 for epoch, (now, then) in enumerate(pairwise(found)) if then < now]
    assert falls == [95, 125]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["schedule=linear"], "'step', 'cosine' or 'poly'"),
        (["schedule=step", "final_lr=1e-6"], "schedule: step does not use final_lr: expected its default 0.0"),
        (["schedule=step", "power=0.9"], "schedule: step does not use power"),
        (["schedule=cosine"], "schedule: cosine does not use decay_epochs: expected its default []"),
        (["schedule=cosine", "decay_epochs=[]", "power=2"], "schedule: cosine does not use power"),
        (["schedule=poly", "decay_epochs=[]", "decay_rate=0.5"], "schedule: poly does not use decay_rate"),
        (["warmup_steps=5"], "schedule_unit: epoch does not use warmup_steps"),
        (["decay_steps=[5]"], "schedule_unit: epoch does not use decay_steps"),
        (["schedule_unit=step", "warmup_steps=5"], "warmup_epochs and warmup_steps exclude each other"),
        (["schedule_unit=step", "decay_steps=[5]"], "decay_epochs and decay_steps exclude each other"),
        (["schedule=cosine", "decay_epochs=[]", "final_lr=1"], "final_lr: found 1, expected at most lr (0.00125)"),
        (["betas=[0.9, 1.0]"], "less than 1"),
        (["name=adam-w"], "found 'adam-w': expected one of adam, adamw; did you mean 'adamw'?"),
        (["name=adamw_scaled_decay"], "expected one of adam, adamw"),  # of another system
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        config.load("monodle", [f"optim.{setting}" for setting in settings])
    assert said in caught.value.message


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_every_optimiser_is_built_with_its_groups(name: str, kind: type) -> None:
    first, second = (torch.ones(3, requires_grad=True) for _ in range(2))
    groups = [{"params": [first], "weight_decay": 0.0}, {"params": [second], "lr_scale": 0.1}]
    optimizer = build_optimizer(groups, optim(name=name, weight_decay=0.5, betas=(0.8, 0.9)), {})
    assert type(optimizer) is kind
    set_learning_rate(optimizer, 1e-2)
    assert [(g["lr"], g["weight_decay"], g["betas"]) for g in optimizer.param_groups] == [
        (1e-2, 0.0, (0.8, 0.9)),
        (1e-3, 0.5, (0.8, 0.9)),
    ]


def test_a_system_brings_an_optimiser_of_its_own() -> None:
    class Mine(OptimConfig):
        optimizers = (*OptimConfig.optimizers, "sgd")
        momentum: float = 0.0

    def sgd(groups: list[dict[str, Any]], settings: Mine) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)

    settings = Mine(name="sgd", lr=0.5, momentum=0.9)
    built = build_optimizer([{"params": [torch.ones(1, requires_grad=True)]}], settings, {"sgd": sgd})
    assert isinstance(built, torch.optim.SGD)
    assert built.param_groups[0]["momentum"] == 0.9
