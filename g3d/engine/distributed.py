"""Distributed processes: torchrun and SLURM environments, devices, and the collective operations of the engine."""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from g3d.errors import EnvironmentProblem, G3DError, InputError
from g3d.launch import environment_number, slurm_task

log = logging.getLogger(__name__)
_PEER_ENDED = re.compile(r"closed by peer|reset by peer|Broken pipe|remote process exited|communicator was aborted")
_LAUNCHERS = (
    "torchrun and srun set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; without them unset RANK and WORLD_SIZE"
)


class OtherProcessFailed(G3DError):
    """This process stopped because another process ended: exit code 1. The other process reports the cause."""

    exit_code = 1


@dataclass(frozen=True)
class Processes:
    """Position of this process among all: `rank` (from 0) of `world` processes, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the first process, which writes files and reports."""
        return self.rank == 0


def choose_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """Return the device of a name.

    Args:
        name: auto, cpu, cuda or cuda:N; "auto" is CUDA if a device is available, otherwise the CPU.
        local_rank: index of the CUDA device if the name has none.

    Raises:
        EnvironmentProblem: the CUDA device is not available.
        InputError: the name is not one of these.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            f"--device {name}: torch {torch.__version__} finds no CUDA device",
            "g3d doctor shows why; --device cpu works",
        )
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EnvironmentProblem(f"--device {device}: there are {torch.cuda.device_count()} CUDA devices")
    return device


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the process group that the environment describes, yield this process's position, and leave the group.

    Without such variables, yield the only process.

    Args:
        device: see `choose_device`.

    Raises:
        EnvironmentProblem: a variable is not a number, the device is not available, or the other processes cannot be
            reached.
        InputError: the device name is not known.
        OtherProcessFailed: another process ended while this one waited for it.
    """
    slurm_to_torchrun(os.environ)
    world, rank, local_rank = (
        environment_number(os.environ, name, default, _LAUNCHERS)
        for name, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    chosen = choose_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Processes(0, 1, chosen)
        return
    # The functions of this module store the process group that exists at import time as a default argument. If the
    # module is imported after init_process_group (transformers does this), they keep gloo's threads alive after
    # destroy_process_group, and a thread that outlives the interpreter aborts the process.
    importlib.import_module("torch.distributed.nn")
    place = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
    log.info("process %d of %d: waiting for the others at %s", rank, world, place)
    try:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", rank=rank, world_size=world)
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EnvironmentProblem(f"process {rank} of {world} cannot join the others: {reason}", _LAUNCHERS) from None
    try:
        yield Processes(rank, world, chosen)
    except RuntimeError as error:  # gloo and nccl raise no more specific type
        if not _PEER_ENDED.search(str(error)):
            raise
        raise OtherProcessFailed(
            f"process {rank} of {world}: stopped because another process ended", "that one says why"
        ) from error
    finally:
        dist.destroy_process_group()


def slurm_to_torchrun(env: MutableMapping[str, str]) -> None:
    """Set the variables that torchrun would set, if `srun` has started several tasks (g3d.launch.slurm_task).

    If RANK is already set, nothing changes. Otherwise RANK, WORLD_SIZE and LOCAL_RANK are set, and MASTER_ADDR and
    MASTER_PORT keep values that they already have.
    """
    task = None if "RANK" in env else slurm_task(env)
    if task is None:
        return
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST") or "localhost"
    env["RANK"], env["WORLD_SIZE"], env["LOCAL_RANK"] = str(task.rank), str(task.count), str(task.local_rank)
    env.setdefault("MASTER_ADDR", first_host(nodes))
    env.setdefault("MASTER_PORT", str(20000 + environment_number(env, "SLURM_JOB_ID") % 20000))


def first_host(nodes: str) -> str:
    """Return the first name of a SLURM node list: `gpu[003-005,9],cpu1` -> `gpu003`.

    Raises:
        EnvironmentProblem: the list cannot be read.
    """
    match = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", nodes)
    if match is None:
        raise EnvironmentProblem(f"SLURM node list {nodes!r}: cannot be read", "set MASTER_ADDR to the first host")
    return match[1] + (match[2] or "") + (match[3] or "")


def any_process(flag: bool, group: Processes) -> bool:
    """Return whether the flag is set in any process. Every process must call this function."""
    if group.world == 1:
        return flag
    shared = torch.tensor(float(flag), device=group.device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared.item())


def mean_over(values: torch.Tensor, group: Processes) -> torch.Tensor:
    """Return the mean of a detached tensor over the processes."""
    if group.world > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= group.world
    return values


def gather_to_first(value: Any, group: Processes) -> list[Any] | None:
    """Return the values of all processes by rank in the first process; None in the others."""
    if group.world == 1:
        return [value]
    parts: list[Any] | None = [None] * group.world if group.first else None
    dist.gather_object(value, parts)
    return parts


def from_first(value: Any, group: Processes) -> Any:
    """Return the first process's value in every process."""
    if group.world == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]
