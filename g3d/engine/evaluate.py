"""Evaluation: every sample of a split once, over one process or many, or from predictions alone without a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from g3d import config as presets
from g3d.config import Config
from g3d.data.predictions import read_predictions
from g3d.data.types import Objects, Prediction
from g3d.engine import session
from g3d.engine.distributed import Processes, gather_to_first
from g3d.engine.loader import evaluation_batches
from g3d.errors import InputError, MissingDataError
from g3d.metrics.table import Table
from g3d.progress import Progress, Silent
from g3d.systems.base import Samples, System, get_system

log = logging.getLogger(__name__)


def predict(
    model: nn.Module, config: Any, samples: Samples, group: Processes, batch: int = 4, progress: Progress | None = None
) -> list[Prediction] | None:
    """Predictions for every sample, in their order, in the first process; None in the others.

    Args:
        model: the network; its mode is left as it was.
        batch: samples at a time in each process.
    """
    system = get_system(config.system)
    progress = progress or Silent()
    progress.begin("predict", len(samples))
    was_training = model.training
    model.eval()
    found: list[Prediction] = []
    for inputs in evaluation_batches(samples, system.collate, batch, config.train.workers, group):
        with (
            torch.inference_mode(),
            session.explained_out_of_memory(config.train),
            session.autocast(config.train, group.device),
        ):
            found += system.predict(model, inputs.to(group.device), config)
        progress.advance(min(len(inputs) * group.world, len(samples) - (len(found) - len(inputs)) * group.world))
    model.train(was_training)
    progress.end()
    parts = gather_to_first(found, group)
    if parts is None:
        return None
    return [parts[index % group.world][index // group.world] for index in range(len(samples))]


def evaluate_model(
    model: nn.Module, config: Any, root: Path, split: str, group: Processes, progress: Progress | None = None
) -> Table | None:
    """The published evaluation of a model on a split, in the first process; None in the others."""
    system = get_system(config.system)
    predictions = predict(model, config, system.dataset(config, root, split, training=False), group, progress=progress)
    return None if predictions is None else evaluate_predictions(system, config, predictions, root, split)


def evaluate_predictions(
    system: System, config: Any, predictions: Sequence[Prediction], root: Path, split: str
) -> Table:
    """The published evaluation of predictions."""
    evaluator = system.evaluator(config, root, split)
    evaluator.update(predictions)
    return evaluator.compute()


def read_for_evaluation(
    path: Path, root: Path, split: str | None, preset: str | None
) -> tuple[System, Config | None, str, list[Prediction]]:
    """Predictions from a g3d predictions file or from the data set's own result files, and the split that they are of.

    Without `split` it is the one that the preset evaluates on, `val` where there is no preset.

    The system is that of `preset`; without one it is that of the run the file lies in, or the one that knows the file's
    format or the data.

    Raises:
        MissingDataError: nothing there.
        InputError: whose predictions these are cannot be told.
    """
    if not path.exists():
        raise MissingDataError(f"predictions {path}: no such file or folder")
    config: Any = presets.load(preset) if preset else _config_of_run(path)
    split = split or (config.data.val if config else "val")
    names = [config.system] if config else presets.system_names()
    native = _knowing_native(path, names)
    if native is not None:
        return native, config, split, native.read_native(path, native.split_ids(root, split))
    if path.is_dir():
        raise InputError(
            f"predictions {path}: no result files of {' or '.join(names)} in it",
            "KITTI results are NNNNNN.txt, 16 columns a line; Mono3DRefer's are a result.json; a run's are "
            "RUN/predictions/SPLIT.jsonl",
        )
    system = get_system(config.system) if config else _system_of_data(root)
    return system, config, split, read_predictions(path)


def read_for_drawing(
    path: Path | None, root: Path | None, split: str, preset: str | None, items: Sequence[str]
) -> tuple[list[Prediction], Mapping[str, Objects] | None]:
    """Predictions with their images, and the labels of their samples if there is a data set.

    Args:
        path: predictions file, or the data set's own result files; None draws labels alone.
        root: the data set; needed unless `path` is a predictions file.
        split: what result files belong to.
        items: the wanted samples, all if empty.
    """
    if root is None:
        if path is None:
            raise InputError("g3d visualize: draw what?", "give --predictions FILE, or --data DIR with --item ID")
        if not path.is_file() or _knowing_native(path, presets.system_names()):
            raise InputError(f"predictions {path}: result files do not say where their images are", "--data DIR")
        return read_predictions(path), None
    if path is None:
        system = get_system(presets.load(preset).system) if preset else _system_of_data(root)
        ids = list(items) or system.split_ids(root, split)
        return system.blanks(root, ids), system.labels(root, ids)
    system, _, _, found = read_for_evaluation(path, root, split, preset)
    wanted = [p for p in found if not items or p.sample in items]
    missing = [
        p.sample for p in wanted if p.image is None or not Path(p.image).is_file()
    ]  # paths may be relative, data sets move
    blank = {b.sample: b for b in system.blanks(root, missing)}
    drawn = [replace(blank[p.sample], objects=p.objects) if p.sample in blank else p for p in wanted]
    return drawn, system.labels(root, [p.sample for p in drawn])


def _knowing_native(path: Path, names: Sequence[str]) -> System | None:
    """The first system that knows the format of these result files."""
    return next((system for system in map(get_system, names) if system.knows_native(path)), None)


def _system_of_data(root: Path) -> System:
    """The system that knows a data set.

    Raises:
        MissingDataError: there is no such folder.
        InputError: none knows it, or several do.
    """
    if not root.is_dir():
        raise MissingDataError(f"--data {root}: no such folder")
    names = presets.system_names()
    knowing = [system for system in map(get_system, names) if system.knows_data(root)]
    if len(knowing) != 1:
        found = (
            f"the data set of {' and of '.join(s.name for s in knowing)}"
            if knowing
            else f"no data set of {' or '.join(names)}"
        )
        raise InputError(f"--data {root}: found {found}; expected that of one system", "say which with --preset NAME")
    return knowing[0]


def _config_of_run(path: Path) -> Config | None:
    for folder in list(path.resolve().parents)[:3]:
        file = folder / "config.yaml"
        if file.is_file() and (folder / "checkpoints").is_dir():
            return presets.from_yaml(file.read_text(encoding="utf-8"), source=str(file))
    return None
