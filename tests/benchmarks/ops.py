"""The operators beside their peers and their physical bounds, on a CPU: medians, on one thread and on two.

    pip install -e '.[bench]'                                       # the peers; what is not installed is named and left
    out python tests/benchmarks/ops.py [--only NAME] [--threads 1 2] [--output results.json]

Ours and the peers take turns on the same input. The bound is the larger of the arithmetic at this machine's matrix
multiplication rate and the compulsory bytes at its copy rate, both measured in the same process. Targets hold for one
thread of the reference machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
SECONDS = 8.0  # a case's rounds end after this
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        for record in measure_all(asked.only, asked.threads[0]):
            print(json.dumps(record), flush=True)
        return
    found = [record for threads in asked.threads for record in in_own_process(asked.only, threads)]
    print_scaling(found)
    if asked.output:
        machine = {"processor": processor(), "python": platform.python_version(), "when": time.strftime("%Y-%m-%d")}
        asked.output.write_text(json.dumps({"machine": machine, "records": found}, indent=1) + "\n")


def in_own_process(only: str, threads: int) -> Iterator[dict[str, Any]]:
    """Thread pools take their size when a process starts."""
    number = {
        name: str(threads)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    command = [sys.executable, __file__, "--worker", "--threads", str(threads), "--only", only]
    with subprocess.Popen(command, env={**os.environ, **number}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            record = json.loads(line)
            print_record(record)
            yield record
    if process.returncode:
        raise SystemExit(f"error: the benchmark on {threads} threads ended with exit code {process.returncode}")


def measure_all(only: str, threads: int) -> Iterator[dict[str, Any]]:
    """One record with the machine's own limits, then one for each case."""
    import torch

    torch.set_num_threads(threads)
    limits = machine_limits()
    yield {"name": "limits", "threads": threads, **limits}
    for file in sorted((HERE / "op_cases").glob("*.py")):
        for case in importlib.import_module(f"benchmarks.op_cases.{file.stem}").cases():
            if only in case.name:
                works = {"ours": case.ours, **case.peers}
                bound = 1000 * max(case.flops / limits["flops_per_second"], case.bytes / limits["bytes_per_second"])
                yield {
                    "name": case.name,
                    "threads": threads,
                    "target_ms": case.target_ms,
                    "bound_ms": bound,
                    "ms": take_turns(works),
                    "missing": case.missing,
                    "scaling": scaling(case.ours, threads) if threads > 1 else None,
                }


def scaling(work: Callable[[], Any], threads: int) -> float:
    """Return how many times faster the work is on several threads than on one.

    The two take turns, because the speed of shared processors drifts from one minute to the next.
    """
    import torch

    def one() -> None:
        torch.set_num_threads(1)
        work()

    def all_() -> None:
        torch.set_num_threads(threads)
        work()

    found = take_turns({"ours": one, "all": all_})
    torch.set_num_threads(threads)
    return found["ours"]["wall"] / found["all"]["wall"]


def machine_limits() -> dict[str, float]:
    """Best of some: fp32 matrix multiplication, and copying 256 MiB (bytes read and written)."""
    import torch

    a, b, out = (torch.rand(1024, 1024) for _ in range(3))
    source, copy = torch.rand(2**26), torch.empty(2**26)
    multiply = min(seconds(lambda: torch.mm(a, b, out=out))[0] for _ in range(20))
    move = min(seconds(lambda: copy.copy_(source))[0] for _ in range(8))
    return {"flops_per_second": 2 * 1024**3 / multiply, "bytes_per_second": 2 * 4 * 2**26 / move}


def take_turns(works: dict[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
    """Medians of wall and processor time in ms, after two calls each that are not counted."""
    for work in [*works.values(), *works.values()]:
        work()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    began = time.perf_counter()
    while not times["ours"] or (len(times["ours"]) < ROUNDS and time.perf_counter() - began < SECONDS):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {
        name: {
            "wall": 1000 * statistics.median(w for w, _ in taken),
            "cpu": 1000 * statistics.median(c for _, c in taken),
        }
        for name, taken in times.items()
    }


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def print_record(record: dict[str, Any]) -> None:
    threads = f"{record['threads']} thread" + "s" * (record["threads"] > 1)
    if record["name"] == "limits":
        print(
            f"\n{threads}: {record['flops_per_second'] / 1e9:.0f} GFLOP/s, {record['bytes_per_second'] / 1e9:.1f} GB/s",
            flush=True,
        )
        return
    ours = record["ms"]["ours"]
    target = f", target {record['target_ms']:g}" if record["target_ms"] else ""
    print(
        f"{record['name']}, {threads}: {ours['wall']:.2f} ms (cpu {ours['cpu']:.2f}{target}, bound "
        f"{record['bound_ms']:.2f})",
        flush=True,
    )
    for name, taken in record["ms"].items():
        if name != "ours":
            print(
                f"    {taken['wall'] / ours['wall']:6.2f} x  {name}: {taken['wall']:.2f} ms (cpu {taken['cpu']:.2f})",
                flush=True,
            )
    for name, why in record["missing"].items():
        print(f"    not installed: {name} ({why})", flush=True)


def print_scaling(records: list[dict[str, Any]]) -> None:
    """Print how many times faster each case is on several threads."""
    for record in records:
        if record.get("scaling"):
            print(f"    {record['scaling']:5.2f} x  {record['name']}, {record['threads']} threads against one")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
