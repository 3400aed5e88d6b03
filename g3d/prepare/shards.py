"""Which part of a long list this process takes: `--shard i/n`, a SLURM array, or the processes of torchrun and srun."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from g3d.errors import EnvironmentProblem, InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count`: every count-th item of a list, so that the parts take about as long."""

    index: int = 0
    count: int = 1
    source: str = ""

    def of(self, items: Sequence[T]) -> list[T]:
        return list(items[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"


def parse_shard(text: str) -> Shard:
    """`3/8` is the third of eight.

    Raises:
        InputError: it is nothing of the kind.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise InputError(f"--shard {text}: expected i/n with 1 <= i <= n", "--shard 3/8 is the third of eight parts")
    return Shard(int(index) - 1, int(count), "--shard")


def shard_of_environment(environment: Mapping[str, str] = os.environ) -> Shard:
    """What SLURM (job arrays first, then tasks) or torchrun gave this process to do; everything where neither started
    it.

    Raises:
        EnvironmentProblem: the variables contradict each other.
    """
    for name, first, count in (
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
        ("RANK", "", "WORLD_SIZE"),
        ("SLURM_PROCID", "", "SLURM_NTASKS"),
    ):
        if name not in environment or count not in environment:
            continue
        try:
            step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1")) if first else 1
            index, total = (int(environment[name]) - int(environment.get(first, "0"))) // step, int(environment[count])
        except ValueError:
            raise EnvironmentProblem(
                f"{name}={environment[name]}, {count}={environment[count]}: expected numbers"
            ) from None
        if not 0 <= index < total:
            raise EnvironmentProblem(
                f"{name}={environment[name]} is not among {count}={total} parts",
                "give the array without gaps, as in --array=0-7, or say --shard i/n",
            )
        if total > 1:
            return Shard(index, total, name)
    return Shard()
