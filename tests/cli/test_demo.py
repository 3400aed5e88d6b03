"""`g3d demo`: the made world, the whole way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.drawn import MICRO
from support.verbs import g3d


def run(folder: Path, *args: str) -> dict[str, Any]:
    code, out, err = g3d("demo", "--out", str(folder / "demo"), "--json", *args)
    assert code == 0, err
    return json.loads(out)["systems"]


@pytest.mark.slow
def test_a_short_demo_of_detection_goes_all_the_way(tmp_path: Path) -> None:
    settings = [part for setting in (*MICRO, "train.epochs=1") for part in ("--set", setting)]
    report = run(tmp_path, "--system", "monodle", "--size", "20", *settings)["monodle"]
    assert report["metrics"].keys() == report["baselines"]["untrained"].keys()
    assert Path(report["page"]).is_file()
    assert (Path(report["run"]) / "predictions" / "val.jsonl").is_file()


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    code, _, err = g3d("demo", "--system", "yolo", "--out", str(tmp_path / "demo"))
    assert code == 2
    assert "--system yolo: expected groupfree, jln, monodle or all" in err
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_detector_learns_and_is_quick(tmp_path: Path) -> None:
    """On unseen streets the trained network finds cars in space; untrained it finds none. Under eight minutes on two
    cores."""
    report = run(tmp_path, "--system", "monodle")["monodle"]
    print({key: round(value, 1) for key, value in report["metrics"].items()})
    name = "Car_bev_moderate_R40_loose"
    trained, untrained = report["metrics"][name], report["baselines"]["untrained"][name]
    assert untrained < 1
    assert trained > 15
    assert report["metrics"]["Car_image_moderate_R40"] > 30
