"""A system and a data set of another package, found by their entry points, pass every verb without a change in g3d."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from support import paths

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
EACH = 40
"""Points of a thing; a room has one thing of each colour."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy package, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(folder), str(copied(folder))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def copied(folder: Path) -> Path:
    """A copy of the package's source: building it leaves files behind."""
    for file in (paths.TESTS / "toy").rglob("*"):
        if file.suffix in (".py", ".toml", ".yaml"):
            copy = folder / "source" / file.relative_to(paths.TESTS / "toy")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return folder / "source"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rooms to train on and two others, with a sentence about each of their things."""
    root, rng = tmp_path_factory.mktemp("rooms"), np.random.default_rng(0)
    splits: dict[str, dict[str, Any]] = {"train": {}, "val": {}}
    for number in range(6):
        name, order = f"room{number}", rng.permutation(list(COLOURS)).tolist()
        points = np.concatenate([rng.uniform(k, k + 0.8, (EACH, 3)) for k in range(3)])
        colours = np.concatenate([np.clip(rng.normal(COLOURS[c], 12, (EACH, 3)), 0, 255) for c in order])
        trimesh.PointCloud(points, colors=colours.astype(np.uint8)).export(root / f"{name}.ply")
        for k, colour in enumerate(order):
            splits["train" if number < 4 else "val"][f"{name}_{colour}"] = {
                "scene": name,
                "sentence": f"the {colour} thing",
                "range": [k * EACH, (k + 1) * EACH],
                "points": 3 * EACH,
            }
    (root / "rooms.json").write_text(json.dumps(splits))
    return root


def g3d(site: Path, *args: str, code: int = 0) -> str:
    """Run a verb in a process that has the package, and return what it prints; of a failing one, its error."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(paths.ROOT))), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "g3d", *args], cwd=site, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_a_package_s_system_passes_every_verb(site: Path, rooms: Path, tmp_path: Path) -> None:
    assert "toy" in g3d(site, "presets", "list").split()
    run = str(tmp_path / "run")
    train = ("train", "--preset", "toy", "--data", str(rooms), "--out", run, "--set", "train.epochs=10")
    g3d(site, *train)
    g3d(site, "train", "--resume", run, "--set", "train.epochs=30")
    measured = json.loads(g3d(site, "eval", "--ckpt", run, "--json"))
    assert measured["metrics"]["mIoU"] > 90
    by_preset = g3d(site, "eval", "--ckpt", run, "--preset", "toy", "--json")  # the vocabulary is the checkpoint's
    assert json.loads(by_preset)["metrics"] == measured["metrics"]
    predictions = Path(run) / "predictions" / "val.jsonl"
    again = g3d(site, "eval", "--predictions", str(predictions), "--data", str(rooms), "--json")
    assert json.loads(again)["metrics"] == measured["metrics"]

    train = ("eval", "--ckpt", run, "--split", "train")
    g3d(site, *train)
    for split, says in (("val", "some of the split are missing"), ("none", "split 'none' has no samples")):
        file = ("eval", "--predictions", str(predictions.with_name("train.jsonl")), "--data", str(rooms))
        assert says in g3d(site, *file, "--split", split, code=3)

    cloud = str(rooms / "room5.ply")
    asked = ("infer", "--ckpt", run, "--scene", cloud, "--text", "the red thing", "--text", "the blue thing")
    found = json.loads(g3d(site, *asked, "--json"))["predictions"]
    assert [p["expression"] for p in found] == ["the red thing", "the blue thing"]
    assert found[0]["answers"][0]["kind"] == "point_mask"
    assert found[0]["answers"][0]["runs"] != found[1]["answers"][0]["runs"]
    text = g3d(site, *asked, "--out", str(tmp_path / "found"))
    assert f'{cloud}: "the red thing"\n  mask' in text
    assert {"predictions.jsonl", "index.html"} <= {path.name for path in (tmp_path / "found").iterdir()}

    drawn = ("visualize", "--predictions", str(predictions), "--data", str(rooms), "--out", str(tmp_path / "drawn"))
    written = g3d(site, *drawn, "--format", "html", "--format", "ply").split()
    assert "the green thing" in Path(written[-1]).read_text()
    assert len([path for path in written if path.endswith(".ply")]) == 6


def test_resumed_training_equals_an_uninterrupted_one(site: Path, rooms: Path, tmp_path: Path) -> None:
    command = ("train", "--preset", "toy", "--data", str(rooms))
    g3d(site, *command, "--out", str(tmp_path / "whole"), "--set", "train.epochs=6")
    g3d(site, *command, "--out", str(tmp_path / "parts"), "--set", "train.epochs=3")
    g3d(site, "train", "--resume", str(tmp_path / "parts"), "--set", "train.epochs=6")
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
            if "loss" in line
        ][-1]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def test_a_system_of_scenes_refuses_images_and_cameras(site: Path, rooms: Path, tmp_path: Path) -> None:
    g3d(
        site,
        "train",
        "--preset",
        "toy",
        "--data",
        str(rooms),
        "--out",
        str(tmp_path / "run"),
        "--set",
        "train.epochs=1",
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(paths.ROOT)))}
    for more, says in (
        (("--image", "street.png", "--text", "a"), "--image: toy reads scenes, not images"),
        (("--scene", str(rooms / "room0.ply")), "toy finds what a sentence describes: which sentence?"),
        (("--scene", str(rooms / "room0.ply"), "--focal", "9", "--text", "a"), "toy uses no camera"),
        (("--text", "a"), "toy needs --scene: which one?"),
        (("--scene", "gone.ply", "--text", "a"), "--scene gone.ply: no such file or folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "g3d", "infer", "--ckpt", str(tmp_path / "run"), *more],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (2, 3), done.stderr
        assert says in done.stderr


def test_the_toy_is_small() -> None:
    files = [file for file in (paths.TESTS / "toy").rglob("*.*") if file.suffix in (".py", ".toml", ".yaml")]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 200
