"""Read predictions from files, with their data set and split, for evaluation and drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from g3d import config as presets
from g3d.config import Config
from g3d.data.files import read_text
from g3d.data.predictions import read_predictions
from g3d.data.types import Answer, ImageSource, Prediction
from g3d.datasets.base import Dataset, dataset_of, dataset_of_results, datasets, get_dataset
from g3d.errors import G3DError, InputError, MissingDataError


@dataclass(frozen=True)
class Results:
    """Predictions from a file.

    Attributes:
        dataset: the data set that the predictions belong to.
        config: the config of the preset that made them; None if it is not known.
        split: the split of the data set.
        predictions: the predictions in the order of the file.
    """

    dataset: Dataset
    config: Config | None
    split: str
    predictions: list[Prediction]


def read_results(path: Path, root: Path, split: str | None, preset: str | None) -> Results:
    """Read predictions from a g3d predictions file or from a data set's own result files.

    The data set is the one of `preset`. Without a preset it is the one of the run that the file lies in; without a run
    it is the one that recognises the file format or the folder `root`. The default split is the one that the preset
    evaluates on, or `val` without a preset.

    Raises:
        MissingDataError: the path does not exist.
        InputError: the data set of the predictions cannot be determined.
    """
    if not path.exists():
        raise MissingDataError(f"predictions {path}: no such file or folder")
    config: Any = presets.load(preset) if preset else _config_of_run(path)
    split = split or (config.data.val if config else "val")
    dataset = get_dataset(config.data.dataset) if config else dataset_of_results(path, root)
    if dataset and dataset.native and dataset.native.knows(path):
        return Results(dataset, config, split, dataset.native.read(path, dataset.split_ids(root, split)))
    if path.is_dir():
        asked = [dataset] if dataset else [known for known in datasets() if known.native]
        formats = "; ".join(d.native.description for d in asked if d.native)
        raise InputError(
            f"predictions {path}: no result files of {' or '.join(d.name for d in asked)} in it",
            f"{formats}; a run's are RUN/predictions/SPLIT.jsonl",
        )
    dataset, found = dataset or dataset_of(root), read_predictions(path)
    _refuse_other_split(path, dataset, root, split, found)
    return Results(dataset, config, split, found)


def _refuse_other_split(path: Path, dataset: Dataset, root: Path, split: str, found: Sequence[Prediction]) -> None:
    """Raise InputError if predictions are about another image of the data set than the split's of that name.

    Splits may use the same names for different images: labels of one say nothing about the other.
    """
    first = next((p for p in found if isinstance(p.source, ImageSource) and p.source.path), None)
    if first is None:
        return
    try:
        own = dataset.sources(root, split, [first.sample])[first.sample]
    except (G3DError, LookupError):  # it is not in the split, which whoever needs it there says
        return
    if own.path is None or first.source.path is None:
        return
    expected, image, whole = (Path(place).resolve() for place in (own.path, first.source.path, root))
    if not expected.is_relative_to(whole):
        whole = whole.parent  # a prepared folder lies in the raw one
    if image != expected and image.exists() and expected.is_relative_to(whole) and image.is_relative_to(whole):
        raise InputError(
            f"predictions {path}: {first.sample!r} is about {image}, but in split {split} it is {expected}",
            "say which split they are of with --split",
        )


def read_for_drawing(
    path: Path | None, root: Path | None, split: str | None, preset: str | None, items: Sequence[str]
) -> tuple[list[Prediction], Mapping[str, Answer] | None]:
    """Read predictions with their images or scenes, and the ground truth of their samples if there is a data set.

    Args:
        path: predictions file, or the data set's own result files; None to draw only the ground truth.
        root: folder of the data set; required unless `path` is a g3d predictions file.
        split: the split of the data set; see `read_results`.
        preset: names the data set if its folder does not identify it.
        items: ids of the wanted samples; all if empty.

    Returns:
        The predictions, and the ground truth by sample; None without a data set.

    Raises:
        InputError: there is nothing to draw, or result files are given without `root`.
    """
    if root is None:
        if path is None:
            raise InputError("g3d visualize: draw what?", "give --predictions FILE, or --data DIR with --item ID")
        if not path.is_file() or dataset_of_results(path):
            raise InputError(f"predictions {path}: result files do not say where their images are", "--data DIR")
        return read_predictions(path), None
    if path is None:
        config: Any = presets.load(preset) if preset else None
        dataset = get_dataset(config.data.dataset) if config else dataset_of(root)
        split = split or (config.data.val if config else "val")
        ids = list(items) or dataset.split_ids(root, split)
        return labels_alone(dataset, root, split, ids), dataset.truth(root, split, ids)
    results = read_results(path, root, split, preset)
    wanted = [p for p in results.predictions if not items or p.sample in items]
    missing = [p.sample for p in wanted if p.source.path is None or not Path(p.source.path).exists()]
    sources = results.dataset.sources(root, results.split, missing)  # paths may be relative, and data sets move
    drawn = [replace(p, source=sources[p.sample]) if p.sample in sources else p for p in wanted]
    return drawn, results.dataset.truth(root, results.split, [p.sample for p in drawn])


def labels_alone(dataset: Dataset, root: Path, split: str, ids: Sequence[str]) -> list[Prediction]:
    """Return predictions without answers for some samples, on which their ground truth can be drawn."""
    sources, expressions = dataset.sources(root, split, ids), dataset.expressions(root, split, ids)
    return [Prediction(sample, sources[sample], (), expressions.get(sample)) for sample in ids]


def _config_of_run(path: Path) -> Config | None:
    """Return the config of the run directory that a file lies in; None if it lies in none."""
    for folder in list(path.resolve().parents)[:3]:
        file = folder / "config.yaml"
        if file.is_file() and (folder / "checkpoints").is_dir():
            return presets.from_yaml(read_text(file, "config"), source=str(file))
    return None
