"""Read predictions from files, with their data set and split, for evaluation and drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from g3d import config as presets
from g3d.config import Config
from g3d.data.predictions import read_predictions
from g3d.data.types import Answer, Prediction
from g3d.datasets.base import Dataset, dataset_names, dataset_of, dataset_of_results, get_dataset
from g3d.errors import InputError, MissingDataError


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
    dataset = get_dataset(config.data.dataset) if config else dataset_of_results(path)
    if dataset and dataset.native and dataset.native.knows(path):
        return Results(dataset, config, split, dataset.native.read(path, dataset.split_ids(root, split)))
    if path.is_dir():
        asked = [dataset] if dataset else [d for d in map(get_dataset, dataset_names()) if d.native]
        formats = "; ".join(d.native.description for d in asked if d.native)
        raise InputError(
            f"predictions {path}: no result files of {' or '.join(d.name for d in asked)} in it",
            f"{formats}; a run's are RUN/predictions/SPLIT.jsonl",
        )
    return Results(dataset or dataset_of(root), config, split, read_predictions(path))


def read_for_drawing(
    path: Path | None, root: Path | None, split: str, preset: str | None, items: Sequence[str]
) -> tuple[list[Prediction], Mapping[str, Answer] | None]:
    """Read predictions with their images or scenes, and the ground truth of their samples if there is a data set.

    Args:
        path: predictions file, or the data set's own result files; None to draw only the ground truth.
        root: folder of the data set; required unless `path` is a g3d predictions file.
        split: the split that result files belong to.
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
        dataset = get_dataset(presets.load(preset).data.dataset) if preset else dataset_of(root)
        ids = list(items) or dataset.split_ids(root, split)
        return labels_alone(dataset, root, split, ids), dataset.truth(root, split, ids)
    results = read_results(path, root, split, preset)
    wanted = [p for p in results.predictions if not items or p.sample in items]
    missing = [p.sample for p in wanted if p.source.path is None or not Path(p.source.path).exists()]
    sources = results.dataset.sources(root, split, missing)  # paths may be relative, or the data set may have moved
    drawn = [replace(p, source=sources[p.sample]) if p.sample in sources else p for p in wanted]
    return drawn, results.dataset.truth(root, split, [p.sample for p in drawn])


def labels_alone(dataset: Dataset, root: Path, split: str, ids: Sequence[str]) -> list[Prediction]:
    """Return predictions without answers for some samples, on which their ground truth can be drawn."""
    sources, expressions = dataset.sources(root, split, ids), dataset.expressions(root, split, ids)
    return [Prediction(sample, sources[sample], (), expressions.get(sample)) for sample in ids]


def _config_of_run(path: Path) -> Config | None:
    """Return the config of the run directory that a file lies in; None if it lies in none."""
    for folder in list(path.resolve().parents)[:3]:
        file = folder / "config.yaml"
        if file.is_file() and (folder / "checkpoints").is_dir():
            return presets.from_yaml(file.read_text(encoding="utf-8"), source=str(file))
    return None
