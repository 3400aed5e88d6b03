"""Mono3DRefer: one box in the camera frame for each expression, grounding accuracy and result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from g3d.data.collected import Collected
from g3d.data.images.image import image_size
from g3d.data.mono3drefer import results
from g3d.data.mono3drefer.folder import INDEX, Mono3DReferRoot
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, Expression
from g3d.data.types import Answer, CameraBoxes, ImageSource, Prediction, Source
from g3d.datasets.base import Dataset, Evaluator
from g3d.errors import InputError, MissingDataError
from g3d.metrics.grounding import grounding_table
from g3d.metrics.table import Table


class Mono3DRefer:
    """The Mono3DRefer data set. A sample is an expression with the id <image>_<instanceID>_<ann_id>."""

    name = "mono3drefer"
    options = ()

    def __init__(self) -> None:
        self.native = ResultFile()

    def knows(self, root: Path) -> bool:
        return (root / EXPRESSIONS_FILE).is_file() or (root / INDEX).is_file()

    def split_ids(self, root: Path, split: str) -> list[str]:
        return Mono3DReferRoot.find(root).expressions(split).ids()

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        data = Mono3DReferRoot.find(root)
        images = {sample: expression.image for sample, expression in _known(data, ids).items()}
        source_of = {
            image: ImageSource(str(data.image_path(image)), image_size(data.image_path(image)), data.calibration(image))
            for image in dict.fromkeys(images.values())
        }
        return {sample: source_of[image] for sample, image in images.items()}

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        known = _known(Mono3DReferRoot.find(root), ids)
        return {sample: expression.sentence for sample, expression in known.items()}

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        found = Mono3DReferRoot.find(root).by_id(ids)
        return {sample: expression.objects for sample, expression in found.items()}

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        if answers is not CameraBoxes:
            raise InputError(f"data set mono3drefer: evaluates {CameraBoxes.kind}, found answers of {answers.kind}")
        return GroundingAccuracy(root, split)


class GroundingAccuracy:
    """Accuracy of grounded boxes over a split, also by group if the data set's group file covers the split."""

    def __init__(self, root: Path, split: str) -> None:
        data = Mono3DReferRoot.find(root)
        self.expressions = data.expressions(split)
        self.groups = data.groups()
        self.found = Collected("expression")

    def update(self, predictions: Sequence[Prediction]) -> None:
        self.found.add(predictions)

    def compute(self) -> Table:
        self.found.require([e.id for e in self.expressions])
        self.found.warn_of_other_sentences({e.id: e.sentence for e in self.expressions})
        return grounding_table(
            [self.found[e.id].answer(CameraBoxes) for e in self.expressions],
            [e.objects for e in self.expressions],
            [e.instance for e in self.expressions],
            self.groups,
        )


class ResultFile:
    """Mono3DRefer's result.json, which holds predictions and labels."""

    description = f"Mono3DRefer's are a {results.FILE}"

    def knows(self, path: Path) -> bool:
        return results.is_result_file(_file(path))

    def read(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        return results.read_results(_file(path), ids)

    def write(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        if root is None:
            return []
        known = Mono3DReferRoot.find(root).by_id([p.sample for p in predictions])
        path = folder / results.FILE
        results.write_results(path, predictions, [known[p.sample] for p in predictions])
        return [path]


def _known(data: Mono3DReferRoot, ids: Sequence[str]) -> Mapping[str, Expression]:
    """Return the expressions with the given ids.

    Raises:
        MissingDataError: the data set has no expression with one of the ids.
    """
    known = data.by_id(ids)
    for sample in ids:
        if sample not in known:
            raise MissingDataError(
                f"Mono3DRefer {data.root}: no expression {sample!r}", "ids are <image>_<instanceID>_<ann_id>"
            )
    return known


def _file(path: Path) -> Path:
    return path / results.FILE if path.is_dir() else path


DATASET: Dataset = Mono3DRefer()
