"""Make variants of parity cases and run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import paths

from parity.check import Check
from parity.runner import Case, find_cases, run_case


def stored(system: str, case: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the JSON and the arrays of a case of the repository."""
    file = paths.GOLDEN / system / f"{case}.json"
    if not file.is_file():
        pytest.skip(f"{system}/{case} is not part of the repository")
    found = Case(json.loads(file.read_text()), file)
    return found.settings, found.arrays


def write(folder: Path, settings: dict[str, Any], arrays: dict[str, Any]) -> list[Check]:
    """Write a case and return what the runner reports about it."""
    (folder / "variant.json").write_text(json.dumps(settings))
    np.savez(folder / "variant.npz", **arrays)
    checks = run_case(find_cases([folder / "variant.json"])[0])
    assert checks
    return checks


def failures(checks: list[Check]) -> list[str]:
    """Return the failed checks in words."""
    return [str(check) for check in checks if not check.passed]
