"""Several processes do what one does."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.drawn import micro

from g3d.engine.distributed import Processes, first_host, processes, slurm_to_torchrun
from g3d.engine.loader import TrainingLoader
from g3d.errors import EnvironmentProblem, InputError
from g3d.prepare.kitti import prepare_kitti

# As in the published schedule, the first steps are small: Adam turns a rounding error in a tiny gradient into a step of
# the full rate.
SETTINGS = micro("train.batch=4", "train.epochs=2", "optim.lr=1e-5")


def launch(count: int, *args: str) -> subprocess.CompletedProcess[str]:
    launcher = [] if count == 1 else ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *launcher, "g3d", *args],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def run(count: int, *args: str) -> str:
    done = launch(count, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_reach_the_losses_of_one(drawn_kitti: Path, tmp_path: Path) -> None:
    prepare_kitti(drawn_kitti)
    for world in (1, 2):
        out = str(tmp_path / str(world))
        run(world, "train", "--preset", "monodle-ddml-tiny", "--data", str(drawn_kitti), "--out", out, *SETTINGS)
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert len(one) == len(two) == 4
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        assert b["total"] == pytest.approx(a["total"], rel=1e-4), step

    tables = [
        json.loads(run(world, "eval", "--ckpt", str(tmp_path / "1"), "--json", "--set", "decode.threshold=0.0"))
        for world in (1, 2, 3)
    ]
    assert tables[0]["metrics"] == tables[1]["metrics"] == tables[2]["metrics"]
    predictions = (tmp_path / "1" / "predictions" / "val.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample"] for line in predictions] == [
        "000008",
        "000009",
        "000010",
        "000011",
    ]  # each once, in order


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[003-005,9],cpu1", "gpu003"),
        ("node7", "node7"),
        ("a-[1,3]-ib", "a-1-ib"),
        ("x1,x2", "x1"),
        ("rack[01]", "rack01"),
    ],
)
def test_first_host_of_a_slurm_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_ID": "123",
    "SLURM_JOB_NODELIST": "n[2-3]",
}


def test_slurm_variables_become_torchrun_s() -> None:
    env = dict(SRUN)
    slurm_to_torchrun(env)
    assert (env["RANK"], env["WORLD_SIZE"], env["LOCAL_RANK"], env["MASTER_ADDR"], env["MASTER_PORT"]) == (
        "5",
        "8",
        "1",
        "n2",
        "20123",
    )


def test_torchrun_s_own_variables_are_kept() -> None:
    env = {**SRUN, "RANK": "1", "WORLD_SIZE": "2"}
    slurm_to_torchrun(env)
    assert (env["RANK"], env["WORLD_SIZE"]) == ("1", "2")
    assert "MASTER_ADDR" not in env


def test_the_step_s_own_nodes_and_size_count_not_the_allocation_s() -> None:
    env = {**SRUN, "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "n3"}
    slurm_to_torchrun(env)
    assert (env["RANK"], env["WORLD_SIZE"], env["MASTER_ADDR"]) == ("1", "2", "n3")


def test_the_shell_of_salloc_starts_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a process must not wait for a second one, which nobody starts."""
    salloc = {
        "SLURM_STEP_ID": "4294967290",
        "SLURM_STEP_NUM_TASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
    }
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in salloc.items():
        monkeypatch.setenv(name, value)
    with processes("cpu") as group:
        assert (group.rank, group.world) == (0, 1)


class _Numbers:
    """Twelve samples that are their own index, each a group of its own."""

    ids = tuple(map(str, range(12)))
    drawn = None

    def __len__(self) -> int:
        return 12

    def group(self, index: int) -> str:
        return self.ids[index]

    def read(self, indices: Sequence[int], rng: object) -> list[int]:
        return list(indices)


def _flat(groups: list[list[int]]) -> list[int]:
    """The batch of some groups."""
    return [number for group in groups for number in group]


def test_ranks_and_accumulation_share_one_global_batch() -> None:
    import torch

    def batches(rank: int, world: int, accumulate: int) -> list[list[list[int]]]:
        loader = TrainingLoader(_Numbers(), _flat, 4, accumulate, 0, 7, Processes(rank, world, torch.device("cpu")))
        return list(loader.epoch(3))

    def flat(step: list[list[int]]) -> list[int]:
        return [number for part in step for number in part]

    whole = [flat(step) for step in batches(0, 1, 1)]
    assert [flat(a) + flat(b) for a, b in zip(batches(0, 2, 1), batches(1, 2, 1), strict=True)] == whole
    assert [flat(step) for step in batches(0, 1, 2)] == whole
    assert whole != [
        flat(step)
        for step in TrainingLoader(_Numbers(), _flat, 4, 1, 0, 8, Processes(0, 1, torch.device("cpu"))).epoch(3)
    ]


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    import torch

    with pytest.raises(InputError, match=r"train.batch=4: cannot be divided among 3 processes"):
        TrainingLoader(_Numbers(), _flat, 4, 1, 0, 0, Processes(0, 3, torch.device("cpu")))


@pytest.mark.slow
def test_an_error_in_one_process_is_said_once(drawn_kitti: Path, tmp_path: Path) -> None:
    """The process that meets it says it; the others end without a traceback."""
    prepare_kitti(drawn_kitti, out=tmp_path / "prepared")
    broken = tmp_path / "kitti"
    shutil.copytree(drawn_kitti, broken)
    (broken / "training" / "image_2" / "000003.png").unlink()
    prepared = (tmp_path / "prepared", broken / "g3d")
    shutil.copytree(*prepared, dirs_exist_ok=True)
    args = ("train", "--preset", "monodle-ddml-tiny", "--data", str(broken), "--out", str(tmp_path / "run"), *SETTINGS)
    done = launch(2, *args)
    assert done.returncode != 0
    own = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "[rank"))]
    assert sum("000003.png: no such file" in line for line in own) == 1, done.stderr
    assert not [line for line in own if "Traceback" in line]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to list threads")
def test_no_thread_of_the_group_outlives_it() -> None:
    """One that does may end the interpreter with `terminate called without an active exception`, at random."""
    script = """
from pathlib import Path
from g3d.engine.distributed import from_first, processes
with processes("cpu") as group:
    from_first(1, group)
    import torch.distributed.nn.functional
print([name for task in Path("/proc/self/task").iterdir() if "gloo" in (name := (task / "comm").read_text())])
"""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    both = [
        subprocess.Popen([sys.executable, "-c", script], env={**env, "RANK": rank}, stdout=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == ["[]", "[]"]


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "many"), ("RANK", "-1")])
def test_an_environment_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentProblem, match=f"{name}='{value}': expected a number"), processes("cpu"):
        pass


def test_processes_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(EnvironmentProblem, match="process 1 of 2 cannot join the others"), processes("cpu"):
        pass
