"""Checkpoints and predictions files that were written before sources and answers had types still work."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from support import paths
from support.drawn import draw_kitti
from support.mono3drefer_world import mini_world
from support.verbs import g3d

from g3d.data.predictions import read_predictions, write_predictions
from g3d.prepare.kitti import prepare_kitti

OLD = paths.TESTS / "support" / "schema1"


def world(name: str, folder: Path) -> Path:
    """The data set that the old run was trained on."""
    if name == "jln":
        return mini_world(folder / "data")
    root = draw_kitti(folder / "data", 8, 4)
    prepare_kitti(root)
    return root


@pytest.mark.parametrize("name", ["monodle", "jln"])
def test_an_old_checkpoint_predicts_the_same_and_trains_on(tmp_path: Path, name: str) -> None:
    data = ("--data", str(world(name, tmp_path)), "--device", "cpu")
    file = tmp_path / "run" / "checkpoints" / "last.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(lzma.decompress((OLD / f"{name}.pt.xz").read_bytes()))
    code, _, err = g3d("eval", "--ckpt", str(file), *data, "--out", str(tmp_path / "found.jsonl"), "--json")
    assert code == 0, err
    found, kept = read_predictions(tmp_path / "found.jsonl"), read_predictions(OLD / f"{name}.jsonl")
    assert [p.key for p in found] == [p.key for p in kept]
    for one, other in zip(found, kept, strict=True):
        (ours,), (theirs,) = one.answers, other.answers
        assert ours.classes.tolist() == theirs.classes.tolist()  # type: ignore[union-attr]
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)  # type: ignore[union-attr]
        assert ours.locations == pytest.approx(theirs.locations, rel=1e-3, abs=1e-3)  # type: ignore[union-attr]
    code, _, err = g3d("train", "--resume", str(tmp_path / "run"), *data, "--set", "train.epochs=4")
    assert code == 0, err
    assert "trained" in err


@pytest.mark.parametrize("name", ["monodle", "jln"])
def test_an_old_predictions_file_is_evaluated_and_becomes_a_new_one(tmp_path: Path, name: str) -> None:
    data = ("--data", str(world(name, tmp_path)), "--json")
    code, old, err = g3d("eval", "--predictions", str(OLD / f"{name}.jsonl"), *data)
    assert code == 0, err
    write_predictions(tmp_path / "new.jsonl", read_predictions(OLD / f"{name}.jsonl"))
    assert '"schema": 2' in (tmp_path / "new.jsonl").read_text().splitlines()[0]
    code, new, err = g3d("eval", "--predictions", str(tmp_path / "new.jsonl"), *data)
    assert code == 0, err
    assert json.loads(new)["metrics"] == json.loads(old)["metrics"]
