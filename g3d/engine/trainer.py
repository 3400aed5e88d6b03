"""The Trainer: network, optimiser, data and position of a training, which can be driven from Python.

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
from g3d.engine.schedule import build_optimizer, learning_rate, set_learning_rate
from g3d.errors import G3DError, InputError
from g3d.nn.parallel import convert_sync_batchnorm
from g3d.position import Position
from g3d.systems.base import get_system

log = logging.getLogger(__name__)


class TrainingFailed(G3DError):
    """The training itself went wrong: exit code 1."""

    exit_code = 1


@dataclass(frozen=True)
class Step:
    """One optimiser step that was made.

    Attributes:
        at: the position before it.
        rate: the learning rate.
        losses: this process's loss terms by name, detached, on the device.
    """

    at: Position
    rate: float
    losses: Mapping[str, Tensor]


class Trainer:
    """A system being trained. Iterating over it makes one optimiser step after another, to the end of the run.

    Args:
        config: the resolved preset; `config` of the trainer also has the sizes that depend on the data.
        root: the data set's folder.
        group: this process among all; by default the only one, on CUDA where there is a device.
        fresh: load the weights that the config names for training to start from; False if `restore` follows.

    Attributes:
        epoch, step_in_epoch, steps: the position: epochs done, steps done in the present one, and in all.
        best: the best score of the evaluations so far, None without any.
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
        session.seed_everything(settings.seed, self.group.rank)  # draws of its own from here on, for example dropout
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
        """Return the network as it is called: compiled and shared between processes where asked."""
        if self.config.train.compile:
            self.model.compile()
        if self.group.world == 1:
            return self.model
        # PyTorch says this of 1 x 1 convolutions in channels-last, whose strides mean the same either way.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        devices = [self.group.device] if self.group.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids=devices)

    @property
    def position(self) -> Position:
        """The position before the next step."""
        return Position(self.epoch, self.steps, self.loader.steps, self.config.train.epochs)

    def __iter__(self) -> Iterator[Step]:
        """Make the rest of the run's steps, from the present position; each is yielded after it was made."""
        while self.epoch < self.config.train.epochs:
            for micro_batches in self.loader.epoch(self.epoch, self.step_in_epoch):
                yield self.step(micro_batches)

    def step(self, micro_batches: list[Any]) -> Step:
        """Make one optimiser step over one global batch, and move the position.

        Raises:
            TrainingFailed: a loss term is not finite; the weights are those before the step.
        """
        at, rate = self.position, learning_rate(self.config.optim, self.position)
        self.network.train()
        set_learning_rate(self.optimizer, rate)
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
        _require_finite(terms, at)  # before the weights take up what is not finite
        if self.config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self.optimizer.step()
        self.steps += 1
        self.step_in_epoch += 1
        if self.step_in_epoch == self.loader.steps:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        return Step(at, rate, terms)

    def note_evaluation(self, score: float | None) -> bool:
        """Note that the present weights were evaluated; return whether their score is the best so far."""
        self.evaluated = self.steps
        if score is None or not score > (-math.inf if self.best is None else self.best):  # NaN is no best score
            return False
        self.best = score
        return True

    def state(self, root: Path) -> dict[str, Any]:
        """Return everything besides the weights that going on needs.

        Every process must call it; the state is complete in the first.
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
        """Continue where a checkpoint was written. One of an older g3d has no score of earlier evaluations.

        Raises:
            InputError: it holds no state of training, has other weights, or is from within an epoch of other batches.
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
            group.update(own)  # those of the config, which --set may have changed, not those in the file
        self.epoch, self.step_in_epoch, self.steps = (
            saved.training[key] for key in ("epoch", "step_in_epoch", "steps")
        )
        self.best, self.evaluated = saved.training.get("best"), saved.training.get("evaluated", 0)
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


def _require_finite(terms: Mapping[str, Tensor], at: Position) -> None:
    """Raise TrainingFailed if the total is not finite; one transfer from the device."""
    values = dict(zip(terms, torch.stack([value.float() for value in terms.values()]).tolist(), strict=True))
    if math.isfinite(values["total"]):
        return
    broken = ", ".join(name for name, value in values.items() if name != "total" and not math.isfinite(value))
    raise TrainingFailed(
        f"the loss is no longer finite at step {at.step + 1}, epoch {at.epoch + 1} (terms: {broken or 'total'})",
        "a smaller --set optim.lr or --set optim.clip_norm=10 may help",
    )
