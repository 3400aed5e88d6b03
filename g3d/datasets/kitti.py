"""The KITTI object benchmark: boxes in the camera frame, average precision and result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g3d.data.files import atomic_write
from g3d.data.images.image import image_size
from g3d.data.kitti.prepared import raw_root
from g3d.data.kitti.raw import (
    TEST,
    KittiRoot,
    format_results,
    read_calibration,
    read_labels,
    read_labels_folder,
    read_results_folder,
)
from g3d.data.types import Answer, CameraBoxes, ImageSource, Prediction, Source
from g3d.datasets.base import Dataset, Evaluator
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.metrics.kitti import evaluate
from g3d.metrics.table import Table
from g3d.names import file_name


class Kitti:
    """The KITTI object benchmark. The split named `test` is in `testing/`, which has no labels."""

    name = "kitti"
    options = ("classes",)

    def __init__(self) -> None:
        self.native = KittiResults()

    def knows(self, root: Path) -> bool:
        try:
            folder = KittiRoot.find(raw_root(root)).folder
        except G3DError:
            return False
        return (folder / "image_2").is_dir() or (folder / "label_2").is_dir()

    def split_ids(self, root: Path, split: str) -> list[str]:
        return KittiRoot.of_split(raw_root(root), split).split(split)

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        kitti = KittiRoot.of_split(raw_root(root), split)
        return {
            frame: ImageSource(
                str(kitti.image(frame)),
                image_size(kitti.image(frame)),
                read_calibration(kitti.calibration(frame)),
            )
            for frame in ids
        }

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        kitti = KittiRoot.of_split(raw_root(root), split)
        return {frame: read_labels(kitti.label(frame)) for frame in ids if kitti.label(frame).is_file()}

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        if answers is not CameraBoxes:
            raise InputError(f"data set kitti: evaluates {CameraBoxes.kind}, found answers of {answers.kind}")
        kitti = KittiRoot.of_split(raw_root(root), split)
        if split == TEST and not (kitti.folder / "label_2").is_dir():
            return None
        return AveragePrecision(kitti, split, options.get("classes"))


class AveragePrecision:
    """KITTI's average precision over a split.

    Args:
        kitti: the folder that holds the split.
        split: name, or path of a file of ids.
        classes: the classes to evaluate; None for all classes of KITTI.
    """

    def __init__(self, kitti: KittiRoot, split: str, classes: Sequence[str] | None) -> None:
        self.ids = kitti.split(split)
        self.labels = read_labels_folder(kitti.folder / "label_2", self.ids)
        self.classes = classes
        self.found: dict[str, CameraBoxes] = {}

    def update(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            if prediction.sample in self.found:
                raise InputError(f"predictions: frame {prediction.sample} comes twice")
            self.found[prediction.sample] = prediction.answer(CameraBoxes)

    def compute(self) -> Table:
        missing = [frame for frame in self.ids if frame not in self.found]
        if missing:
            raise MissingDataError(
                f"predictions: {len(missing)} of {len(self.ids)} frames of the split are missing (first: {missing[0]})",
                "a frame without detections needs an empty prediction; or evaluate another --split",
            )
        labels = [self.labels[frame] for frame in self.ids]
        found = [self.found[frame] for frame in self.ids]
        return evaluate(labels, found, self.classes).table()


class KittiResults:
    """KITTI's result files: a folder with one text file for each frame."""

    description = "KITTI results are NNNNNN.txt, 16 columns a line"

    def knows(self, path: Path) -> bool:
        return path.is_dir() and any(file.stem.isdigit() for file in path.glob("*.txt"))

    def read(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        found = read_results_folder(path, ids)
        return [Prediction(frame, ImageSource(), (objects,)) for frame, objects in found.items()]

    def write(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        written = []
        for prediction in predictions:
            path = folder / f"{file_name(prediction.sample)}.txt"
            with atomic_write(path) as file:
                text = format_results(prediction.answer(CameraBoxes), None if full_precision else 2)
                file.write(text.encode())
            written.append(path)
        return written


DATASET: Dataset = Kitti()
