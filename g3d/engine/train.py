"""A complete training run: the loop around a Trainer, its run directory, and a clean stop on SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d.config import Config
from g3d.engine import checkpoint
from g3d.engine.distributed import Processes, any_process, mean_over
from g3d.engine.evaluate import check_evaluation, evaluate_model
from g3d.engine.loggers import Logger, check_installed, open_loggers
from g3d.engine.run import BEST, LAST, Run
from g3d.engine.trainer import Trainer
from g3d.errors import InputError, Interrupted
from g3d.progress import Progress, Silent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainReport:
    """Result of a finished training run.

    Attributes:
        run: the run directory.
        checkpoint: the last checkpoint.
        best: the checkpoint with the best score; None if there is none.
        steps: number of optimiser steps of the whole run.
        seconds: duration of the training loop since the start or resumption, in seconds.
        losses: the last recorded loss terms, averaged over the processes.
    """

    run: Path
    checkpoint: Path
    best: Path | None
    steps: int
    seconds: float
    losses: dict[str, float]


def train(
    config: Config,
    root: Path,
    group: Processes,
    out: Path | None = None,
    resume: checkpoint.Checkpoint | None = None,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a preset.

    Args:
        config: the resolved config; on resumption the checkpoint's, with overrides applied.
        root: the data set's folder.
        group: this process among all.
        out: run directory; runs/<preset>/<time> if None.
        resume: checkpoint to resume from, in its run directory.
        progress: is advanced by one for every step.

    Raises:
        Interrupted: SIGTERM or Ctrl-C was received; a checkpoint was written.
        TrainingFailed: the loss is no longer finite.
        InputError, MissingDataError, EnvironmentProblem: see Run, Trainer, the system and the data set.
    """
    check_installed(config)
    check_evaluation(config, root, group)
    resumed = Run.resume(_folder_of(resume), group) if resume else None
    if resume and resume.path.stat().st_mtime_ns != resume.modified:  # between its reading and the lock
        raise InputError(f"checkpoint {resume.path}: another process has trained on", "run the same command again")
    trainer = Trainer(config, root, group, fresh=resume is None)
    run = resumed or Run.create(trainer.config, out, sys.argv, group)
    if resume:
        trainer.restore(resume)
        run.reopen(config, trainer.steps, trainer.evaluated == trainer.steps)
        checkpoint.remove_leftovers(run.checkpoints)
        _set_aside_best(run, resume)
    handler = run.log_to_file()
    try:
        with open_loggers(run, trainer.config) as loggers, _stop_requests() as stop:
            if resume:  # the run may have stopped between an epoch's checkpoint and its evaluation
                _evaluate_if_due(trainer, run, root, loggers)
            return _loop(trainer, run, root, loggers, stop, progress or Silent())
    finally:
        if handler:
            logging.getLogger("g3d").removeHandler(handler)
            handler.close()
        run.close()


def _set_aside_best(run: Run, resume: checkpoint.Checkpoint) -> None:
    """Rename best.pt to best_before_resume.pt if it does not belong to the history of the resumed run.

    This is the case if best.pt is from a later step than the checkpoint that the run resumes from, or if that
    checkpoint is of an older g3d, which did not store the best score, so later scores cannot be compared with it.
    """
    if not run.writes or not run.best.is_file():
        return
    later = checkpoint.read(run.best).training["steps"] > resume.training["steps"]
    other_split = resume.config.data.val != resume.written.data.val
    if later or other_split or "best" not in resume.training:
        aside = run.best.with_name("best_before_resume.pt")
        run.best.replace(aside)
        step = resume.training["steps"]
        why = f"is from after step {step}, where the run goes on" if later else "has no known score"
        why = f"was the best on split {resume.written.data.val}" if other_split else why
        log.warning("%s %s: it is now %s", run.best, why, aside.name)


def _folder_of(resume: checkpoint.Checkpoint) -> Path:
    folder = checkpoint.run_of(resume.path)
    if folder is None:
        raise InputError(
            f"checkpoint {resume.path}: lies in no run directory to go on in", "expected RUN/checkpoints/last.pt"
        )
    return folder


