"""Runs parity cases: what the published systems computed, beside what g3d computes.

    python tests/parity.py PATH...        # case files (.json or .npz) or folders, searched recursively

A case is a pair of files, <case>.json (system, kind, settings, tolerance) and <case>.npz (arrays in.* and out.*). The
code of a kind is tests/parity/kinds/<system>_<kind>.py; a kind without one is reported as not supported. A manifest of
a state dict and a map of names are cases too, of the kind of their file's name. A case may need a public file that is
not here; it says which. Seeds, shapes, names and tolerances come from the case (tests/parity/describe.py); a
description that is not understood fails the case. Exits 1 unless all cases pass.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from parity.check import Check, compare, tolerance_of

KINDS = Path(__file__).parent / "kinds"


@dataclass(frozen=True)
class Case:
    """One case: its JSON, where it lies, and its arrays' file (None for a manifest of a state dict)."""

    settings: dict[str, Any]
    path: Path

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        file = self.path.with_suffix(".npz")
        if not file.is_file():
            return {}
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)

    def __str__(self) -> str:
        return f"{self.settings['system']}/{self.path.stem}"


def find_cases(paths: list[Path]) -> list[Case]:
    """The cases among files and folders; in a folder, other JSON files are passed over.

    Raises:
        SystemExit: a path does not exist, or a file named by the user is no case.
    """
    cases: dict[Path, Case] = {}
    for path in paths:
        if not path.exists():
            raise SystemExit(f"error: {path}: no such file or folder")
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path.with_suffix(".json")]:
            case = _read_case(file)
            if case is not None:
                cases[file.resolve()] = case
            elif not path.is_dir():
                raise SystemExit(
                    f"error: {file}: not a parity case (JSON with system and kind, a state dict manifest, or a map of "
                    f"names)"
                )
    return list(cases.values())


def _read_case(file: Path) -> Case | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    if "kind" in content and "system" in content:
        return Case(content, file)
    if content and all(isinstance(entry, dict) and "shape" in entry for entry in content.values()):
        return Case({"system": file.resolve().parent.name, "kind": file.stem, "manifest": content}, file)
    if isinstance(content.get("intended"), dict):
        return Case({"system": file.resolve().parent.name, "kind": file.stem, **content}, file)
    return None


@functools.cache
def kind_module(system: str, kind: str) -> ModuleType | None:
    """The code that runs a kind of case, None if there is none."""
    name = f"{system}_{kind}"
    return importlib.import_module(f"parity.kinds.{name}") if (KINDS / f"{name}.py").is_file() else None


def run_case(case: Case) -> list[Check] | None:
    """Every check of a case; None if its kind is not supported.

    A kind's `run(case, arrays, folder)` gives arrays by the names of the case's out.* arrays, which are compared within
    the case's tolerance, or a Check where a rule of its own applies. An out.* array that it leaves out is a failure.
    """
    module = kind_module(case.settings["system"], case.settings["kind"])
    if module is None:
        return None
    arrays = case.arrays
    found = module.run(case.settings, arrays, case.path.parent)
    found = {
        name if isinstance(value, Check) else f"out.{name.removeprefix('out.')}": value for name, value in found.items()
    }
    checks = [value for value in found.values() if isinstance(value, Check)]
    checked = {check.name for check in checks} | {name for name, value in found.items() if isinstance(value, Check)}
    for name in (n for n in arrays if n.startswith("out.")):
        if name in checked or name.removeprefix("out.") in checked:
            continue
        if name not in found:
            checks.append(Check(name, float("nan"), "-", False, "not computed"))
        else:
            checks.append(
                compare(
                    name, np.asarray(found[name]), arrays[name], *tolerance_of(case.settings.get("tolerance"), name)
                )
            )
    return checks


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads: one sums in the order of the published runs"
    )
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    cases = find_cases(options.paths)
    verdicts = {"PASS": 0, "FAIL": 0, "NOT SUPPORTED": 0}
    for case in cases:
        try:
            checks = run_case(case)
        except Exception:
            traceback.print_exc(file=sys.stdout)
            checks = [Check("run", float("nan"), "-", False, "stopped with the error above")]
        verdict = "NOT SUPPORTED" if checks is None else "PASS" if checks and all(c.passed for c in checks) else "FAIL"
        verdicts[verdict] += 1
        print(f"{verdict}  {case}  ({case.settings['kind']})")
        for check in checks or []:
            print(f"    {check}")
    print(
        f"{len(cases)} cases: "
        + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items() if count or verdict == "PASS")
    )
    return 0 if cases and verdicts["PASS"] == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
