"""Group-Free 3D's part of `g3d demo`: it detects objects in synthetic rooms and compares them with blind guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from g3d.data.scannet.folder import ScanFolder
from g3d.data.types import Prediction, SceneBoxes, SceneSource
from g3d.datasets.base import get_dataset
from g3d.engine.demo import Demo, Trained, World
from g3d.prepare.runner import prepare
from g3d.prepare.scannet import SCENES, ScanNetSettings, chosen_scenes, scannet_items, scannet_recipe
from g3d.synthetic.rooms.world import make_rooms
from g3d.systems.groupfree.config import Config

_WORKERS = 2
_VOXEL = 0.04  # metres: rooms are made three times as fast as at ScanNet's 0.02


def _make(world: World, config: Config) -> Path:
    root = world.out / "rooms"
    make_rooms(
        root, world.size, world.seed, voxel=_VOXEL, val_fraction=0.2, workers=_WORKERS, progress=world.progress()
    )
    folder = ScanFolder(root)
    items = scannet_items(folder, chosen_scenes(folder, (), ()))
    recipe = scannet_recipe(folder, ScanNetSettings())
    outcome = prepare(recipe, items, root / "g3d" / SCENES, _WORKERS, progress=world.progress())
    if outcome.broken:
        raise outcome.broken[0][1]
    return root


def _baselines(trained: Trained) -> Mapping[str, Sequence[Prediction]]:
    """Return the detections of the network that training started from, and the mean box of each class."""
    data = trained.loaded.config.data
    dataset = get_dataset(data.dataset)
    labels = dataset.truth(trained.root, data.train, dataset.split_ids(trained.root, data.train))
    guess = mean_boxes([boxes for boxes in labels.values() if isinstance(boxes, SceneBoxes)])
    return {
        "untrained": trained.predict(trained.samples, trained.fresh()),
        "mean box": [Prediction(scene, SceneSource(None, scene, "aligned"), (guess,)) for scene in trained.samples.ids],
    }


def mean_boxes(labels: Sequence[SceneBoxes]) -> SceneBoxes:
    """Return one box of each class: the means of its boxes' centres and sizes; the score is its share of the boxes."""
    classes = np.concatenate([boxes.classes for boxes in labels])
    places = np.concatenate([np.column_stack([boxes.centers, boxes.sizes]) for boxes in labels])
    names, counts = np.unique(classes, return_counts=True)
    means = np.stack([places[classes == name].mean(0) for name in names])
    return SceneBoxes(names, means[:, :3], means[:, 3:], scores=counts / counts.sum())


def _ask(prediction: Prediction) -> list[str]:
    return ["--scene", str(prediction.source.path), "--out", "found"]


DEMO = Demo(
    preset="groupfree-tiny",
    learns="boxes of furniture",
    title="g3d demo: furniture in unseen rooms",
    make=_make,
    baselines=_baselines,
    figures={"mAP@0.25": "mAP25", "mAP@0.5": "mAP50", "recall@0.25": "AR25"},
    ask=_ask,
    size=200,
    chosen=True,
    compared="untrained",
    pictures=6,
    min_score=0.2,
)
