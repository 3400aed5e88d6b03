"""Time a forward pass and a training step of Group-Free 3D (L6 O256) beside the published layer graph.

    python tests/benchmarks/detectors.py [--threads 2] [--rounds 5] [--points 40000] [--batch 2] [--only forward]

The published graph (tests/support/plain_detectors.py) is run from the same weights as plain modules with our operators
for sampling and neighbours: float32, groups written out, batch norms and biases as passes of their own, AdamW one
parameter at a time. Ours runs in float32, and forward also in bfloat16 autocast. The variants take turns in every
round, so that whatever else the machine does meets all of them; ratios are medians over rounds. CPU seconds count all
threads. The bound is the sum over matrix products and attention of the longer of two times: their operations over the
speed of a large matrix product, and the bytes of their inputs and outputs over the speed of copying memory, both
measured in the same run; sampling, gathers and norms are not counted. The loss is the sum of the mean squares of all
outputs, for both, so that a step is forward, backward and update of the network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.plain_detectors import PlainGroupFree
from support.point_clouds import drawn

from g3d.nn.box_predictions import BoxPredictions
from g3d.nn.groupfree import GroupFree
from g3d.systems.groupfree.config import ModelConfig
from g3d.systems.groupfree.model import build

CONFIG = ModelConfig()
PARTS = [field.name for field in fields(BoxPredictions) if field.name != "mean_sizes"]


def networks(training: bool) -> tuple[GroupFree, PlainGroupFree]:
    """The same network twice: ours and the published graph."""
    torch.manual_seed(0)
    ours = build(CONFIG).train(training)
    plain = PlainGroupFree(ours, CONFIG.width, CONFIG.input_features, CONFIG.heads, CONFIG.feedforward, CONFIG.dropout)
    return ours, plain


def room(points: int, batch: int) -> Tensor:
    """(B, N, 3): the walls, the floor and the ceiling of a room of 8 x 6 x 3 m."""
    clouds = torch.stack([drawn("surfaces", points, seed) for seed in range(batch)])
    return clouds * torch.tensor([2.0, 2.0, 1.5]) - torch.tensor([4.0, 3.0, 0.0])


def total_of(network: torch.nn.Module, clouds: Tensor) -> Tensor:
    """Mean squares of all outputs of either network, summed."""
    found = network(clouds)
    if isinstance(network, GroupFree):
        parts = [getattr(head, name) for head in found.heads for name in PARTS] + [found.seed_scores]
    else:
        heads, scores = found[0], found[3]
        parts = [head[name] for head in heads for name in PARTS] + [scores]
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def step_of(network: torch.nn.Module, clouds: Tensor) -> Callable[[], object]:
    ours = isinstance(network, GroupFree)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-4, fused=ours, foreach=False)

    def step() -> None:
        total = total_of(network, clouds)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


def forward_of(network: torch.nn.Module, clouds: Tensor, bf16: bool = False) -> Callable[[], object]:
    def forward() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            network(clouds)

    return forward


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each variant in each round, after one round that does not count."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if turn:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


@dataclass(frozen=True)
class Machine:
    """Speeds of this machine: float32 operations per second of a matrix product, and bytes per second of a copy."""

    operations: float
    bytes: float


class Bound(TorchDispatchMode):
    """Counts operations, and the time that the machine needs at least, of what runs within it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine, self.operations, self.seconds = machine, 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None:
            with self:  # an operator such as linear consists of others
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **kwargs)
        if count is not None:
            operations = count(*args, **kwargs, out_val=found)
            moved = sum(t.nbytes for t in tree_leaves((args, kwargs, found)) if isinstance(t, Tensor))
            self.operations += operations
            self.seconds += max(operations / self.machine.operations, moved / self.machine.bytes)
        return found


def gemm_speed(size: int = 2048) -> float:
    """Operations per second of a large square matrix product in float32, best of five."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def copy_speed(size: int = 1 << 26) -> float:
    """Bytes per second, read and written, of copying 256 MB; best of five."""
    a, b = torch.zeros(size), torch.ones(size)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a.copy_(b)
        times.append(time.perf_counter() - start)
    return 8 * size / min(times)


def bound_of(run: Callable[[], object], machine: Machine) -> Bound:
    """Return the operations and the bound of one run."""
    with Bound(machine) as bound:
        run()
    return bound


def measure(runs: dict[str, Callable[[], object]], rounds: int, machine: Machine) -> dict[str, dict[str, float]]:
    """Return the figures of each variant; ratios are to "published" in the same round."""
    work = {name: bound_of(run, machine) for name, run in runs.items()}
    seconds = interleaved(runs, rounds)
    report = {}
    for name, times in seconds.items():
        pairs = list(zip(seconds["published"], times, strict=True))
        report[name] = {
            "seconds": statistics.median(wall for wall, _ in times),
            "best": min(wall for wall, _ in times),
            "cpu": min(cpu for _, cpu in times),
            "gflop": work[name].operations / 1e9,
            "bound": work[name].seconds,
            "times_bound": min(wall for wall, _ in times) / work[name].seconds,
            "times_faster": statistics.median(p[0] / t[0] for p, t in pairs),
            "times_faster_cpu": statistics.median(p[1] / t[1] for p, t in pairs),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--only", choices=["forward", "training step"], help="measure one of the two")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clouds, machine = room(options.points, options.batch), Machine(gemm_speed(), copy_speed())
    report: dict[str, dict[str, float]] = {}
    for what, training in (("forward", False), ("training step", True)):
        if options.only not in (None, what):
            continue
        ours, plain = networks(training)
        run, given = (step_of, clouds) if training else (forward_of, clouds[:1])
        runs = {"published": run(plain, given), "fp32": run(ours, given)}
        if not training:
            runs["bf16"] = forward_of(ours, given, True)
        found = measure(runs, options.rounds, machine)
        report |= {f"{what}, {name}": row for name, row in found.items()}
    if options.json:
        print(json.dumps(report | {"machine": vars(machine)}, indent=1))
        return
    print(f"{options.points} points, {options.threads} threads; training at batch {options.batch}, forward at batch 1")
    print(f"matrix products {machine.operations / 1e9:.0f} GFLOP/s float32, copies {machine.bytes / 1e9:.1f} GB/s")
    names = ("median s", "best s", "CPU s", "GFLOP", "bound s", "best/bound", "times faster", "by CPU s")
    print(f"{'':<26}" + "".join(f"{name:>14}" for name in names))
    for name, row in report.items():
        print(f"{name:<26}" + "".join(f"{value:>14.3f}" for value in row.values()))


if __name__ == "__main__":
    main()
