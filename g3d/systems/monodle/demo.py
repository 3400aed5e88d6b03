"""MonoDLE's part of `g3d demo`: it detects cars on synthetic streets and compares them with the untrained network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from g3d.data.types import Answer, CameraBoxes, ImageSource, Prediction
from g3d.engine.demo import Demo, Trained, World
from g3d.prepare.kitti import prepare_kitti
from g3d.synthetic.streets.world import DEMO_SIZE, make_streets
from g3d.systems.monodle.config import Config


def _make(world: World, config: Config) -> Path:
    root = world.out / "streets"
    make_streets(root, world.size, world.seed, DEMO_SIZE, val_fraction=0.2, workers=2, progress=world.progress())
    prepare_kitti(root)
    return root


def _baselines(trained: Trained) -> Mapping[str, Sequence[Prediction]]:
    return {"untrained": trained.predict(trained.samples, trained.fresh())}


def _has_car(prediction: Prediction, truth: Answer | None) -> bool:
    return isinstance(truth, CameraBoxes) and "Car" in truth.classes


def _ask(prediction: Prediction) -> list[str]:
    assert isinstance(prediction.source, ImageSource)
    image = Path(str(prediction.source.path))
    calibration = image.parent.parent / "calib" / f"{image.stem}.txt"
    return ["--image", str(image), "--calib", str(calibration)]


DEMO = Demo(
    preset="monodle-ddml-tiny",
    learns="boxes of cars",
    title="g3d demo: cars on unseen streets",
    make=_make,
    baselines=_baselines,
    figures={
        f"{shown} {level}": f"Car_{kind}_{level}_R40_loose" if kind != "image" else f"Car_{kind}_{level}_R40"
        for shown, kind in (("2D", "image"), ("BEV@0.5", "bev"), ("3D@0.5", "3d"))
        for level in ("easy", "moderate", "hard")
    },
    ask=_ask,
    compared="untrained",
    drawn=_has_car,
    pictures=24,
    min_score=0.15,  # after minutes of training, the network's scores are low
)
