"""Both detectors through the command line: the same losses every time, exact resumption, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.detector_world import SYSTEMS, micro_detector, prepared_scans
from support.verbs import launched, succeeds

RECORDED = {
    "groupfree": [21.7649, 26.0864, 21.6644, 26.5926],
    "votenet": [21.9160, 20.3942, 19.4708, 23.6568],
}
"""Total losses of the first four steps of `train` below, on a CPU with the pinned versions: others draw otherwise."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_scans(tmp_path_factory.mktemp("scans"), 8)


def train(system: str, data: Path, run: Path, *settings: str) -> tuple[str, ...]:
    arguments = micro_detector(system, *settings)
    return ("train", "--preset", f"{system}-tiny", "--data", str(data), "--out", str(run), *arguments)


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"]["total"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="recorded with PyTorch 2.13")
@pytest.mark.parametrize("system", SYSTEMS)
def test_four_steps_give_the_recorded_losses(world: Path, tmp_path: Path, system: str) -> None:
    succeeds(*train(system, world, tmp_path / "run", "optim.lr=1e-4"))
    assert losses(tmp_path / "run")[:4] == pytest.approx(RECORDED[system], rel=1e-3)


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_epochs_are_one_and_another_after_resuming(world: Path, tmp_path: Path, system: str) -> None:
    """Bit for bit, with dropout, drawn points, augmentation and the momentum of the batch norms."""
    succeeds(*train(system, world, tmp_path / "whole"))
    succeeds(*train(system, world, tmp_path / "parts", "train.epochs=1"))
    succeeds("train", "--resume", str(tmp_path / "parts"), "--set", "train.epochs=2")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "last.pt", weights_only=True)["model"] for run in ("whole", "parts")
    )
    assert one.keys() == two.keys()
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_reach_the_losses_of_one(world: Path, tmp_path: Path, system: str) -> None:
    """Without dropout, which each process draws for itself. Batch norms have the statistics of the whole batch."""
    settings = ("train.batch=4", "train.epochs=3", "optim.lr=1e-5")
    settings += ("model.dropout=0",) if system == "groupfree" else ()
    for count in (1, 2):
        launched(count, *train(system, world, tmp_path / str(count), *settings))
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-4)
    tables = [json.loads(launched(count, "eval", "--ckpt", str(tmp_path / "1"), "--json")) for count in (1, 2, 3)]
    assert tables[0]["metrics"] == tables[1]["metrics"] == tables[2]["metrics"]


def test_the_momentum_of_batch_norms_follows_the_epoch(world: Path, tmp_path: Path) -> None:
    from g3d import config
    from g3d.engine.trainer import Trainer

    settings = micro_detector("votenet", "train.epochs=3", "train.batch=4", "optim.norm_momentum.least=0.2")[1::2]
    trainer = Trainer(config.load("votenet-tiny", settings), world)
    norms = [module for module in trainer.model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert [{norm.momentum for norm in norms} for _ in trainer] == [{0.5}, {0.25}, {0.2}]
