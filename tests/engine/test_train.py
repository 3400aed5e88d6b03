"""A resumed run: settings that may change, its best checkpoint, and requests to stop."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.drawn import MICRO

from g3d import config
from g3d.engine import checkpoint
from g3d.engine.distributed import Processes
from g3d.engine.train import _Stop, train
from g3d.engine.trainer import Trainer
from g3d.errors import InputError
from g3d.metrics.table import Table
from g3d.prepare.kitti import prepare_kitti

ALONE = Processes(0, 1, torch.device("cpu"))


def trainer(data: Path, *settings: str) -> Trainer:
    return Trainer(config.load("monodle-ddml-tiny", [*MICRO, *settings]), data, ALONE)


@pytest.fixture
def saved(drawn_kitti: Path, tmp_path: Path) -> Path:
    """A checkpoint after the first of two steps of an epoch."""
    prepare_kitti(drawn_kitti)
    run = trainer(drawn_kitti, "optim.weight_decay=0.1")
    next(iter(run))
    file = tmp_path / "checkpoints" / "last.pt"
    checkpoint.write(file, run.config, run.model.state_dict(), run.state(drawn_kitti))
    return file


def resumed(data: Path, file: Path, *settings: str) -> Trainer:
    read = checkpoint.read(file, settings)
    run = Trainer(read.config, data, ALONE, fresh=False)
    run.restore(read)
    return run


def test_settings_of_the_optimiser_may_change(drawn_kitti: Path, saved: Path) -> None:
    def decays(run: Trainer) -> set[Any]:
        return {group["weight_decay"] for group in run.optimizer.param_groups}

    assert 0.1 in decays(resumed(drawn_kitti, saved))
    assert decays(resumed(drawn_kitti, saved, "optim.weight_decay=0.3")) == {0.0, 0.3}


@pytest.mark.parametrize("setting", ["train.batch=2", "train.seed=5", "data.train=trainval"])
def test_within_an_epoch_the_batches_may_not_change(drawn_kitti: Path, saved: Path, setting: str) -> None:
    with pytest.raises(InputError, match=f"after 1 steps of it: {setting.partition('=')[0]} cannot change"):
        resumed(drawn_kitti, saved, setting)


def test_a_split_that_shrank(drawn_kitti: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never reach the end of the epoch."""
    monkeypatch.setattr(
        "g3d.data.kitti.raw.KittiRoot.split", lambda self, name: ["000000", "000001", "000002", "000003"]
    )
    with pytest.raises(InputError, match="the split now makes 1"):
        resumed(drawn_kitti, saved)


