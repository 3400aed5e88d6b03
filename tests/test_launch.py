"""One rule decides whether a process under SLURM is one of many; training and preparation share it."""

from __future__ import annotations

import pytest

from g3d.engine.distributed import slurm_to_torchrun
from g3d.errors import EnvironmentProblem
from g3d.launch import SlurmTask, slurm_task
from g3d.prepare.shards import shard_of_environment

SRUN = {
    "SLURM_NTASKS": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_NODELIST": "n1",
}


def test_srun_with_several_tasks_starts_one_of_many() -> None:
    assert slurm_task(SRUN) == SlurmTask(3, 4, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"},  # sbatch --ntasks=2 without srun: no step
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "7"},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        *(
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": tasks, "SLURM_STEP_ID": step}
            for step in ("4294967290", "4294967291", "4294967294")  # salloc's shell, the batch script, no step
            for tasks in ("1", "2")
        ),
    ],
)
def test_everything_else_is_one_process(environment: dict[str, str]) -> None:
    assert slurm_task(environment) is None
    shard = shard_of_environment(environment)
    assert (shard.index, shard.count) == (0, 1)
    changed = dict(environment)
    slurm_to_torchrun(changed)
    assert changed == environment


def test_training_and_preparation_agree() -> None:
    shard, environment = shard_of_environment(SRUN), dict(SRUN)
    slurm_to_torchrun(environment)
    assert (shard.index, shard.count, shard.source) == (3, 4, "SLURM_PROCID")
    assert (environment["RANK"], environment["WORLD_SIZE"]) == ("3", "4")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SLURM_PROCID", "4", "SLURM_PROCID=4 is not below SLURM_STEP_NUM_TASKS=4"),
        ("SLURM_PROCID", "first", "SLURM_PROCID='first': expected a number"),
        ("SLURM_STEP_NUM_TASKS", "-2", "SLURM_STEP_NUM_TASKS='-2': expected a number"),
        ("SLURM_LOCALID", "", "SLURM_LOCALID='': expected a number"),
    ],
)
def test_variables_that_make_no_sense_are_refused(name: str, value: str, says: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        slurm_task({**SRUN, name: value})
    assert says in caught.value.message
