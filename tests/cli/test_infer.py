"""`g3d infer` with sentences: which systems take them, what is asked at once, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.verbs import g3d

from g3d import config as presets
from g3d.data.images.user_images import UserImages
from g3d.data.request import InferRequest
from g3d.data.types import CameraBoxes, ImageBatch, ImageSample, Prediction
from g3d.engine.model import LoadedModel
from g3d.systems.base import Input, SystemDefaults

SIZE = (200, 100)


class Pointing(SystemDefaults):
    """A grounding system that answers every sentence with a van ahead, and remembers its batches."""

    name = "jln"
    takes: frozenset[Input] = frozenset({"image", "camera", "expression"})
    answers = CameraBoxes

    def __init__(self) -> None:
        self.batches: list[ImageBatch] = []

    def inputs(self, config: Any, request: InferRequest) -> UserImages:
        return UserImages(request, (64, 64))

    def collate(self, groups: list[list[ImageSample]]) -> ImageBatch:
        return ImageBatch.of_groups(groups)

    def predict(self, model: Any, batch: ImageBatch, config: Any) -> list[Prediction]:
        self.batches.append(batch)
        van = CameraBoxes(
            np.array(["van"]),
            np.array([[60.0, 40, 140, 90]]),
            np.array([[2.0, 1.9, 5.0]]),
            np.array([[-1.5, 1.6, 12.25]]),
            np.array([1.57]),
            np.array([1.6]),
            np.array([-1.0]),
            np.array([-1]),
            np.array([0.87]),
        )
        maps = (
            {"region": np.ones((4, 8), np.float32), "depth": np.full((4, 8), 12.0, np.float32)}
            if config.decode.maps
            else None
        )
        return [
            Prediction(batch.ids[k], batch.sources[k], (van,), batch.expressions[k], maps) for k in range(len(batch))
        ]


@pytest.fixture
def pointing(monkeypatch: pytest.MonkeyPatch) -> Pointing:
    """Every checkpoint is a model of this system."""
    system = Pointing()
    config = presets.load("jln", ["train.workers=0"])
    loaded = LoadedModel(system, config, torch.nn.Identity(), torch.device("cpu"), Path("x"), None, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr("g3d.engine.model.load_model", lambda *_: loaded)
    monkeypatch.setattr("g3d.engine.evaluate.get_system", lambda _: system)
    return system


@pytest.fixture
def street(tmp_path: Path) -> str:
    Image.new("RGB", SIZE, (90, 90, 90)).save(tmp_path / "street.png")
    return str(tmp_path / "street.png")


def ask(street: str, *more: str) -> tuple[int, str, str]:
    return g3d("infer", "--ckpt", "x", "--image", street, *more)


def test_sentences_of_options_and_file_are_one_batch_over_one_picture(
    pointing: Pointing, street: str, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("the bus\n\n")
    code, out, err = ask(
        street, "--focal", "150", "--text", "the van", "-t", "the car", "--texts", str(tmp_path / "more.txt"), "--json"
    )
    assert code == 0, err
    found = json.loads(out)["predictions"]
    assert [(p["sample"], p["expression"]) for p in found] == [
        ("street-01", "the van"),
        ("street-02", "the car"),
        ("street-03", "the bus"),
    ]
    (batch,) = pointing.batches
    assert batch.images.shape == (1, 3, 64, 64)
    assert batch.image_of is not None
    assert batch.image_of.tolist() == [0, 0, 0]


def test_text_output_says_sentence_and_box(pointing: Pointing, street: str) -> None:
    code, out, err = ask(street, "--fov", "90", "--text", "the white van")
    assert code == 0, err
    first, second = out.splitlines()
    assert first == f'{street}: "the white van"'
    assert (
        second
        == "  van         score 0.87  at x -1.5 y 1.6 z 12.2 m  size 2.0 x 1.9 x 5.0 m  yaw +1.57 rad  box 60 40 140 90"
    )
    assert "warning: no calibration: distances scale with the focal length" in err
    assert pointing.batches[0].cameras[0][0, 0] == pytest.approx(100)


def test_a_calibration_needs_no_warning(pointing: Pointing, street: str, tmp_path: Path) -> None:
    (tmp_path / "street.txt").write_text("P2: 150 0 90 0 0 150 50 0 0 0 1 0\n")
    code, _, err = ask(street, "--calib", str(tmp_path / "street.txt"), "--text", "the van")
    assert code == 0, err
    assert "warning" not in err


def test_pictures_of_sentences_and_their_maps_are_written(pointing: Pointing, street: str, tmp_path: Path) -> None:
    out = tmp_path / "found"
    code, _, err = ask(street, "--focal", "150", "--text", "the van", "--text", "the car", "--maps", "--out", str(out))
    assert code == 0, err
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.*")} == {
        "predictions.jsonl",
        "index.html",
        "street-01.png",
        "street-02.png",
        "maps/street-01-region.png",
        "maps/street-01-depth.png",
        "maps/street-02-region.png",
        "maps/street-02-depth.png",
    }
    code, _, err = ask(street, "--focal", "150", "--text", "the van", "--out", str(tmp_path / "plain"))
    assert code == 0, err
    assert not (tmp_path / "plain" / "maps").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "jln finds what a sentence describes: which sentence?"),
        (("--text", ""), "sentence 1 of 1 is empty"),
        (("--text", "the van", "--text", "  "), "sentence 2 of 2 is empty"),
        (("--text", "the van", "--maps"), "--maps: where do the pictures go?"),
        (("--text", "the van", "--fov", "80"), "either --calib or --focal or --fov"),
    ],
)
def test_questions_that_cannot_be_asked(pointing: Pointing, street: str, more: tuple[str, ...], says: str) -> None:
    code, out, err = ask(street, "--focal", "150", *more)
    assert (code, out) == (2, "")
    assert says in err
    assert pointing.batches == []


@pytest.mark.parametrize(
    ("more", "says"), [(("--text", "the van"), "takes no sentence"), (("--maps", "--out", "x"), "makes no maps")]
)
def test_a_detection_system_takes_no_sentences_and_makes_no_maps(
    pointing: Pointing, street: str, more: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = LoadedModel(
        pointing, presets.load("monodle"), torch.nn.Identity(), torch.device("cpu"), Path("x"), None, None, None
    )  # type: ignore[arg-type]
    monkeypatch.setattr("g3d.engine.model.load_model", lambda *_: detector)
    monkeypatch.setattr(pointing, "takes", frozenset({"image", "camera"}))
    code, _, err = ask(street, "--focal", "150", *more)
    assert code == 2
    assert says in err
