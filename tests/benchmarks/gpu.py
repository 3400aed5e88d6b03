"""The operators and the systems on one GPU, beside their references and physical bounds, as one JSON file.

    python tests/benchmarks/gpu.py --out FILE [--seconds 240] [--device cuda] [--quick]

Operators: the cases of op_cases/ whose first operator has a Triton kernel, at the published sizes. `ms` is the time
of a call with the kernels, `reference_ms` of the same call with G3D_KERNELS=reference, and `bound_ms` the larger of the
compulsory bytes at this GPU's copy rate and the arithmetic at its float32 matrix-product rate. Systems: one training
step and one forward pass of each preset (gpu_systems.py) in float32, TF32 and bfloat16; their bound is the arithmetic
of matrix products and convolutions at the matrix-product rate of the same precision. Rates are measured in the same
run. Times are medians of CUDA events after a warm-up.

The file is written anew after every row. Rows that time did not allow are listed under `not_run`, and rows that raised
an error under `failed`; either makes the exit code 1. `--device cpu --quick` runs the same code with tiny sizes on a
machine without a GPU: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # before the imports from tests/
# ruff: noqa: E402
from benchmarks.gpu_systems import PRECISIONS, SYSTEMS, Timings, tf32, work_of
from benchmarks.op_case import Case, Setting
from gpu_kit.environment import describe_machine
from torch.utils._python_dispatch import TorchDispatchMode

from g3d.ops.registry import OPERATORS, load_all

QUICK_SHRINK = 64


@dataclass(frozen=True)
class Clock:
    """Time a call on a device.

    Args:
        device: "cuda" or "cpu".
        seconds: the rounds of one measurement end after this.
        rounds: most rounds of one measurement.
    """

    device: str
    seconds: float
    rounds: int

    def median_ms(self, work: Callable[[], Any]) -> float:
        """Return the median time of a call in ms, after two calls that are not counted.

        Short calls are timed many in a row, so that the time between two launches does not count where the device is
        busy.
        """
        work()
        calls = max(1, min(100, int(2 / max(self._once(work, 1), 1e-3))))
        began, times = time.perf_counter(), [self._once(work, calls)]
        while len(times) < self.rounds and time.perf_counter() - began < self.seconds:
            times.append(self._once(work, calls))
        return statistics.median(times)

    def _once(self, work: Callable[[], Any], calls: int) -> float:
        """Return the mean time of `calls` calls in ms."""
        if self.device != "cuda":
            began = time.perf_counter()
            for _ in range(calls):
                work()
            return 1000 * (time.perf_counter() - began) / calls
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls


class Results:
    """The rows so far, on disk after each of them."""

    def __init__(self, path: Path, deadline: float, device: str, quick: bool) -> None:
        self.path, self.deadline = path, deadline
        self.content: dict[str, Any] = {
            "device": device,
            "quick": quick,
            "machine": describe_machine(),
            "limits": {},
            **{name: [] for name in ("operators", "without_kernel", "systems", "failed", "not_run")},
        }

    def add(self, section: str, row: Any) -> None:
        self.content[section].append(row)
        self.write()

    def write(self) -> None:
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.path)

    def over(self) -> bool:
        """Return whether no more rows may start."""
        return time.monotonic() > self.deadline

    def attempt(self, section: str, name: str, make: Callable[[], dict[str, Any] | None]) -> None:
        """Add the row that `make` measures, unless time is over; a row that fails is listed and the others go on."""
        if self.over():
            self.add("not_run", name)
            return
        try:
            row = make()
        except Exception as error:  # of any kind: one broken kernel must not hide the other rows
            reason = str(error).strip().partition("\n")[0]
            self.add("failed", {"name": name, "error": f"{type(error).__name__}: {reason}"})
            print(f"{name}: FAILED, {type(error).__name__}: {reason}", flush=True)
            return
        if row is None:
            self.add("without_kernel", name)
            return
        self.add(section, row)
        print(f"{name}: {row['ms']:.3f} ms, bound {row['bound_ms']:.3f}", flush=True)


class Seen(TorchDispatchMode):
    """Record which of g3d's operators run. Stop at the first one if it has no Triton kernel."""

    class NoKernel(Exception):
        """The case's operator runs on CUDA as PyTorch's own kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "g3d":
            name = func.overloadpacket.__name__
            if not self.names and OPERATORS[name].cuda is None:
                raise self.NoKernel
            if name not in self.names:
                self.names.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Set G3D_KERNELS within the block."""
    before = os.environ.get("G3D_KERNELS")
    os.environ["G3D_KERNELS"] = choice
    try:
        yield
    finally:
        del os.environ["G3D_KERNELS"]
        if before is not None:
            os.environ["G3D_KERNELS"] = before


