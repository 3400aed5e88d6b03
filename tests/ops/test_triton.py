"""Triton's kernels without a GPU: under the interpreter they equal their references, and they compile for the GPUs in use.

The interpreter needs TRITON_INTERPRET=1 before anything imports triton, the compiler its absence: each has a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("triton")
FOLDER = Path(__file__).parents[1] / "triton"


def run(*arguments: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, *arguments], env={**inherited, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def test_interpreted_kernels_equal_their_references() -> None:
    out = run("-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", str(FOLDER), TRITON_INTERPRET="1", OMP_NUM_THREADS="1")
    assert " passed" in out
    assert "skipped" not in out


def test_kernels_compile_ahead_of_time_for_sm_80_and_sm_90(tmp_path: Path) -> None:
    out = run(str(FOLDER / "compile_ahead.py"), TRITON_CACHE_DIR=str(tmp_path))
    compiled = [line.split()[1] for line in out.splitlines()]
    assert compiled
    assert all(compiled.count(name) >= 2 for name in compiled)


def test_every_kernel_is_compiled_ahead_of_time() -> None:
    named = {line.split("def ")[1].split("(")[0] for file in (FOLDER.parents[1] / "kernels").glob("*_cuda.py")
             for line in decorated(file.read_text())}  # fmt: skip
    tests = "\n".join(file.read_text() for file in FOLDER.glob("test_*.py"))
    assert {name for name in named if name not in tests} == set()


def decorated(text: str) -> list[str]:
    """Lines that define a kernel with triton.jit and are no part of another (those begin with an underscore)."""
    lines = text.splitlines()
    return [after for before, after in pairwise(lines) if before == "@triton.jit" and not after.startswith("def _")]
