"""`g3d demo`: the made world, the whole way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn import MICRO
from verbs import g3d


def test_a_short_demo_goes_all_the_way(tmp_path: Path) -> None:
    settings = [part for setting in (*MICRO, "train.epochs=1") for part in ("--set", setting)]
    code, out, err = g3d("demo", "--out", str(tmp_path / "demo"), "--frames", "20", "--json", *settings)
    assert code == 0, err
    report = json.loads(out)
    assert report["metrics"].keys() == report["untrained"].keys()
    assert Path(report["page"]).is_file()
    assert (Path(report["run"]) / "predictions" / "val.jsonl").is_file()


@pytest.mark.slow
def test_the_demo_learns_and_is_quick(tmp_path: Path) -> None:
    """On unseen streets the trained network finds cars in space; untrained it finds none. Under eight minutes on two cores."""
    code, out, err = g3d("demo", "--out", str(tmp_path / "demo"), "--json")
    assert code == 0, err
    report = json.loads(out)
    print({key: round(value, 1) for key, value in report["metrics"].items()}, report["seconds"])
    trained, untrained = (report[key]["Car_bev_moderate_R40_loose"] for key in ("metrics", "untrained"))
    assert untrained < 1
    assert trained > 15
    assert report["metrics"]["Car_image_moderate_R40"] > 30
