"""Published checkpoints by path: what loads, what is reported, and that predictions come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.verbs import g3d

from g3d import config
from g3d.systems.base import get_system

SMALL = ("--set", "data.resolution=[96, 64]", "--set", "decode.threshold=0.0")


def published(file: Path, preset: str, prefix: str = "") -> Path:
    """A file as the published trainer writes it, with fresh weights."""
    chosen: Any = config.load(preset)
    system = get_system(chosen.system)
    model = system.build(chosen)
    state = {prefix + name: value for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters())
    torch.save({"epoch": 140, "model_state": state, "optimizer_state": optimizer.state_dict()}, file)
    return file


def evaluate(file: Path, preset: str, data: Path, *more: str) -> dict[str, Any]:
    code, out, err = g3d("eval", "--ckpt", str(file), "--preset", preset, "--data", str(data), "--json", *SMALL, *more)
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("prefix", ["", pytest.param("module.", marks=pytest.mark.slow)])
def test_a_ddml_checkpoint_loads_whole(drawn_kitti: Path, tmp_path: Path, prefix: str) -> None:
    file = published(tmp_path / "checkpoint_epoch_140.pth", "monodle-ddml", prefix)
    report = evaluate(file, "monodle-ddml", drawn_kitti, "--out", str(tmp_path / "found.jsonl"))
    assert report["import"] == ["346 entries loaded"]
    assert report["published"]["metrics"]["Car_3d_moderate_R40"] == 16.53
    assert len((tmp_path / "found.jsonl").read_text().splitlines()) == 4


@pytest.mark.slow
def test_the_auxiliary_head_may_be_missing_or_too_much(drawn_kitti: Path, tmp_path: Path) -> None:
    plain = published(tmp_path / "plain.pth", "monodle")
    said = evaluate(plain, "monodle-ddml", drawn_kitti)["import"]
    assert said[0] == "342 entries loaded"
    assert len([line for line in said if line.startswith("not in the file obj_depth.")]) == 4
    ddml = published(tmp_path / "ddml.pth", "monodle-ddml")
    said = evaluate(ddml, "monodle", drawn_kitti)["import"]
    assert len([line for line in said if line.startswith("ignored obj_depth.")]) == 4


@pytest.mark.slow
def test_training_may_start_from_imagenet_weights(drawn_kitti: Path, tmp_path: Path) -> None:
    g3d("prepare", "kitti", "--data", str(drawn_kitti))
    chosen: Any = config.load("monodle-ddml")
    backbone = get_system("monodle").build(chosen).get_submodule("backbone").state_dict()
    torch.save(backbone, tmp_path / "dla34-ba72cf86.pth")
    settings = ("--set", "data.resolution=[96, 64]", "--set", "train.batch=2", "--set", "train.workers=0")
    args = ("train", "--preset", "monodle-ddml", "--data", str(drawn_kitti), "--dry-run", *settings)
    code, _, err = g3d(*args, "--set", f"model.backbone_weights={tmp_path / 'dla34-ba72cf86.pth'}")
    assert code == 0, err
    assert "entries loaded" in err
    code, _, err = g3d(*args, "--set", f"model.backbone_weights={tmp_path / 'nowhere.pth'}")
    assert code == 3
    assert "nowhere.pth: no such file" in err
