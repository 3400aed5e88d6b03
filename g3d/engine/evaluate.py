"""Evaluate a model on a split in one or several processes, or evaluate predictions from a file without a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from g3d.config import Config
from g3d.data.files import require_writable
from g3d.data.predictions import write_predictions
from g3d.data.types import Answer, Prediction
from g3d.datasets.base import Dataset, Evaluator, get_dataset
from g3d.engine import session
from g3d.engine.distributed import Processes, from_first, gather_to_first
from g3d.engine.loader import evaluation_batches
from g3d.engine.model import LoadedModel
from g3d.engine.results import Results, read_results
from g3d.errors import EnvironmentProblem, InputError
from g3d.metrics.table import Table, mean_table
from g3d.progress import Progress, Silent
from g3d.systems.base import Samples, get_system

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        split: the evaluated split.
        predictions: one prediction for each sample.
        table: the published figures; None if the split has no labels.
        config: the config of the model; None for predictions of an unknown model.
        file: the predictions file that was written; None if none was.
        native: the data set's own result files that were written.
    """

    split: str
    predictions: list[Prediction]
    table: Table | None
    config: Config | None
    file: Path | None = None
    native: tuple[Path, ...] = ()


def evaluate(
    loaded: LoadedModel,
    group: Processes,
    data: Path | None = None,
    split: str | None = None,
    batch: int | None = None,
    out: Path | None = None,
    native: Path | None = None,
    full_precision: bool = False,
    progress: Progress | None = None,
) -> Evaluation | None:
    """Predict a split with a model, write the predictions, and compute the published figures.

    Args:
        loaded: the model.
        group: this process among all.
        data: the data set's folder; by default the one that the model was trained on.
        split: name or file of ids; by default the preset's.
        batch: number of images or scenes in a batch of each process; by default the preset's.
        out: predictions file; by default a file in the model's run directory, if it has one.
        native: folder for the data set's own result files.
        full_precision: write all digits in those files instead of the published number.
        progress: is advanced by one for every sample.

    Returns:
        The evaluation in the first process; None in the others.

    Raises:
        InputError: the data set's folder is not known, or `out` or `native` cannot be used.
        EnvironmentProblem: `out` or `native` cannot be written.
    """
    config, dataset = loaded.config, get_dataset(loaded.config.data.dataset)
    root = data or loaded.data
    if root is None:
        raise InputError("g3d eval: where is the data?", "--data DIR")
    if out and out.is_dir():
        raise InputError(
            f"--out {out}: is a folder; expected the name of a predictions file", f"--out {out / 'found.jsonl'}"
        )
    if native and dataset.native is None:
        raise InputError(f"--native: data set {dataset.name} has no result files of its own", "leave --native away")
    part = split or config.data.val
    for folder, option in ((out and out.parent, "--out"), (native, "--native")):
        if folder and group.first:
            require_writable(folder, option)
    found: list[Prediction] | None = None
    file, written, tables = None, list[Path](), list[Table | None]()
    for number, drawn in enumerate(_repetitions(config)):
        samples = loaded.system.samples(drawn, root, part, training=False)
        again = predict(loaded.model, drawn, samples, group, batch, progress)
        if again is None:
            continue
        kept = _keep(again, out, loaded, part, number)
        if not number:
            found, file = again, kept
            if native and dataset.native:
                written = dataset.native.write(found, native, full_precision, root)
                log.info("result files: %s", native)
        tables.append(evaluate_predictions(dataset, config, again, root, part, loaded.system.answers))
    if found is None:
        return None
    labelled = [table for table in tables if table is not None]
    return Evaluation(part, found, mean_table(labelled) if labelled else None, config, file, tuple(written))


def _repetitions(config: Any) -> list[Any]:
    """Return the config of each evaluation: the preset's setting `data.repetitions` asks for several random draws."""
    data = config.data
    if getattr(data, "repetitions", 1) == 1:
        return [config]
    numbers = range(data.repetition, data.repetition + data.repetitions)
    draws = [data.model_copy(update={"repetition": number}) for number in numbers]
    return [config.model_copy(update={"data": draw}) for draw in draws]


def evaluate_file(path: Path, root: Path, split: str | None, preset: str | None) -> Evaluation:
    """Compute the published figures of predictions from a file, without a model.

    Args:
        path: predictions file, or the data set's own result files.
        root: the data set's folder.
        split: split of the predictions; by default the one that the preset evaluates on, `val` without a preset.
        preset: name or file; by default that of the run that the file lies in, if it lies in one.

    Raises:
        MissingDataError: the path does not exist, or predictions of the split are missing.
        InputError: the predictions cannot be used, or their data set cannot be determined.
    """
    results = read_results(path, root, split, preset)
    table = evaluate_predictions(
        results.dataset, results.config, results.predictions, root, results.split, _evaluated(results, path)
    )
    return Evaluation(results.split, results.predictions, table, results.config)


