"""Both detectors through eval, infer and visualize, on made scans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.detector_world import SYSTEMS, micro_detector, prepared_scans
from support.verbs import refused, succeeds

from g3d import config
from g3d.systems.base import get_system


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module", params=SYSTEMS)
def run(request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    settings = micro_detector(request.param, "train.epochs=1")
    succeeds("train", "--preset", f"{request.param}-tiny", "--data", str(world), "--out", str(folder), *settings)
    return folder


def predictions(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_repeated_evaluations_draw_other_points_and_are_averaged(run: Path, tmp_path: Path) -> None:
    shown = ("eval", "--ckpt", str(run), "--json", "--out", str(tmp_path / "found.jsonl"))
    mean = json.loads(succeeds(*shown, "--set", "data.repetitions=2"))
    files = [tmp_path / "found.jsonl", tmp_path / "found.2.jsonl"]
    first, second = (predictions(file) for file in files)
    assert (
        [p["sample"] for p in first]
        == [p["sample"] for p in second]
        == ["scene0003_00", "scene0004_00", "scene0005_00"]
    )
    assert first != second
    world = json.loads((run / "environment.json").read_text())
    assert world
    again = [
        json.loads(succeeds(*shown[:-1], str(tmp_path / f"{k}.jsonl"), "--set", f"data.repetition={k}")) for k in (0, 1)
    ]
    assert predictions(tmp_path / "0.jsonl") == first
    assert predictions(tmp_path / "1.jsonl") == second
    for name in ("mAP25", "AR25"):
        assert mean["metrics"][name] == pytest.approx(sum(one["metrics"][name] for one in again) / 2)
        assert mean["metrics"][f"best_{name}"] == max(one["metrics"][name] for one in again)


def test_predictions_alone_give_the_same_figures(run: Path, world: Path) -> None:
    measured = json.loads(succeeds("eval", "--ckpt", str(run), "--json"))
    file = str(run / "predictions" / "val.jsonl")
    alone = json.loads(succeeds("eval", "--predictions", file, "--data", str(world), "--json"))
    assert alone["metrics"] == measured["metrics"]
    assert measured["metrics"]["AR25"] >= 0


def test_a_user_s_scene_gets_one_detection_of_each_box(run: Path, world: Path, tmp_path: Path) -> None:
    scene = world / "g3d" / "scenes" / "scene0003_00"
    asked = ("infer", "--ckpt", str(run), "--scene", str(scene), "--json", "--set", "decode.infer_objectness=0.01")
    found = json.loads(succeeds(*asked, "--out", str(tmp_path / "found")))
    objects = found["predictions"][0]["answers"][0]["objects"]
    assert objects
    centres = np.array([one["center"] for one in objects])
    assert len(np.unique(centres, axis=0)) == len(centres)
    assert (tmp_path / "found" / "index.html").is_file()
    drawn = (
        "visualize",
        "--predictions",
        str(tmp_path / "found" / "predictions.jsonl"),
        "--out",
        str(tmp_path / "page"),
    )
    succeeds(*drawn, "--format", "ply", "--format", "glb", "--format", "html")
    assert {file.suffix for file in (tmp_path / "page").iterdir()} == {".ply", ".glb", ".html"}


def test_a_sentence_and_an_image_are_refused(run: Path, world: Path) -> None:
    scene = str(world / "scans" / "scene0000_00")
    refused(
        2, "infer", "--ckpt", str(run), "--scene", scene, "--text", "the chair", says=("--text", "takes no sentence")
    )
    refused(2, "infer", "--ckpt", str(run), "--image", "a.png", says=("--image", "reads scenes, not images"))


def official(file: Path, preset: str, prefix: str) -> Path:
    """Write a file as the published trainers do, with new weights and both names of Group-Free 3D's embeddings."""
    chosen: Any = config.load(preset)
    state = get_system(chosen.system).build(chosen).state_dict()
    for name in [name for name in state if name.startswith("decoder.") and "_posembed." in name]:
        layer, kind, rest = name.removeprefix("decoder.").split(".", 2)
        state[f"decoder_{kind.removesuffix('_posembed')}_posembeds.{layer}.{rest}"] = state[name]
    key = "model" if preset == "groupfree" else "model_state_dict"
    torch.save({key: {prefix + name: value for name, value in state.items()}, "epoch": 1}, file)
    return file


@pytest.mark.parametrize(
    ("preset", "prefix", "entries"),
    [
        pytest.param("groupfree", "module.", 528, marks=pytest.mark.slow),
        pytest.param("groupfree", "", 528, marks=pytest.mark.slow),
        ("votenet", "", 146),
    ],
)
def test_an_official_checkpoint_evaluates(world: Path, tmp_path: Path, preset: str, prefix: str, entries: int) -> None:
    file = official(tmp_path / "checkpoint.tar", preset, prefix)
    asked = ("eval", "--ckpt", str(file), "--preset", preset, "--data", str(world), "--json")
    few = ("--set", "data.points=2048", "--set", "data.repetitions=1", "--out", str(tmp_path / "found.jsonl"))
    report = json.loads(succeeds(*asked, *few))
    assert report["import"][0] == f"{entries} entries loaded"
    assert report["published"]["metrics"]["mAP25"] == {"groupfree": 66.2, "votenet": 58.0}[preset]


def test_height_and_network_must_fit() -> None:
    refused(2, "presets", "show", "votenet", "--set", "data.height=false", says=("model.input_features",))


def test_scenes_with_more_boxes_than_rows_are_refused(world: Path, tmp_path: Path) -> None:
    settings = micro_detector("groupfree", "data.boxes=1")
    asked = ("train", "--preset", "groupfree-tiny", "--data", str(world), "--out", str(tmp_path / "run"), *settings)
    refused(2, *asked, says=("boxes, expected at most 1",))


def test_folders_without_scenes_are_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("no scan")
    asked = ("infer", "--ckpt", str(run), "--scene", str(tmp_path / "notes"))
    refused(3, *asked, says=("notes", "the folder holds no scene"), hint="expected a mesh or cloud")
    asked = ("eval", "--ckpt", str(run), "--data", str(tmp_path / "nowhere"))
    refused(3, *asked, says=("nowhere", "no such folder"))
