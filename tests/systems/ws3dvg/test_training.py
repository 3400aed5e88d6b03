"""WS-3DVG through the command line: the same losses every time, exact resumption, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.grounding_world import (
    DETECTORS,
    PRESETS,
    grounding_world,
    micro_detector_of,
    micro_grounder,
    nr3d_world,
    published_detector,
    steps,
)
from support.verbs import g3d, launched, succeeds

RECORDED = {"groupfree": [12.8119, 12.9869, 13.0376, 12.3733], "votenet": [12.8244, 12.7190, 12.4299, 12.5604]}
"""Total losses of the four steps of `train` below, on a CPU with the pinned versions: others draw otherwise."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences about four scans; detectors lie beside them as <detector>.pth."""
    data = grounding_world(tmp_path_factory.mktemp("world"))
    for detector in DETECTORS:
        published_detector(detector, data / f"{detector}.pth")
    return data


def train(detector: str, data: Path, run: Path, *settings: str) -> tuple[str, ...]:
    weights = f"model.detector_weights={data / f'{detector}.pth'}"
    arguments = micro_grounder(detector, weights, *settings)
    return ("train", "--preset", PRESETS[detector], "--data", str(data), "--out", str(run), *arguments)


def totals(run: Path) -> list[float]:
    return [step["total"] for step in steps(run)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
    return found


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="recorded with PyTorch 2.13")
@pytest.mark.parametrize("detector", DETECTORS)
def test_four_steps_give_the_recorded_losses(world: Path, tmp_path: Path, detector: str) -> None:
    succeeds(*train(detector, world, tmp_path / "run"))
    assert totals(tmp_path / "run") == pytest.approx(RECORDED[detector], rel=1e-3)
    assert set(steps(tmp_path / "run")[0]) == {"nce", "lang", "rec", "weak", "total"}


@pytest.mark.parametrize("detector", DETECTORS)
def test_two_epochs_are_one_and_another_after_resuming(world: Path, tmp_path: Path, detector: str) -> None:
    """Bit for bit, with dropout, unknown and unseen words, drawn points, augmentation and batch norms."""
    succeeds(*train(detector, world, tmp_path / "whole"))
    succeeds(*train(detector, world, tmp_path / "parts", "train.epochs=1", "optim.schedule=step", "optim.final_lr=0"))
    settings = ("train.epochs=2", "optim.schedule=cosine", "optim.final_lr=1e-5")
    succeeds("train", "--resume", str(tmp_path / "parts"), *(part for s in settings for part in ("--set", s)))
    assert totals(tmp_path / "parts") == totals(tmp_path / "whole")
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == two.keys()
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_detector_is_that_of_the_file_and_stays_frozen(world: Path, tmp_path: Path, detector: str) -> None:
    key, prefix = {"groupfree": ("model", "group_free."), "votenet": ("model_state_dict", "")}[detector]
    succeeds(*train(detector, world, tmp_path / "run"))
    given = torch.load(world / f"{detector}.pth", weights_only=True)[key]
    found = weights(tmp_path / "run")
    names = {prefix + name.removeprefix("module."): value for name, value in given.items()}
    assert [name for name, value in names.items() if not torch.equal(found[name], value)] == []


def test_a_detector_that_g3d_trained_is_taken(world: Path, tmp_path: Path) -> None:
    scans, run = str(world.parent / "scannet"), tmp_path / "detector"
    succeeds("train", "--preset", "groupfree-tiny", "--data", scans, "--out", str(run), *micro_detector_of("groupfree"))
    last = run / "checkpoints" / "last.pt"
    settings = (f"model.detector_weights={last}", "train.epochs=1", "data.points=400")
    code, _, err = g3d(*train("groupfree", world, tmp_path / "run", *settings))
    assert code == 0, err
    assert err.count("the detector was trained with") == 1
    assert "last.pt: the detector was trained with data.points=512, here it is 400" in err
    found, given = weights(tmp_path / "run"), weights(run)
    assert [name for name, value in given.items() if not torch.equal(found[f"group_free.{name}"], value)] == []


def test_sentences_of_nr3d_are_trained_and_evaluated_with_their_filters(world: Path, tmp_path: Path) -> None:
    data = nr3d_world(world.parent)
    weights_file = f"model.detector_weights={world / 'groupfree.pth'}"
    settings = micro_grounder("groupfree", weights_file, "data.filters.mentions=true", "train.epochs=1")
    run = tmp_path / "run"
    succeeds("train", "--preset", "ws3dvg-nr3d", "--data", str(data), "--out", str(run), *settings)
    report = json.loads(succeeds("eval", "--ckpt", str(run), "--json"))
    assert report["title"].startswith("3D visual grounding, Nr3D")
    assert any("class not mentioned" in note for note in report["notes"])


@pytest.mark.slow
def test_classes_reconstruction_and_student_are_learnt(world: Path, tmp_path: Path) -> None:
    succeeds(*train("votenet", world, tmp_path / "run", "train.epochs=24", "optim.lr=3e-3"))
    found = steps(tmp_path / "run")
    first, last = ({name: sum(s[name] for s in part) / 8 for name in part[0]} for part in (found[:8], found[-8:]))
    for name, share in (("lang", 0.7), ("rec", 0.8), ("weak", 0.9)):
        assert last[name] < share * first[name], (name, first, last)


@pytest.mark.slow
@pytest.mark.parametrize("detector", DETECTORS)
def test_two_processes_reach_the_losses_of_one(world: Path, tmp_path: Path, detector: str) -> None:
    """Without what each process draws for itself. Batch norms have the statistics of the whole batch."""
    drawn = ("dropout", "teacher_dropout", "replaced_words", "unknown_words")
    settings = (*(f"model.{name}=0" for name in drawn), "train.epochs=3", "optim.lr=1e-4")
    for count in (1, 2):
        launched(count, *train(detector, world, tmp_path / str(count), *settings))
    assert totals(tmp_path / "2") == pytest.approx(totals(tmp_path / "1"), rel=1e-4)
    asked = ("eval", "--ckpt", str(tmp_path / "1"), "--json", "--set", "decode.answer=teacher")
    tables = [json.loads(launched(count, *asked)) for count in (1, 2)]
    assert tables[0]["metrics"] == tables[1]["metrics"]
