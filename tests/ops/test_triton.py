"""Triton's kernels without a GPU: under the interpreter they equal their references, and they compile for the GPUs in
use.

The interpreter needs TRITON_INTERPRET=1 before anything imports triton, the compiler its absence: each has a process of
its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
FOLDER = Path(__file__).parents[1] / "triton"


def run(*arguments: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *arguments], env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


@pytest.mark.slow
def test_interpreted_kernels_equal_their_references() -> None:
    out = run(
        "-m",
        "pytest",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        str(FOLDER),
        TRITON_INTERPRET="1",
        OMP_NUM_THREADS="1",
    )
    assert " passed" in out
    assert "skipped" not in out


@pytest.mark.slow
def test_kernels_compile_ahead_of_time_for_sm_80_and_sm_90(tmp_path: Path) -> None:
    out = run(str(FOLDER / "compile_ahead.py"), TRITON_CACHE_DIR=str(tmp_path))
    compiled = [line.split()[1] for line in out.splitlines()]
    assert compiled
    assert all(compiled.count(name) >= 2 for name in compiled)


def test_every_kernel_is_compiled_ahead_of_time() -> None:
    launched = {
        name
        for file in (FOLDER.parents[1] / "kernels").glob("*_cuda.py")
        for name in re.findall(r"^ +(\w+)\[[^\]]*\]\(", file.read_text(), re.M)
    }
    tests = "\n".join(file.read_text() for file in FOLDER.glob("test_*.py"))
    assert launched
    assert {name for name in launched if name not in tests} == set()