def predict(
    model: nn.Module,
    config: Any,
    samples: Samples,
    group: Processes,
    batch: int | None = None,
    progress: Progress | None = None,
) -> list[Prediction] | None:
    """Predict every sample. All samples of one image or scene are predicted together in one process.

    Args:
        model: the network; it is evaluated in evaluation mode and returned to its previous mode.
        config: the resolved config of the model.
        samples: the samples to predict.
        group: this process among all.
        batch: number of images or scenes in a batch of each process; by default the preset's.
        progress: is advanced by one for every sample.

    Returns:
        The predictions in the order of the samples in the first process; None in the others.

    Raises:
        InputError: a sample occurs twice with the same sentence.
    """
    system = get_system(config.system)
    progress = progress or Silent()
    progress.begin("predict", len(samples))
    was_training = model.training
    model.eval()
    found: dict[int, Prediction] = {}
    done = 0
    batches = evaluation_batches(samples, system.collate, batch or config.train.eval_batch, config.train.workers, group)
    for indices, inputs in batches:
        with (
            torch.inference_mode(),
            session.explained_out_of_memory(config.train),
            session.autocast(config.train, group.device),
        ):
            found.update(zip(indices, system.predict(model, inputs.to(group.device), config), strict=True))
        all_done = min(len(found) * group.world, len(samples))  # about as many in each process
        progress.advance(all_done - done)
        done = all_done
    model.train(was_training)
    progress.end()
    parts = gather_to_first(found, group)
    return None if parts is None else _merged(parts, len(samples))


def evaluate_model(
    model: nn.Module, config: Any, root: Path, split: str, group: Processes, progress: Progress | None = None
) -> Table | None:
    """Return the published figures of a model on a split.

    Returns:
        The table in the first process; None in the others, and None if the split has no labels.
    """
    system = get_system(config.system)
    evaluator = _evaluator_of(config, root, split) if group.first else None
    if not from_first(evaluator is not None, group):
        return None
    samples = system.samples(config, root, split, training=False)
    found = predict(model, config, samples, group, progress=progress)
    if found is None or evaluator is None:
        return None
    evaluator.update(found)
    return evaluator.compute()


def check_evaluation(config: Any, root: Path, group: Processes) -> None:
    """Raise what would keep a training's evaluations from being made: better known before it than after an epoch.

    Raises:
        InputError, MissingDataError: the split to evaluate on is unknown, or its labels cannot be used.
    """
    if config.train.eval_epochs and group.first:
        _evaluator_of(config, root, config.data.val)


def _evaluator_of(config: Any, root: Path, split: str) -> Evaluator | None:
    dataset, answers = get_dataset(config.data.dataset), get_system(config.system).answers
    return dataset.evaluator(root, split, answers, _options(dataset, config))


def evaluate_predictions(
    dataset: Dataset,
    config: Config | None,
    predictions: Sequence[Prediction],
    root: Path,
    split: str,
    answers: type[Answer],
) -> Table | None:
    """Return the published figures of predictions; None if the split has no labels.

    Args:
        dataset: the data set of the predictions.
        config: the config of the model, whose `data` section may set options of the evaluation; None for the defaults.
        predictions: one prediction for each sample of the split.
        root: the data set's folder.
        split: the split of the predictions.
        answers: the type of answer to evaluate.
    """
    evaluator = dataset.evaluator(root, split, answers, _options(dataset, config))
    if evaluator is None:
        return None
    evaluator.update(predictions)
    return evaluator.compute()


def _options(dataset: Dataset, config: Config | None) -> dict[str, Any]:
    """Return the settings of a preset that the data set's evaluation follows."""
    if config is None:
        return {}
    return {name: getattr(config.data, name) for name in dataset.options if hasattr(config.data, name)}


def _evaluated(results: Results, path: Path) -> type[Answer]:
    """Return the type of answer that predictions from a file are evaluated by."""
    kinds = {type(answer) for prediction in results.predictions for answer in prediction.answers}
    if len(kinds) == 1:
        return kinds.pop()
    if results.config is not None:
        return get_system(results.config.system).answers
    if not kinds:
        raise InputError(f"predictions {path}: found no prediction with an answer, expected some")
    found = " and ".join(sorted(kind.kind for kind in kinds))
    raise InputError(f"predictions {path}: found answers of {found}", "say which system's they are with --preset NAME")


def _merged(parts: Sequence[Mapping[int, Prediction]], count: int) -> list[Prediction]:
    """Return the predictions of all processes in the order of the samples.

    Raises:
        InputError: a (sample, expression) pair occurs twice.
    """
    whole = {index: prediction for part in parts for index, prediction in part.items()}
    found = [whole[index] for index in range(count)]
    first: dict[tuple[str, str | None], int] = {}
    for index, prediction in enumerate(found):
        if first.setdefault(prediction.key, index) != index:
            raise InputError(f"samples: {prediction.sample!r} comes twice with the same sentence")
    return found


def _keep(found: list[Prediction], out: Path | None, loaded: LoadedModel, split: str, number: int) -> Path | None:
    """Write the predictions file and return its path; None if there is no place for it.

    If `out` is None and the run directory cannot be written, log a message and return None.

    Args:
        found: the predictions.
        out: the file that the user named.
        loaded: the model, whose run directory is the place of the file by default.
        split: the split of the predictions.
        number: number of the evaluation; from the second on (1), the file's name has it: "val.2.jsonl".
    """
    name = Path(split).stem + ("" if loaded.checkpoint.stem == "last" else f"-{loaded.checkpoint.stem}") + ".jsonl"
    file = out or (loaded.run / "predictions" / name if loaded.run else None)
    if file is None:
        return None
    if number:
        file = file.with_name(f"{file.stem}.{number + 1}{file.suffix}")
    try:
        write_predictions(file, found)
    except EnvironmentProblem as error:
        if out:
            raise
        log.info("predictions are not kept: %s; --out FILE writes them elsewhere", error.message)
        return None
    log.info("predictions: %s", file)
    return file
