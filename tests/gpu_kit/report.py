"""Gather what a run of tests/gpu.sh left in its working folder into one JSON file.

    python tests/gpu_kit/report.py WORK OUT

WORK holds machine.json, codes (step and exit code, a line each), tests-*.jsonl and benchmark.json. The last two may be
cut off or missing: the report then says what was not finished.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def group(log: Path, code: int) -> dict[str, Any]:
    """Return the counts of one group of tests, with the failures' names and first lines.

    Args:
        log: the lines that gpu_kit/log_tests.py wrote.
        code: exit code of pytest, or 124 or 137 if it was stopped.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    ended = [line for line in lines if line.get("outcome") not in (None, "started")]
    names = {line["test"] for line in ended}
    outcomes = [line["outcome"] for line in ended]
    collected = next((line["collected"] for line in lines if "collected" in line), 0)
    run_over = [line["test"] for line in lines if line.get("outcome") == "started" and line["test"] not in names]
    return {
        "name": log.stem.partition("-")[2],
        "exit_code": code,
        "collected": collected,
        **{outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "error", "skipped")},
        "seconds": round(sum(line["seconds"] for line in ended), 1),
        "running_when_stopped": run_over,
        "failures": [{k: line[k] for k in ("test", "message")} for line in ended if line["outcome"] in BAD],
        "skips": [{k: line[k] for k in ("test", "message")} for line in ended if line["outcome"] == "skipped"],
        "slowest": [
            {"test": line["test"], "seconds": round(line["seconds"], 2)}
            for line in sorted(ended, key=lambda line: -line["seconds"])[:5]
        ],
    }


BAD = ("failed", "error")


def gather(work: Path) -> dict[str, Any]:
    """Return the whole report."""
    codes = {name: int(code) for name, code in (line.split() for line in (work / "codes").read_text().splitlines())}
    benchmark = work / "benchmark.json"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "revision": revision(),
        "machine": json.loads((work / "machine.json").read_text()),
        "tests": [group(work / f"{name}.jsonl", code) for name, code in codes.items() if name.startswith("tests-")],
        "benchmark_exit_code": codes.get("benchmark"),
        "benchmark": json.loads(benchmark.read_text()) if benchmark.is_file() else None,
    }


def revision() -> str | None:
    """Return the checkout's commit, with "+changes" if files differ from it; None outside a git checkout."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        head, changes = (subprocess.run(c, cwd=ROOT, capture_output=True, text=True, check=True) for c in commands)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def file_name(report: dict[str, Any]) -> str:
    """Return "<GPU>-<date>.json", with the GPU's name in lower case, words joined by dashes."""
    gpu = re.sub(r"[^a-z0-9]+", "-", report["machine"].get("gpu", "no-gpu").lower()).strip("-")
    return f"{gpu}-{report['date']}.json"


def main() -> None:
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    report = gather(work)
    out.mkdir(parents=True, exist_ok=True)
    path = out / file_name(report)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for tests in report["tests"]:
        counts = ", ".join(f"{tests[key]} {key}" for key in ("passed", "failed", "error", "skipped") if tests[key])
        print(f"tests {tests['name']}: {counts or 'none ran'} of {tests['collected']} (exit code {tests['exit_code']})")
        for failure in tests["failures"]:
            print(f"    {failure['test']}: {failure['message']}")
        for name in tests["running_when_stopped"]:
            print(f"    {name}: was running when time was over")
    if report["benchmark"]:
        rows = {key: len(report["benchmark"][key]) for key in ("operators", "systems", "failed", "not_run")}
        print("benchmark rows: " + ", ".join(f"{count} {key}" for key, count in rows.items()))
    else:
        print("benchmark: no rows")
    print(path)


if __name__ == "__main__":
    main()
