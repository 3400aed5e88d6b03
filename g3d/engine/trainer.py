"""The Trainer: network, optimiser, data and position of a training run, usable from Python.

trainer = Trainer(presets.load(NAME), FOLDER)
for step in trainer:
    print(step.at.epoch, step.at.step, float(step.losses["total"]))
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from g3d.engine import checkpoint, session
from g3d.engine.distributed import Processes, choose_device, gather_to_first
from g3d.engine.loader import TrainingLoader
from g3d.engine.model import load_strictly
from g3d.engine.schedule import build_optimizer, learning_rate, set_learning_rate, set_norm_momentum
from g3d.errors import G3DError, InputError
from g3d.nn.parallel import convert_sync_batchnorm
from g3d.position import Position
from g3d.systems.base import get_system

log = logging.getLogger(__name__)


class TrainingFailed(G3DError):
    """The training diverged: exit code 1."""

    exit_code = 1


@dataclass(frozen=True)
class Step:
    """Result of one optimiser step.

    Attributes:
        at: the position before the step.
        rate: the learning rate of the step.
        losses: this process's loss terms by name: detached tensors on the device, averaged over the micro-batches.
    """

    at: Position
    rate: float
    losses: Mapping[str, Tensor]


class Trainer:
    """Training of one system. Iterating over a Trainer makes one optimiser step after another until the run ends.

    Args:
        config: the resolved preset; the attribute `config` also has the sizes that depend on the data.
        root: the data set's folder.
        group: this process among all; by default the only one, on CUDA if a device is available.
        fresh: load the initial weights that the config names; False if `restore` follows.

    Attributes:
        epoch, step_in_epoch, steps: the position: epochs done, steps done in the current epoch, and steps in total.
        best: the best score of the evaluations so far; None before the first score.
        evaluated: the number of steps at the last evaluation.
    """

    def __init__(self, config: Any, root: Path, group: Processes | None = None, fresh: bool = True) -> None:
        self.group = group or Processes(0, 1, choose_device())
        self.system = get_system(config.system)
        self.config = self.system.resolve(config, root) if fresh else config
        settings = self.config.train
        session.seed_everything(settings.seed)  # the same initial weights in every process
        samples = self.system.samples(self.config, root, self.config.data.train, training=True)
        self.loader = TrainingLoader(
            samples,
            self.system.collate,
            settings.batch,
            settings.accumulate,
            settings.workers,
            settings.seed,
            self.group,
        )
        self.model = self.system.build(self.config)
        if fresh:
            for line in self.system.start(self.config, self.model, root, checkpoint.read_raw):
                log.info("%s", line)
        session.seed_everything(settings.seed, self.group.rank)  # from here on, each process draws its own dropout
        self.model = session.place(self.model, settings, self.group.device, self.system.layout(self.config))
        if self.group.world > 1 and settings.sync_batchnorm:
            self.model = convert_sync_batchnorm(self.model)
        groups = self.system.parameter_groups(self.model, self.config)
        self.optimizer = build_optimizer(groups, self.config.optim, self.system.optimizers)
        self.network = self._wrapped()
        self.epoch = self.step_in_epoch = self.steps = 0
        self.best: float | None = None
        self.evaluated = 0

    def _wrapped(self) -> torch.nn.Module:
        """Return the network to call: compiled if the config asks for it, and distributed if there are processes."""
        if self.config.train.compile:
            self.model.compile()
        if self.group.world == 1:
            return self.model
        # PyTorch warns about 1 x 1 convolutions in channels-last, whose two stride patterns are equivalent.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        devices = [self.group.device] if self.group.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids=devices)

    @property
    def position(self) -> Position:
        """The position before the next step."""
        return Position(self.epoch, self.steps, self.loader.steps, self.config.train.epochs)

    def __iter__(self) -> Iterator[Step]:
        """Make the remaining steps of the run from the current position. Yield each step after it was made."""
        while self.epoch < self.config.train.epochs:
            for micro_batches in self.loader.epoch(self.epoch, self.step_in_epoch):
                yield self.step(micro_batches)

    def step(self, micro_batches: list[Any]) -> Step:
        """Make one optimiser step on one global batch and advance the position.

        Args:
            micro_batches: this process's parts of the global batch.

        Raises:
            TrainingFailed: the total loss is not finite; the weights are those before the step.
        """
        at, rate = self.position, learning_rate(self.config.optim, self.position)
        self.network.train()
        set_learning_rate(self.optimizer, rate)
        if self.config.optim.norm_momentum:
            set_norm_momentum(self.model, self.config.optim.norm_momentum, at.epoch)
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for number, batch in enumerate(micro_batches, 1):
            last = number == len(micro_batches)
            shared = isinstance(self.network, DistributedDataParallel)
            quiet = cast(DistributedDataParallel, self.network).no_sync() if shared and not last else nullcontext()
            with quiet, session.explained_out_of_memory(self.config.train):
                with session.autocast(self.config.train, self.group.device):
                    losses = self.system.losses(self.network, batch.to(self.group.device), self.config, at)
                (losses["total"] / len(micro_batches)).backward()
            for name, value in losses.items():
                terms[name] = terms.get(name, 0) + value.detach() / len(micro_batches)
        _require_finite(terms, at)  # before non-finite gradients reach the weights
        if self.config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self.optimizer.step()
        self.steps += 1
        self.step_in_epoch += 1
        if self.step_in_epoch == self.loader.steps:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        return Step(at, rate, terms)

    def note_evaluation(self, score: float | None) -> bool:
        """Record that the current weights were evaluated. Return whether their score is the best so far."""
        self.evaluated = self.steps
        if score is None or not score > (-math.inf if self.best is None else self.best):  # NaN is no best score
            return False
        self.best = score
        return True

    def state(self, root: Path) -> dict[str, Any]:
        """Return everything besides the weights that is needed to resume the run.

        Every process must call this method. The state is complete only in the first process.

        Args:
            root: the data set's folder, which is stored in the state.
        """
        return {
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "steps": self.steps,
            "best": self.best,
            "evaluated": self.evaluated,
            "random": gather_to_first(session.random_states(), self.group),
            "data": str(root.resolve()),
        }

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Restore the state of a checkpoint, to continue the run from there.

        A checkpoint of an older g3d does not hold the best score; `best` is then None.

        Raises:
            InputError: the checkpoint holds no training state, its weights or optimiser parameters do not fit, or it
                was written within an epoch and the remaining batches of that epoch would change.
        """
        needed = ("optimizer", "epoch", "step_in_epoch", "steps", "random")
        if missing := [key for key in needed if key not in saved.training]:
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
            group.update(own)  # options come from the config, which --set may have changed, and not from the file
        self.epoch, self.step_in_epoch, self.steps = (
            saved.training[key] for key in ("epoch", "step_in_epoch", "steps")
        )
        if self.config.data.val == saved.written.data.val:  # scores on another split cannot be compared
            self.best, self.evaluated = saved.training.get("best"), saved.training.get("evaluated", 0)
        self._check_same_batches(saved)
        states = saved.training["random"]
        if len(states) == self.group.world:
            session.restore_random_states(states[self.group.rank])
        elif self.group.first:
            log.warning("resuming on %d processes a run of %d: random states start anew", self.group.world, len(states))

    def _check_same_batches(self, saved: checkpoint.Checkpoint) -> None:
        """Check that the remaining batches of a partly finished epoch are those of the saved run.

        Raises:
            InputError: the batch size, the seed or the training split changed within an epoch.
        """
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


def _require_finite(terms: Mapping[str, Tensor], at: Position) -> None:
    """Raise TrainingFailed if the total loss is not finite. All terms are read with one transfer from the device."""
    values = dict(zip(terms, torch.stack([value.float() for value in terms.values()]).tolist(), strict=True))
    if math.isfinite(values["total"]):
        return
    broken = ", ".join(name for name, value in values.items() if name != "total" and not math.isfinite(value))
    raise TrainingFailed(
        f"the loss is no longer finite at step {at.step + 1}, epoch {at.epoch + 1} (terms: {broken or 'total'})",
        "a smaller --set optim.lr or --set optim.clip_norm=10 may help",
    )
