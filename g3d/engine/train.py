"""Training: the loop, exact resumption, and a clean stop on SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from g3d.config import Config
from g3d.engine import checkpoint, session
from g3d.engine.distributed import Processes, any_process, from_first, gather_to_first, mean_over
from g3d.engine.evaluate import evaluate_model
from g3d.engine.loader import TrainingLoader
from g3d.engine.loggers import Logger, check_installed, open_loggers
from g3d.engine.model import load_strictly
from g3d.engine.run import Run
from g3d.engine.schedule import build_optimizer, learning_rate, set_learning_rate
from g3d.errors import G3DError, InputError, Interrupted
from g3d.nn.parallel import convert_sync_batchnorm
from g3d.position import Position
from g3d.progress import Progress, Silent
from g3d.systems.base import get_system

log = logging.getLogger(__name__)


class TrainingFailed(G3DError):
    """The training itself went wrong: exit code 1."""

    exit_code = 1


@dataclass(frozen=True)
class TrainReport:
    """What a finished run leaves: its folder, its last checkpoint, its best one if it was evaluated, and the last loss
    terms."""

    run: Path
    checkpoint: Path
    best: Path | None
    steps: int
    seconds: float
    losses: dict[str, float]


class Trainer:
    """A system being trained: network, optimiser, data and position. `step` is the whole algorithm."""

    def __init__(self, config: Any, root: Path, group: Processes, fresh: bool = True) -> None:
        self.config, self.group = config, group
        self.system = get_system(config.system)
        settings = config.train
        session.seed_everything(settings.seed)  # the same initial weights in every process
        samples = self.system.dataset(config, root, config.data.train, training=True)
        self.loader = TrainingLoader(
            samples, self.system.collate, settings.batch, settings.accumulate, settings.workers, settings.seed, group
        )
        self.model = self.system.build(config)
        if fresh:
            for line in self.system.start(config, self.model, root, checkpoint.read_raw):
                log.info("%s", line)
        session.seed_everything(settings.seed, group.rank)  # from here on draws of its own: dropout, say
        self.model = session.place(self.model, settings, group.device, self.system.layout(config))
        if group.world > 1 and settings.sync_batchnorm:
            self.model = convert_sync_batchnorm(self.model)
        self.optimizer = build_optimizer(
            self.system.parameter_groups(self.model, config), config.optim, self.system.optimizers
        )
        self.network = self._wrapped()
        self.epoch = self.step_in_epoch = self.steps = 0
        self.rate = 0.0  # of the last step

    def _wrapped(self) -> torch.nn.Module:
        """The network as it is called: compiled and shared between processes where asked."""
        if self.config.train.compile:
            self.model.compile()
        if self.group.world == 1:
            return self.model
        # said of 1 x 1 convolutions in channels-last, whose strides mean the same either way
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        devices = [self.group.device] if self.group.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids=devices)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.steps, self.loader.steps, self.config.train.epochs)

    def step(self, micro_batches: list[Any]) -> dict[str, Tensor]:
        """One optimiser step over one global batch. Returns this process's loss terms, detached, on the device."""
        self.network.train()
        self.rate = learning_rate(self.config.optim, self.position)
        set_learning_rate(self.optimizer, self.rate)
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for number, batch in enumerate(micro_batches, 1):
            last = number == len(micro_batches)
            quiet = (
                self.network.no_sync()
                if isinstance(self.network, DistributedDataParallel) and not last
                else nullcontext()
            )
            with quiet, session.explained_out_of_memory(self.config.train):
                with session.autocast(self.config.train, self.group.device):
                    losses = self.system.losses(self.network, batch.to(self.group.device), self.config)
                (losses["total"] / len(micro_batches)).backward()
            for name, value in losses.items():
                terms[name] = terms.get(name, 0) + value.detach() / len(micro_batches)
        if self.config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self.optimizer.step()
        self.steps += 1
        self.step_in_epoch += 1
        return terms

    def batches(self) -> Iterator[list[Any]]:
        """The rest of the run's batches, from the present position; moves to the next epoch as they run out."""
        while self.epoch < self.config.train.epochs:
            yield from self.loader.epoch(self.epoch, self.step_in_epoch)

    def state(self, root: Path) -> dict[str, Any]:
        """Everything besides the weights that going on needs; called in every process, complete in the first."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "steps": self.steps,
            "random": gather_to_first(session.random_states(), self.group),
            "data": str(root.resolve()),
        }

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Continue where a checkpoint was written.

        Raises:
            InputError: it holds no state of training, has other weights, or was written within an epoch of other
                batches.
        """
        if missing := [
            key for key in ("optimizer", "epoch", "step_in_epoch", "steps", "random") if key not in saved.training
        ]:
            raise InputError(f"checkpoint {saved.path}: training cannot go on from it: it has no {', '.join(missing)}")
        load_strictly(self.model, saved.model, saved.path)
        options = [
            {key: value for key, value in group.items() if key != "params"} for group in self.optimizer.param_groups
        ]
        try:
            self.optimizer.load_state_dict(saved.training["optimizer"])
        except ValueError:
            raise InputError(
                f"checkpoint {saved.path}: its optimiser has other parameters than this config trains",
                "what is frozen cannot change within a run",
            ) from None
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update(own)  # those of the config, which --set may have changed, not those in the file
        self.epoch, self.step_in_epoch, self.steps = (
            saved.training[key] for key in ("epoch", "step_in_epoch", "steps")
        )
        self._check_same_batches(saved)
        states = saved.training["random"]
        if len(states) == self.group.world:
            session.restore_random_states(states[self.group.rank])
        elif self.group.first:
            log.warning("resuming on %d processes a run of %d: random states start anew", self.group.world, len(states))

    def _check_same_batches(self, saved: checkpoint.Checkpoint) -> None:
        """Within an epoch, the batches still to come must be those that the saved run would have taken."""
        if not self.step_in_epoch:
            return
        now, then = self.config, cast(Any, saved.written)
        settings = {
            "train.batch": (now.train.batch, then.train.batch),
            "train.seed": (now.train.seed, then.train.seed),
            "data.train": (now.data.train, then.data.train),
        }
        where = f"checkpoint {saved.path}: written within an epoch, after {self.step_in_epoch} steps of it"
        for name, (found, expected) in settings.items():
            if found != expected:
                raise InputError(
                    f"{where}: {name} cannot change there from {expected} to {found}", "go on from the end of an epoch"
                )
        if self.step_in_epoch >= self.loader.steps:
            raise InputError(f"{where}, but the split now makes {self.loader.steps}", "was the split changed?")


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
        resume: go on from this checkpoint, in its run directory.
        progress: told of every step.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; a checkpoint was written.
        TrainingFailed: the loss is no longer finite.
        InputError, MissingDataError, EnvironmentProblem: see the parts.
    """
    check_installed(config)
    resumed = Run.resume(_folder_of(resume), group) if resume else None
    trainer = Trainer(config, root, group, fresh=resume is None)
    run = resumed or Run.create(config, out, sys.argv, group)
    if resume:
        trainer.restore(resume)
        run.reopen(config, trainer.steps)
        checkpoint.remove_leftovers(run.checkpoints)
        _set_aside_later_best(run, trainer)
    handler = run.log_to_file()
    try:
        with open_loggers(run, config) as loggers, _stop_requests() as stop:
            if resume:  # the run may have been stopped between an epoch's checkpoint and its evaluation
                _evaluate_if_due(trainer, run, root, loggers, resume.path)
            return _loop(trainer, run, root, loggers, stop, progress or Silent())
    finally:
        if handler:
            logging.getLogger("g3d").removeHandler(handler)
            handler.close()
        run.close()


def _set_aside_later_best(run: Run, trainer: Trainer) -> None:
    """Going on from an earlier checkpoint drops what came after it; a best.pt from there is kept under another name."""
    if run.writes and run.best.is_file() and checkpoint.read(run.best).training["steps"] > trainer.steps:
        aside = run.best.with_name("best_before_resume.pt")
        run.best.replace(aside)
        log.warning(
            "%s is from after step %d, where the run goes on: it is now %s", run.best, trainer.steps, aside.name
        )


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
        len(loader.samples),
        loader.steps,
        loader.batch,
        settings.epochs,
    )
    progress.begin(f"train {trainer.config.name}", total, trainer.steps)
    marks = (time.monotonic(), trainer.steps)
    for batch in trainer.batches():
        terms = trainer.step(batch)
        end_of_epoch = trainer.step_in_epoch == loader.steps
        stopping = any_process(stop.requested, group)
        saving = end_of_epoch or stopping or (settings.save_steps > 0 and trainer.steps % settings.save_steps == 0)
        logging_due = trainer.steps % settings.log_steps == 0 or trainer.steps == total
        if logging_due or saving:
            losses = _agreed(
                terms, group
            )  # before saving: a checkpoint of a training that diverged would replace the last good one
        if logging_due:
            now = time.monotonic()
            rate = (trainer.steps - marks[1]) * loader.batch / max(now - marks[0], 1e-9)
            marks = (now, trainer.steps)
            loggers.losses(trainer.steps, trainer.epoch, trainer.rate, losses, rate)
        progress.advance(
            note=f"epoch {trainer.epoch + 1}/{settings.epochs}" + (f" loss {losses['total']:.3f}" if losses else "")
        )
        if end_of_epoch:
            trainer.epoch, trainer.step_in_epoch = trainer.epoch + 1, 0
        if saving:
            _save(trainer, run, root, numbered=end_of_epoch and trainer.epoch % settings.checkpoint_epochs == 0)
        if stopping and trainer.steps < total:
            progress.end()
            raise Interrupted(
                f"stopped after step {trainer.steps} of {total}; checkpoint written",
                f"go on with: g3d train --resume {run.folder}",
            )
        _evaluate_if_due(trainer, run, root, loggers, run.checkpoints / "last.pt")
    progress.end()
    best = run.best if run.best.is_file() else None
    return TrainReport(run.folder, run.checkpoints / "last.pt", best, trainer.steps, time.monotonic() - began, losses)


def _agreed(terms: dict[str, Tensor], group: Processes) -> dict[str, float]:
    """The terms' means over the processes, as numbers."""
    values = mean_over(torch.stack([value.float() for value in terms.values()]), group).tolist()
    losses = dict(zip(terms, values, strict=True))
    if not math.isfinite(losses["total"]):
        broken = ", ".join(name for name, value in losses.items() if name != "total" and not math.isfinite(value))
        raise TrainingFailed(
            f"the loss is no longer finite (terms: {broken})",
            "a smaller --set optim.lr or --set optim.clip_norm=10 may help",
        )
    return losses


