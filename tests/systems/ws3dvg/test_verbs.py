"""WS-3DVG through eval, infer and visualize, and from published checkpoints, on made scans."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.grounding_world import DETECTORS, PRESETS, grounding_world, micro_grounder, published_detector
from support.verbs import g3d, refused, succeeds

from g3d import config as presets
from g3d.systems.base import get_system
from g3d.systems.ws3dvg.model import WS3DVG


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences about four scans; read only."""
    return grounding_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(
    scope="module", params=[DETECTORS[0], *(pytest.param(d, marks=pytest.mark.slow) for d in DETECTORS[1:])]
)
def run(request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp(request.param)
    file = published_detector(request.param, folder / "detector.pth")
    settings = micro_grounder(request.param, f"model.detector_weights={file}", "train.epochs=1")
    succeeds("train", "--preset", PRESETS[request.param], "--data", str(world), "--out", str(folder / "run"), *settings)
    return folder / "run"


def predictions(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of scenes of each call that encodes scenes."""
    counts: list[int] = []
    encode = WS3DVG.encode

    def counted(self: WS3DVG, points: torch.Tensor, views: torch.Tensor) -> Any:
        counts.append(len(points))
        return encode(self, points, views)

    monkeypatch.setattr(WS3DVG, "encode", counted)
    return counts


def test_each_stage_answers_and_predictions_alone_give_the_same_figures(
    run: Path, world: Path, tmp_path: Path, encodings: list[int]
) -> None:
    found = {}
    for stage in ("student", "teacher", "coarse"):
        file = tmp_path / f"{stage}.jsonl"
        asked = ("eval", "--ckpt", str(run), "--json", "--out", str(file), "--set", f"decode.answer={stage}")
        report = json.loads(succeeds(*asked))
        assert 0 <= report["metrics"]["overall_acc25"] <= report["metrics"]["overall_top3_acc25"] <= 100
        alone = json.loads(succeeds("eval", "--predictions", str(file), "--data", str(world), "--json"))
        assert alone["metrics"] == report["metrics"]
        succeeds(*asked)
        found[stage] = predictions(file)
        assert json.loads(succeeds(*asked))["metrics"] == report["metrics"]
        assert predictions(file) == found[stage]  # the teacher's unseen words are the same in every evaluation
    assert encodings == [2] * 9  # both scenes once, for their 12 sentences
    answers = {stage: [p["answers"] for p in of_stage] for stage, of_stage in found.items()}
    assert answers["student"] != answers["teacher"] != answers["coarse"]
    assert all(p["answers"][0]["objects"] for of_stage in found.values() for p in of_stage)
    boxes = found["student"][0]["answers"][0]["objects"]
    assert len(boxes) <= 3
    assert [box["score"] for box in boxes] == sorted((box["score"] for box in boxes), reverse=True)


def test_a_checkpoint_alone_answers_many_sentences_about_a_scene_that_is_encoded_once(
    run: Path, world: Path, tmp_path: Path, encodings: list[int]
) -> None:
    moved = Path(shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "model.pt"))
    scene = world.parent / "scannet" / "g3d" / "scenes" / "scene0002_00"
    texts = [f"the brown chair number {k} near the wall" for k in range(40)]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    asked = ("infer", "--ckpt", str(moved), "--scene", str(scene), "--texts", str(tmp_path / "texts.txt"), "--json")
    found = json.loads(succeeds(*asked, "--out", str(tmp_path / "found"), "--set", "data.top_answers=2"))["predictions"]
    assert encodings == [1]
    assert [p["expression"] for p in found] == texts
    assert all(len(p["answers"][0]["objects"]) <= 2 for p in found)
    (alone,) = json.loads(
        succeeds("infer", "--ckpt", str(moved), "--scene", str(scene), "--text", texts[33], "--json")
    )["predictions"]
    both = [p["answers"][0]["objects"][0] for p in (alone, found[33])]
    assert both[0]["center"] == both[1]["center"]
    assert both[0]["score"] == pytest.approx(both[1]["score"], rel=1e-4)
    page = (tmp_path / "found" / "index.html").read_text()
    assert texts[7] in page
    _, _, err = g3d("infer", "--ckpt", str(moved), "--scene", str(scene), "--text", "the purple chair", "--json")
    assert "sentence 'the purple chair': no vector of purple, which is read as padding" in err


def test_a_page_shows_answers_and_ground_truth(run: Path, world: Path, tmp_path: Path) -> None:
    succeeds("eval", "--ckpt", str(run), "--out", str(tmp_path / "found.jsonl"))
    drawn = ("visualize", "--predictions", str(tmp_path / "found.jsonl"), "--data", str(world))
    succeeds(*drawn, "--out", str(tmp_path / "page"), "--format", "html", "--format", "ply")
    page = (tmp_path / "page" / "index.html").read_text()
    assert "the brown" in page
    assert '"right"' in page
    assert len(list((tmp_path / "page").glob("*.ply"))) == 12


def test_a_user_s_own_scan_needs_the_setting_for_zeros(run: Path, world: Path, tmp_path: Path) -> None:
    mesh = next((world.parent / "scannet" / "scans" / "scene0002_00").glob("*_vh_clean_2.ply"))
    own = Path(shutil.copy(mesh, tmp_path / "room.ply"))
    asked = ("infer", "--ckpt", str(run), "--scene", str(own), "--text", "the chair", "--json")
    refused(3, *asked, says=("has no image features",), hint="data.view_features=zeros")
    found = json.loads(succeeds(*asked, "--set", "data.view_features=zeros"))["predictions"]
    assert found[0]["source"]["frame"] == "scene"
    assert np.isfinite([box["center"] for box in found[0]["answers"][0]["objects"]]).all()


def official(file: Path, detector: str, words: int) -> tuple[str, ...]:
    """Write a checkpoint as the published trainer does, with new weights; return the arguments that name it."""
    settings = micro_grounder(detector, f"model.vocabulary={words}", "model.word_channels=6")
    chosen = presets.load(PRESETS[detector], settings[1::2])
    torch.manual_seed(1)
    state = get_system("ws3dvg").build(chosen).state_dict()
    state.pop("words._extra_state")
    for name in [name for name in state if name.startswith("group_free.decoder.") and "_posembed." in name]:
        layer, kind, rest = name.removeprefix("group_free.decoder.").split(".", 2)
        state[f"group_free.decoder_{kind.removesuffix('_posembed')}_posembeds.{layer}.{rest}"] = state[name]
    torch.save({"epoch": 20, "model_state_dict": state, "optimizer_state_dict": {}, "best": 1.0}, file)
    faults = ("model.faults.view_features_by_channel=true", "model.faults.detector_mean_sizes=scanrefer")
    named = [part for fault in faults for part in ("--set", fault)]
    return ("--ckpt", str(file), "--preset", PRESETS[detector], *settings, *named)


@pytest.mark.parametrize("detector", DETECTORS)
def test_an_official_checkpoint_evaluates_with_the_words_that_are_named(
    world: Path, tmp_path: Path, detector: str
) -> None:
    asked = ("eval", *official(tmp_path / "checkpoint.tar", detector, 6), "--data", str(world), "--json")
    asked = (*asked, "--out", str(tmp_path / "found.jsonl"))
    refused(3, *asked, says=("no word vectors are known",), hint="text.vectors")
    vectors = ("--set", f"text.vectors={world / 'g3d' / 'scanrefer.vectors.safetensors'}")
    report = json.loads(succeeds(*asked, *vectors))
    assert report["import"][-1].startswith("not in the file words._extra_state: word vectors")
    teacher = (*asked, *vectors, "--set", "decode.answer=teacher")
    refused(3, *teacher, says=("the teacher's vocabulary is not known",), hint="text.vocabulary")
    numbers = {word: number for number, word in enumerate(("pad_", "unk", "sos", "eos", "the", "chair"))}
    (tmp_path / "vocabulary.json").write_text(json.dumps({"word2idx": numbers}))
    succeeds(*teacher, "--set", f"text.vocabulary={tmp_path / 'vocabulary.json'}")
