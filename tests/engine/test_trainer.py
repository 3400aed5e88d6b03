"""A Trainer is driven from Python: it advances by itself, and stops at the step where a loss is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.drawn import MICRO
from torch import Tensor

from g3d import config as presets
from g3d.engine.distributed import Processes
from g3d.engine.trainer import Trainer, TrainingFailed
from g3d.position import Position
from g3d.prepare.kitti import prepare_kitti

ALONE = Processes(0, 1, torch.device("cpu"))


def trainer(data: Path, *settings: str) -> Trainer:
    prepare_kitti(data)
    return Trainer(presets.load("monodle-ddml-tiny", [*MICRO, "train.workers=0", *settings]), data, ALONE)


def test_iterating_makes_the_whole_run(drawn_kitti: Path) -> None:
    run = trainer(drawn_kitti, "train.batch=2", "train.epochs=2")
    positions = [step.at for step in run]
    assert positions == [Position(step // 4, step, 4, 2) for step in range(8)]
    assert (run.epoch, run.step_in_epoch, run.steps) == (2, 0, 8)
    assert list(run) == []


def test_it_goes_on_from_within_an_epoch(drawn_kitti: Path) -> None:
    """Two iterations one after the other make the same steps as one."""
    whole = [float(step.losses["total"]) for step in trainer(drawn_kitti, "train.batch=2", "train.epochs=2")]
    run, found = trainer(drawn_kitti, "train.batch=2", "train.epochs=2"), []
    for step in run:
        found.append(float(step.losses["total"]))
        if len(found) == 3:
            break
    assert (run.epoch, run.step_in_epoch) == (0, 3)
    found += [float(step.losses["total"]) for step in run]
    assert found == whole


def test_losses_are_given_the_position(drawn_kitti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = trainer(drawn_kitti, "train.batch=4", "train.accumulate=2", "train.epochs=2"), []
    losses = run.system.losses

    def noted(model: Any, batch: Any, config: Any, at: Position) -> Mapping[str, Tensor]:
        seen.append((at.epoch, at.step))
        return losses(model, batch, config, at)

    monkeypatch.setattr(run.system, "losses", noted)
    assert len(list(run)) == 4
    assert seen == [(0, 0), (0, 0), (0, 1), (0, 1), (1, 2), (1, 2), (1, 3), (1, 3)]


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(
    drawn_kitti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between two lines of the log."""
    run = trainer(drawn_kitti, "train.batch=2", "train.epochs=2", "train.log_steps=1000")
    losses = run.system.losses

    def broken(model: Any, batch: Any, config: Any, at: Position) -> Mapping[str, Tensor]:
        terms = losses(model, batch, config, at)
        return (
            {**terms, "depth": terms["depth"] * float("nan"), "total": terms["total"] * float("nan")}
            if (at.step == 2)
            else terms
        )

    monkeypatch.setattr(run.system, "losses", broken)
    with pytest.raises(TrainingFailed, match=r"no longer finite at step 3, epoch 1 \(terms: depth\)"):
        for _ in run:
            pass
    assert run.steps == 2
    assert all(bool(parameter.isfinite().all()) for parameter in run.model.parameters())


def test_the_best_score_is_kept_in_the_state(drawn_kitti: Path) -> None:
    run = trainer(drawn_kitti)
    assert [run.note_evaluation(score) for score in (1.0, None, 0.5, 1.5)] == [True, False, False, True]
    assert (run.state(drawn_kitti)["best"], run.state(drawn_kitti)["evaluated"]) == (1.5, 0)