def _save(trainer: Trainer, run: Run, root: Path, numbered: bool) -> None:
    """Write last.pt, and a numbered checkpoint where one is due; every process takes part."""
    state = trainer.state(root)
    if not trainer.group.first:
        return
    weights = trainer.model.state_dict()
    if numbered:
        checkpoint.write(run.checkpoints / f"epoch_{trainer.epoch}.pt", trainer.config, weights, state)
    checkpoint.write(run.checkpoints / "last.pt", trainer.config, weights, state)


def _evaluate_if_due(trainer: Trainer, run: Run, root: Path, loggers: Logger, file: Path) -> None:
    """At the end of an epoch that wants an evaluation and has none yet: make it, and copy its checkpoint if it is the
    best so far."""
    settings, split, epoch = trainer.config.train, trainer.config.data.val, trainer.epoch
    if (
        trainer.step_in_epoch
        or not epoch
        or not settings.eval_epochs
        or (epoch % settings.eval_epochs and epoch != settings.epochs)
    ):
        return
    if from_first(run.writes and trainer.steps in run.evaluations(split), trainer.group):
        return
    table = evaluate_model(trainer.model, trainer.config, root, split, trainer.group)
    if table is None:
        return
    earlier = [score for score in run.evaluations(split).values() if score is not None]
    best = table.score is not None and table.score > max(earlier, default=-math.inf)
    if best:
        checkpoint.copy(file, run.best)
    loggers.evaluation(trainer.steps, epoch, split, table)
    if table.score is not None:
        log.info(
            "epoch %d on %s: score %.4g%s", epoch, split, table.score, f", the best so far: {run.best}" if best else ""
        )


class _Stop:
    """Set by the first SIGTERM or Ctrl-C; another one interrupts at once, unless it belongs to the first: schedulers
    send several."""

    requested = False
    _since = 0.0

    def __call__(self, number: int, frame: Any) -> None:
        if self.requested:
            if time.monotonic() - self._since > 1:
                raise KeyboardInterrupt
            return
        self.requested, self._since = True, time.monotonic()
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # loading workers that die of the same signal must not break the checkpoint
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
