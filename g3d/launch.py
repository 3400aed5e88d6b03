"""Decide from a launcher's environment variables whether this process is one of several.

Training (torchrun variables) and preparation (shards) share this rule, so both agree on what `srun` has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from g3d.errors import EnvironmentProblem

_FIRST_SPECIAL_STEP = 4294967290
"""The lowest id of SLURM's special steps, 2^32 - 6: the interactive step of `salloc` (4294967290), the batch script
(4294967291), the external step (4294967292), a pending step (4294967293) and "no value" (4294967294). None of them has
more than one task."""


@dataclass(frozen=True)
class SlurmTask:
    """Position of this process in a SLURM job step: `rank` (from 0) of `count`, and `local_rank` on its node."""

    rank: int
    count: int
    local_rank: int


def slurm_task(environment: Mapping[str, str]) -> SlurmTask | None:
    """Return the position of this process in a SLURM step of several tasks; None if it is the only process.

    Only `srun` starts several processes, and it sets the task count of the step (SLURM_STEP_NUM_TASKS). SLURM_NTASKS
    is the size of the allocation; it is also set in `sbatch --ntasks=2` without `srun` and in the shell of `salloc`,
    which are one process each.

    Args:
        environment: the environment variables.

    Raises:
        EnvironmentProblem: a variable is not a number, or SLURM_PROCID is not below the task count.
    """
    if any(name not in environment for name in ("SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")):
        return None
    step, count, rank = (
        environment_number(environment, name) for name in ("SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    )
    if step >= _FIRST_SPECIAL_STEP or count < 2:
        return None
    if rank >= count:
        raise EnvironmentProblem(
            f"environment: SLURM_PROCID={rank} is not below SLURM_STEP_NUM_TASKS={count}",
            "start the processes with srun, or unset SLURM_PROCID to run one process",
        )
    return SlurmTask(rank, count, environment_number(environment, "SLURM_LOCALID", 0))


def environment_number(environment: Mapping[str, str], name: str, default: int = 0, hint: str | None = None) -> int:
    """Return an environment variable as a non-negative integer, or `default` if it is not set.

    Raises:
        EnvironmentProblem: the value is not a non-negative integer.
    """
    value = environment.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal()):
        raise EnvironmentProblem(f"environment: {name}={value!r}: expected a number", hint)
    return int(value)