def _loop(trainer: Trainer, run: Run, root: Path, loggers: Logger, stop: _Stop, progress: Progress) -> TrainReport:
    settings, group, loader = trainer.config.train, trainer.group, trainer.loader
    total = trainer.steps + max(0, (settings.epochs - trainer.epoch) * loader.steps - trainer.step_in_epoch)
    began = time.monotonic()
    losses: dict[str, float] = {}
    log.info(
        "run %s: %d samples, %d steps of %d an epoch, %d epochs",
        run.folder,
        loader.count,
        loader.steps,
        loader.batch,
        settings.epochs,
    )
    progress.begin(f"train {trainer.config.name}", total, trainer.steps)
    marks = (time.monotonic(), trainer.steps)
    for step in trainer:
        end_of_epoch = trainer.step_in_epoch == 0
        stopping = any_process(stop.requested, group)
        saving = end_of_epoch or stopping or (settings.save_steps > 0 and trainer.steps % settings.save_steps == 0)
        logging_due = trainer.steps % settings.log_steps == 0 or trainer.steps == total
        if logging_due or saving:
            losses = _means(step.losses, group)
        if logging_due:
            now = time.monotonic()
            speed = (trainer.steps - marks[1]) * loader.batch / max(now - marks[0], 1e-9)
            marks = (now, trainer.steps)
            loggers.losses(trainer.steps, step.at.epoch, step.rate, losses, speed)
        loss = f" loss {losses['total']:.3f}" if losses else ""
        progress.advance(note=f"epoch {step.at.epoch + 1}/{settings.epochs}{loss}")
        if saving:
            _save(trainer, run, root, *([] if _evaluation_due(trainer) else _numbered(trainer)), LAST)
        if stopping and trainer.steps < total:
            progress.end()
            raise Interrupted(
                f"stopped after step {trainer.steps} of {total}; checkpoint written",
                f"go on with: g3d train --resume {run.folder}",
            )
        _evaluate_if_due(trainer, run, root, loggers)
    progress.end()
    best = run.best if run.best.is_file() else None
    return TrainReport(run.folder, run.checkpoints / LAST, best, trainer.steps, time.monotonic() - began, losses)


def _means(terms: Mapping[str, Tensor], group: Processes) -> dict[str, float]:
    """Return the means of the loss terms over the processes as numbers."""
    values = mean_over(torch.stack([value.float() for value in terms.values()]), group).tolist()
    return dict(zip(terms, values, strict=True))


def _save(trainer: Trainer, run: Run, root: Path, *names: str) -> None:
    """Write the current state to the named checkpoints, one after the other. Every process must call this function."""
    state = trainer.state(root)
    if trainer.group.first:
        weights = trainer.model.state_dict()
        for name in names:
            checkpoint.write(run.checkpoints / name, trainer.config, weights, state)


def _numbered(trainer: Trainer) -> list[str]:
    """Return a list with the name of the numbered checkpoint if one is due now, otherwise an empty list."""
    due = trainer.step_in_epoch == 0 and trainer.epoch % trainer.config.train.checkpoint_epochs == 0
    return [f"epoch_{trainer.epoch}.pt"] if due else []


def _evaluation_due(trainer: Trainer) -> bool:
    """Return whether an epoch has just ended whose evaluation is due and not done yet."""
    settings, epoch = trainer.config.train, trainer.epoch
    if trainer.step_in_epoch or not epoch or not settings.eval_epochs or trainer.evaluated == trainer.steps:
        return False
    return epoch % settings.eval_epochs == 0 or epoch == settings.epochs


def _evaluate_if_due(trainer: Trainer, run: Run, root: Path, loggers: Logger) -> None:
    """Run the evaluation if one is due, and write the checkpoints that depend on it.

    best.pt (if the score is the best so far) and the numbered checkpoint are written before last.pt, which then records
    the evaluation. A run that is killed in between therefore repeats the evaluation.
    """
    if not _evaluation_due(trainer):
        return
    split, epoch = trainer.config.data.val, trainer.epoch
    table = evaluate_model(trainer.model, trainer.config, root, split, trainer.group)
    best = trainer.note_evaluation(table.score if table else None)
    if table is not None:
        loggers.evaluation(trainer.steps, epoch, split, table)
    elif trainer.group.first:
        log.warning("split %s has no labels: there is nothing to evaluate", split)
    _save(trainer, run, root, *([BEST] if best else []), *_numbered(trainer), LAST)
    if table is not None and table.score is not None:
        log.info(
            "epoch %d on %s: score %.4g%s", epoch, split, table.score, f", the best so far: {run.best}" if best else ""
        )


class _Stop:
    """Signal handler that records the first SIGTERM or Ctrl-C in `requested`.

    A later signal raises KeyboardInterrupt. Signals within one second of the first are ignored, since schedulers send
    several.
    """

    requested = False
    _since = 0.0

    def __call__(self, number: int, frame: Any) -> None:
        if self.requested:
            if time.monotonic() - self._since > 1:
                raise KeyboardInterrupt
            return
        self.requested, self._since = True, time.monotonic()
        # PyTorch's SIGCHLD handler would raise for a loading worker that the same signal ended, before the checkpoint.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log.warning("%s: stopping after this step", signal.Signals(number).name)


@contextmanager
def _stop_requests() -> Iterator[_Stop]:
    stop = _Stop()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