def test_the_best_evaluation_s_checkpoint_is_kept(
    drawn_kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also against those before a resumption; an evaluation without a score is no best."""
    prepare_kitti(drawn_kitti)
    scores = iter([1.0, 3.0, 2.0, None, 2.5, 3.5])
    monkeypatch.setattr("g3d.engine.train.evaluate_model", lambda *_: Table("made", (), (), {}, score=next(scores)))
    run = tmp_path / "run"

    def best_after(epochs: int, resume: bool) -> int:
        saved = checkpoint.read(run / "checkpoints" / "last.pt", (f"train.epochs={epochs}",)) if resume else None
        settings = [*MICRO, "train.batch=4", "train.eval_epochs=1", f"train.epochs={epochs}"]
        train(
            saved.config if saved else config.load("monodle-ddml-tiny", settings),
            drawn_kitti,
            ALONE,
            out=run,
            resume=saved,
        )
        return int(checkpoint.read(run / "checkpoints" / "best.pt").training["epoch"])

    assert best_after(1, resume=False) == 1
    assert best_after(3, resume=True) == 2
    assert best_after(5, resume=True) == 2
    assert best_after(6, resume=True) == 6
    recorded = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["score"] for line in recorded if "score" in line] == [1.0, 3.0, 2.0, None, 2.5, 3.5]


def test_a_score_that_is_no_number_is_no_best(drawn_kitti: Path) -> None:
    prepare_kitti(drawn_kitti)
    made = trainer(drawn_kitti)
    assert [made.note_evaluation(score) for score in (float("nan"), 1.0, float("nan"), 0.5, 2.0)] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_an_evaluation_that_a_stop_prevented_is_made_later(
    drawn_kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is made once. Going on from an earlier checkpoint, a best one from later does not count."""
    prepare_kitti(drawn_kitti)
    scores = iter([5.0, RuntimeError("killed"), 6.0, 1.0])

    def evaluated(*_: Any) -> Table:
        score = next(scores)
        if isinstance(score, Exception):
            raise score
        return Table("made", (), (), {}, score=score)

    def resume(name: str, *settings: str) -> None:
        saved = checkpoint.read(run / "checkpoints" / name, settings)
        train(saved.config, drawn_kitti, ALONE, resume=saved)

    def kept(name: str) -> int:
        return int(checkpoint.read(run / "checkpoints" / name).training["epoch"])

    monkeypatch.setattr("g3d.engine.train.evaluate_model", evaluated)
    run = tmp_path / "run"
    settings = [
        *MICRO,
        "train.batch=4",
        "train.eval_epochs=1",
        "train.epochs=2",
        "train.checkpoint_epochs=1",
        "train.log_steps=100",
    ]
    with pytest.raises(RuntimeError, match="killed"):
        train(config.load("monodle-ddml-tiny", settings), drawn_kitti, ALONE, out=run)
    assert kept("best.pt") == 1
    resume("last.pt")
    assert kept("best.pt") == 2
    resume("last.pt")
    resume("epoch_1.pt", "train.epochs=2")
    assert (kept("best_before_resume.pt"), (run / "checkpoints" / "best.pt").exists()) == (2, False)
    recorded = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["score"] for line in recorded if "score" in line] == [5.0, 1.0]
    assert next(scores, None) is None


def test_signals_that_come_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("g3d.engine.train.time.monotonic", lambda: now[0])
    stop = _Stop()
    stop(signal.SIGTERM, None)
    now[0] += 0.2
    stop(signal.SIGTERM, None)
    assert stop.requested
    now[0] += 2
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGINT, None)


def test_the_rate_of_every_step_is_that_of_its_position(drawn_kitti: Path, tmp_path: Path) -> None:
    prepare_kitti(drawn_kitti)
    schedule = ("optim.schedule=poly", "optim.schedule_unit=step", "optim.lr=0.004", "optim.final_lr=0.002")
    chosen = config.load("monodle-ddml-tiny", [*MICRO, *schedule])
    done = train(chosen, drawn_kitti, ALONE, out=tmp_path / "run")
    lines = [json.loads(line) for line in (done.run / "metrics.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if "lr" in line]
    assert len(rates) == done.steps == 4
    assert rates == pytest.approx([0.004, 0.0035, 0.003, 0.0025])
    groups = checkpoint.read(done.checkpoint).training["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([0.0025] * len(groups))


def test_scores_on_another_split_are_not_compared(
    drawn_kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_kitti(drawn_kitti)
    scores = iter([5.0, 1.0, 0.5])  # on val; on trainval before going on, and after the second epoch
    monkeypatch.setattr("g3d.engine.train.evaluate_model", lambda *_: Table("made", (), (), {}, score=next(scores)))
    run, settings = tmp_path / "run", [*MICRO, "train.batch=4", "train.eval_epochs=1", "train.epochs=1"]
    train(config.load("monodle-ddml-tiny", settings), drawn_kitti, ALONE, out=run)
    saved = checkpoint.read(run / "checkpoints" / "last.pt", ("train.epochs=2", "data.val=trainval"))
    train(saved.config, drawn_kitti, ALONE, resume=saved)
    assert checkpoint.read(run / "checkpoints" / "best.pt").training["best"] == 1.0
    assert checkpoint.read(run / "checkpoints" / "best_before_resume.pt").training["best"] == 5.0


def test_a_checkpoint_that_changed_since_it_was_read_is_refused(drawn_kitti: Path, saved: Path) -> None:
    read = checkpoint.read(saved)
    saved.touch()
    with pytest.raises(InputError, match="another process has trained on"):
        train(read.config, drawn_kitti, ALONE, resume=read)