def limits(clock: Clock, quick: bool) -> dict[str, float]:
    """Return this device's rates: bytes read and written by a copy, and operations of a matrix product, per second."""
    numbers, size = (2**20, 128) if quick else (2**28, 8192)
    source = torch.rand(numbers, device=clock.device)
    target = torch.empty_like(source)
    found = {"bytes_per_second": 8 * numbers / clock.median_ms(lambda: target.copy_(source)) * 1000}
    a, b = (torch.randn(size, size, device=clock.device) for _ in range(2))
    for precision, dtype in PRECISIONS.items():
        x, y = a.to(dtype), b.to(dtype)
        with tf32(precision == "tf32"):
            milliseconds = clock.median_ms(lambda x=x, y=y: x @ y)  # type: ignore[misc]
        found[f"{precision}_operations_per_second"] = 2 * size**3 / milliseconds * 1000
    return found


def operator_row(case: Case, clock: Clock, rates: dict[str, float]) -> dict[str, Any] | None:
    """Return the measured row of a case; None if its operator has no Triton kernel."""
    with kernels("require"), Seen() as seen:
        try:
            case.ours()
        except Seen.NoKernel:
            return None
    if not seen.names:
        return None
    with kernels("require"), tf32(False):
        ours = clock.median_ms(case.ours)
    with kernels("reference"), tf32(False):
        reference = clock.median_ms(case.ours)
    seconds = (case.bytes / rates["bytes_per_second"], case.flops / rates["fp32_operations_per_second"])
    return {
        "name": case.name,
        "operators": seen.names,
        "ms": ours,
        "reference_ms": reference,
        "times_faster": reference / ours,
        "bound_ms": 1000 * max(seconds),
        "bound_by": "memory" if seconds[0] >= seconds[1] else "arithmetic",
    }


def measure_operators(results: Results, clock: Clock, quick: bool) -> None:
    """Measure the cases of every module whose `cases` takes a setting."""
    at = Setting(clock.device, QUICK_SHRINK if quick else 1, peers=False)
    for file in sorted((HERE / "op_cases").glob("*.py")):
        module = importlib.import_module(f"benchmarks.op_cases.{file.stem}")
        if not inspect.signature(module.cases).parameters:
            continue  # its operators run on the CPU
        if results.over():
            results.add("not_run", f"cases of {file.stem}")
            continue
        with kernels("auto"):
            cases = module.cases(at)
        for case in cases:
            results.attempt(
                "operators",
                case.name,
                lambda case=case: operator_row(case, clock, results.content["limits"]),  # type: ignore[misc]
            )


def measure_systems(results: Results, clock: Clock, quick: bool) -> None:
    """Measure a training step and a forward pass of every system in every precision."""
    timings = Timings(clock.device, clock.median_ms)
    for system in SYSTEMS:
        for precision in PRECISIONS:
            for what in ("training step", "forward"):

                def make(system: str = system, what: str = what, precision: str = precision) -> dict[str, Any]:
                    rate = results.content["limits"][f"{precision}_operations_per_second"]
                    return timings.row(work_of(system, what, precision, clock.device, quick), rate)

                results.attempt("systems", f"{system} {what} {precision}", make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few rounds: a test of this program")
    parser.add_argument("--seconds", type=float, default=240, help="no row starts after this")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(f"error: PyTorch {torch.__version__} finds no CUDA device", file=sys.stderr)
        raise SystemExit(4)
    began = time.monotonic()
    results = Results(options.out, began + options.seconds, options.device, options.quick)
    clock = Clock(options.device, 0.01, 1) if options.quick else Clock(options.device, 1.0, 15)
    results.content["limits"] = limits(clock, options.quick)
    results.write()
    for name, rate in results.content["limits"].items():
        print(f"{name}: {rate:.3g}", flush=True)
    measure_operators(results, clock, options.quick)
    measure_systems(results, clock, options.quick)
    measured = {name for row in results.content["operators"] for name in row["operators"]}
    results.content["unmeasured_kernels"] = sorted(
        name for name, operator in load_all().items() if operator.cuda and name not in measured
    )
    results.content["seconds"] = round(time.monotonic() - began, 1)
    results.write()
    print(f"kernels without a row: {', '.join(results.content['unmeasured_kernels']) or 'none'}")
    raise SystemExit(1 if results.content["failed"] or results.content["not_run"] else 0)


if __name__ == "__main__":
    main()
