"""ScanNet's 3D object detection: axis-aligned boxes of 18 classes, as VoteNet and Group-Free 3D evaluate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.collected import Collected
from g3d.data.scannet.detection_scenes import find_scenes, read_scene_boxes, scene_sources, split_scenes
from g3d.data.scannet.labels import DETECTION18_IDS, DETECTION18_NAMES, detection18
from g3d.data.types import Answer, Prediction, SceneBoxes, Source
from g3d.datasets.base import Dataset, Evaluator
from g3d.errors import InputError
from g3d.metrics.detection3d import detection_table
from g3d.metrics.table import Table


class ScanNet:
    """ScanNet scenes, prepared by g3d or in the published forms of VoteNet and ScanRefer (see `find_scenes`).

    Raw scans are recognised, and every verb asks to prepare them.
    """

    name = "scannet"
    options = ()
    native = None

    def knows(self, root: Path) -> bool:
        try:
            return bool(find_scenes(root)) or any(root.glob("scans/*/*_vh_clean_2.ply"))
        except InputError:
            return True  # scenes in several places; the verbs ask for one of them

    def split_ids(self, root: Path, split: str) -> list[str]:
        return split_scenes(root, split)

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        return scene_sources(root, ids)

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        return true_boxes(root, ids)

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        if answers is not SceneBoxes:
            raise InputError(f"data set scannet: evaluates {SceneBoxes.kind}, found answers of {answers.kind}")
        truth = true_boxes(root, split_scenes(root, split))
        return DetectionPrecision(truth) if truth else None


def true_boxes(root: Path, ids: Sequence[str]) -> dict[str, SceneBoxes]:
    """Return the boxes of the 18 classes of each scene, aligned frame, with objectIds; scenes without annotation are
    left out."""
    found = {}
    for name, source in scene_sources(root, ids).items():
        boxes = read_scene_boxes(Path(str(source.path)))
        if boxes is None:
            continue
        boxes = boxes[np.isin(boxes[:, 6], DETECTION18_IDS)]
        classes = np.array(DETECTION18_NAMES, np.str_)[detection18(boxes[:, 6].astype(np.int64))]
        found[name] = SceneBoxes(classes, boxes[:, :3], boxes[:, 3:6], ids=boxes[:, 7].astype(np.int64))
    return found


class DetectionPrecision:
    """Average precision over the annotated scenes of a split.

    Args:
        truth: true boxes by scene.
    """

    def __init__(self, truth: Mapping[str, SceneBoxes]) -> None:
        self.truth = truth
        self.found = Collected("scene", "a scene without detections")

    def update(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            prediction.answer(SceneBoxes)
        self.found.add(predictions)

    def compute(self) -> Table:
        self.found.require(list(self.truth))
        found = {scene: self.found[scene].answer(SceneBoxes) for scene in self.truth}
        return detection_table(found, self.truth, DETECTION18_NAMES)


DATASET: Dataset = ScanNet()
