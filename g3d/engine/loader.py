"""Load the batches of a split.

The samples of a batch, and the process that loads them, depend only on seed, epoch and step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from g3d.engine.distributed import Processes
from g3d.errors import G3DError, InputError
from g3d.systems.base import Samples, grouped

Key = tuple[int, int, tuple[int, ...]]
"""Key of a unit: the epoch, the number of the unit (which seeds its random draws), and the numbers of its samples. All
samples of a unit belong to one group."""


class _Units(Dataset):
    """Map-style data set that reads the samples of a unit by its key.

    The random draws of a unit depend only on seed, epoch and unit number, so they are the same with any number of
    workers and after resumption.
    """

    def __init__(self, samples: Samples, seed: int | None) -> None:
        self.samples = samples
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> Any:
        """Return the samples of a unit, or the G3DError that reading them raised.

        The error is returned because DataLoader would wrap an error raised in a worker in tracebacks.
        """
        epoch, unit, indices = key
        rng = None if self.seed is None else np.random.default_rng([self.seed, epoch, unit])
        if rng is not None and self.samples.drawn is not None:
            indices = tuple(int(index) for index in rng.permutation(indices)[: self.samples.drawn])
        try:
            return self.samples.read(indices, rng)
        except G3DError as error:
            return error


class _Collate:
    """Collate function that returns the first error among the groups, if there is one, in place of the batch."""

    def __init__(self, collate: Callable) -> None:
        self.collate = collate

    def __call__(self, groups: list[Any]) -> Any:
        return next((group for group in groups if isinstance(group, G3DError)), None) or self.collate(groups)


def _raised(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches; raise an item that is an error."""
    for batch in batches:
        if isinstance(batch, G3DError):
            raise batch
        yield batch


class _Batches:
    """Batch sampler that yields the keys of this process's batches."""

    def __init__(self, batches: list[list[Key]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)


class TrainingLoader:
    """Loader of shuffled epochs of global batches. The last incomplete batch of an epoch is dropped.

    A unit is one sample, or a whole group if `samples.drawn` is set. If `samples.all_drawn` is set as well, an epoch
    deals the samples of each group into as many units of `samples.drawn` as they fill, the last of which may be
    smaller. A global batch of `batch` units is split into
    `accumulate` micro-batches, and each micro-batch into equal, consecutive parts by rank.

    Attributes:
        units: the sample numbers of each unit, before they are dealt.
        count: number of units in an epoch.
        steps: number of optimiser steps in an epoch.
        micro_batch: number of units in a micro-batch of one process.

    Raises:
        InputError: the batch cannot be divided evenly, or is larger than the split.
    """

    def __init__(
        self,
        samples: Samples,
        collate: Callable,
        batch: int,
        accumulate: int,
        workers: int,
        seed: int,
        group: Processes,
    ) -> None:
        indices = range(len(samples))
        self.units = [[index] for index in indices] if samples.drawn is None else grouped(samples, indices)
        parts = accumulate * group.world
        if batch % parts:
            raise InputError(
                f"train.batch={batch}: cannot be divided among {group.world} processes x {accumulate} accumulation "
                f"steps",
                f"try --set train.batch={max(1, round(batch / parts)) * parts}",
            )
        self.dealt = samples.drawn if getattr(samples, "all_drawn", False) else None
        self.count = len(self.units) if self.dealt is None else sum(-(-len(unit) // self.dealt) for unit in self.units)
        what = "samples" if samples.drawn is None else "groups" if self.dealt is None else f"groups of {self.dealt}"
        if self.count < batch:
            raise InputError(
                f"train.batch={batch}: the split has only {self.count} {what}",
                f"try --set train.batch={max(1, self.count // parts) * parts}",
            )
        self.samples, self.collate, self.workers, self.seed, self.group = samples, collate, workers, seed, group
        self.batch, self.accumulate = batch, accumulate
        self.steps = self.count // batch
        self.micro_batch = batch // parts

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[list[Any]]:
        """Yield this process's micro-batches of each step of an epoch, starting at `first_step`."""
        random = np.random.default_rng([self.seed, epoch])
        dealt = self._dealt(random)
        order = random.permutation(len(dealt))
        keys: list[list[Key]] = []
        for step in range(first_step, self.steps):
            for part in range(self.accumulate):
                start = step * self.batch + (part * self.group.world + self.group.rank) * self.micro_batch
                units = order[start : start + self.micro_batch]
                keys.append([(epoch, int(unit), tuple(dealt[unit])) for unit in units])
        loader = _raised(_loader(_Units(self.samples, self.seed), keys, self.collate, self.workers, self.group.device))
        for _ in range(first_step, self.steps):
            yield [next(loader) for _ in range(self.accumulate)]

    def _dealt(self, random: np.random.Generator) -> list[list[int]]:
        """Return the sample numbers of the units of one epoch."""
        size = self.dealt
        if size is None:
            return self.units
        shuffled = [random.permutation(unit).tolist() for unit in self.units]
        return [unit[start : start + size] for unit in shuffled for start in range(0, len(unit), size)]


def evaluation_batches(
    samples: Samples, collate: Callable, batch: int, workers: int, group: Processes
) -> Iterator[tuple[list[int], Any]]:
    """Yield every sample of this process once, without augmentation. Whole groups go to the processes in turn.

    Args:
        samples: the split.
        collate: turns a list of groups into a batch.
        batch: number of groups in a batch.
        workers: number of loading processes.
        group: this process among all.

    Yields:
        The numbers of the samples in a batch, and the batch.
    """
    groups = grouped(samples, range(len(samples)))
    mine = [(0, unit, tuple(groups[unit])) for unit in range(group.rank, len(groups), group.world)]
    keys = [mine[start : start + batch] for start in range(0, len(mine), batch)]
    batches = _raised(_loader(_Units(samples, None), keys, collate, workers, group.device))
    for units, made in zip(keys, batches, strict=True):
        yield [index for _, _, indices in units for index in indices], made


def _loader(
    dataset: Dataset, keys: list[list[Key]], collate: Callable, workers: int, device: torch.device
) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=_Batches(keys),
        collate_fn=_Collate(collate),
        num_workers=min(workers, len(keys), _processors()),
        worker_init_fn=_quiet_worker,
        generator=torch.Generator(),  # the global random state must not depend on how often loading starts
        pin_memory=device.type == "cuda",
        prefetch_factor=2 if workers and keys else None,
    )


def _processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quiet_worker(_: int) -> None:
    """Set up a loading worker: ignore SIGINT, survive the first SIGTERM, and use one thread.

    Ctrl-C, and SIGTERM from a scheduler, reach the whole process group. The training process handles them and ends its
    workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _survive_once)
    torch.set_num_threads(1)


def _survive_once(number: int, frame: Any) -> None:
    """Ignore the first SIGTERM and restore the default action for the second.

    After the first SIGTERM the training process still waits for this worker's batch. It sends the second SIGTERM itself
    when it ends its workers.
    """
    signal.signal(number, signal.SIG_DFL)
