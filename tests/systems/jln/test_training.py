"""JLN through the command line: the same losses every time, exact resumption, several processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from support.mono3drefer_world import micro_jln, mini_world
from support.verbs import g3d, launched

RECORDED = [86.3909, 137.4103, 48.4016, 231.3859]
"""Total losses of the first four steps of `train` below, on a CPU with the pinned versions: others draw otherwise."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_world(tmp_path_factory.mktemp("mini") / "mono3drefer")


def train(data: Path, run: Path, *settings: str) -> tuple[str, ...]:
    return ("train", "--preset", "jln-tiny", "--data", str(data), "--out", str(run), *micro_jln(*settings))


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"]["total"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="recorded with PyTorch 2.13")
def test_four_steps_give_the_recorded_losses(world: Path, tmp_path: Path) -> None:
    code, _, err = g3d(*train(world, tmp_path / "run", "optim.lr=1e-5"))
    assert code == 0, err
    assert losses(tmp_path / "run")[:4] == pytest.approx(RECORDED, rel=1e-3)


@pytest.mark.parametrize("sentences", [1, 2])
def test_two_epochs_are_one_and_another_after_resuming(world: Path, tmp_path: Path, sentences: int) -> None:
    """Bit for bit, with dropout and every augmentation."""
    settings = (f"data.sentences={sentences}", f"train.batch={2 // sentences}")
    for arguments in (
        train(world, tmp_path / "whole", *settings),
        train(world, tmp_path / "parts", "train.epochs=1", *settings),
        ("train", "--resume", str(tmp_path / "parts"), "--set", "train.epochs=2"),
    ):
        code, _, err = g3d(*arguments)
        assert code == 0, err
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "last.pt", weights_only=True)["model"] for run in ("whole", "parts")
    )
    assert one.keys() == two.keys()
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


@pytest.mark.slow
def test_two_processes_reach_the_losses_of_one(world: Path, tmp_path: Path) -> None:
    """Without dropout and guided places, which each process draws for itself. The contrastive pairs are those of the
    whole batch."""
    settings = ("train.batch=4", "train.epochs=3", "model.dropout=0", "model.reference=learned", "optim.lr=1e-5")
    for count in (1, 2):
        launched(count, *train(world, tmp_path / str(count), *settings))
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-4)
    states = torch.load(tmp_path / "2" / "checkpoints" / "last.pt", weights_only=True)["training"]["random"]
    assert not torch.equal(states[0]["torch"], states[1]["torch"])  # with dropout, each would draw its own
    tables = [
        json.loads(launched(count, "eval", "--ckpt", str(tmp_path / "1"), "--split", "train", "--json"))
        for count in (1, 2)
    ]
    assert tables[0]["metrics"] == tables[1]["metrics"]


def test_a_checkpoint_alone_is_enough(world: Path, tmp_path: Path) -> None:
    """The text encoder's folder is needed to start training only: weights and tokenizer are in the checkpoint."""
    code, _, err = g3d(*train(world, tmp_path / "run", "train.epochs=1"))
    assert code == 0, err
    image, calibration = sorted((world / "images").iterdir())[0], sorted((world / "calib").iterdir())[0]
    alone = tmp_path / "alone.pt"
    os.rename(tmp_path / "run" / "checkpoints" / "last.pt", alone)
    hidden = (world / "text-encoder").rename(tmp_path / "hidden")
    try:
        code, out, err = g3d(
            "infer",
            "--ckpt",
            str(alone),
            "--image",
            str(image),
            "--calib",
            str(calibration),
            "--json",
            "--text",
            "the car on the left",
            "--text",
            "the cyclist",
        )
    finally:
        hidden.rename(world / "text-encoder")
    assert code == 0, err
    found = json.loads(out)["predictions"]
    assert [each["expression"] for each in found] == ["the car on the left", "the cyclist"]
    assert all(len(each["answers"][0]["objects"]) == 1 for each in found)
