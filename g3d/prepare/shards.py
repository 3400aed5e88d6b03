"""Choose the part of a list that this process prepares, from `--shard i/n`, a SLURM array, torchrun or srun."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from g3d.errors import EnvironmentProblem, InputError
from g3d.launch import environment_number, slurm_task

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count` parts of a list. It has every count-th item, so all parts take similar time."""

    index: int = 0
    count: int = 1
    source: str = ""

    def of(self, items: Sequence[T]) -> list[T]:
        return list(items[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Return the part that an option such as `3/8` (the third of eight) names.

    Raises:
        InputError: the text is not of the form i/n with 1 <= i <= n.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise InputError(f"--shard {text}: expected i/n with 1 <= i <= n", "--shard 3/8 is the third of eight parts")
    return Shard(int(index) - 1, int(count), "--shard")


def shard_of_environment(environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the part that the launcher gave to this process; the whole list if no launcher started several processes.

    A SLURM job array takes precedence over torchrun's RANK and WORLD_SIZE, and these over the tasks of a SLURM step.

    Raises:
        EnvironmentProblem: a variable is not a number, or the variables contradict each other.
    """
    for name, first, count in (
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
        ("RANK", "", "WORLD_SIZE"),
    ):
        if name not in environment or count not in environment:
            continue
        step = max(1, environment_number(environment, "SLURM_ARRAY_TASK_STEP", 1)) if first else 1
        index = (environment_number(environment, name) - environment_number(environment, first)) // step
        total = environment_number(environment, count)
        if not 0 <= index < total:
            raise EnvironmentProblem(
                f"{name}={environment[name]} is not among {count}={total} parts",
                "give the array without gaps, as in --array=0-7, or say --shard i/n",
            )
        if total > 1:
            return Shard(index, total, name)
    task = slurm_task(environment)
    return Shard() if task is None else Shard(task.rank, task.count, "SLURM_PROCID")
