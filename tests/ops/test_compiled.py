"""Kernels are compiled once for all processes, with a message, and without an effect on PyTorch's threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

from g3d.kernels.compiled import cache_folder

KERNELS = '''
import numpy as np
from g3d.kernels.compiled import kernel, part, prange

@part()
def _twice(value):
    return 2 * value

@kernel(parallel=True)
def cpu(values, out):
    """Fill `out` with twice `values`."""
    for i in prange(values.shape[0]):
        out[i] = _twice(values[i])
'''
PROGRAM = """
import logging, sys, numpy as np
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
import doubling
values, out = np.arange(1000.0), np.empty(1000)
doubling.cpu(values, out)
assert (out == 2 * values).all()
doubling.cpu(values.astype(np.float32), out)
assert (out == 2 * values).all()
print("right")
"""


def start(folder: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "OMP_"))}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **environment},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Its log, after checking that it computed what it should."""
    out, log = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "right\n"), log
    return log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "doubling.py").write_text(KERNELS)
    return tmp_path


def test_first_use_says_what_it_compiles_and_the_second_process_finds_it(folder: Path) -> None:
    log = finish(start(folder))
    assert log.count("compiling doubling.cpu for this processor") == 2  # once for each dtype
    assert str(folder / "__pycache__") in log
    assert "compiling" not in finish(start(folder))


@pytest.mark.slow
def test_threads_and_no_threads_are_compiled_apart(folder: Path) -> None:
    finish(start(folder))
    assert finish(start(folder, OMP_NUM_THREADS="2")).count("compiling") == 2
    assert "compiling" not in finish(start(folder)) + finish(start(folder, OMP_NUM_THREADS="2"))


@pytest.mark.slow
def test_eight_processes_starting_together_compile_once(folder: Path) -> None:
    logs = [finish(process) for process in [start(folder) for _ in range(8)]]
    assert sum(log.count("compiling") for log in logs) == 2
    assert "compiling" not in finish(start(folder))


@pytest.mark.slow
def test_a_killed_process_leaves_no_lock(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    hold = (
        "import fcntl, time; f = open('__pycache__/g3d.lock', 'a'); fcntl.flock(f, 2); print('held', "
        "flush=True); time.sleep(99)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting = start(folder)
    time.sleep(0.5)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    finish(waiting)


def test_folders_that_cannot_be_written_cost_one_warning(folder: Path) -> None:
    (folder / "__pycache__").write_text("a file where the cache's folder would be: no user can write there")
    (folder / ".cache").write_text("likewise")
    environment = {
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / ".cache" / "x"),
        "NUMBA_CACHE_DIR": str(folder / ".cache" / "n"),
    }
    program = PROGRAM + "doubling.cpu(np.arange(3), out[:3])"
    log = finish(start(folder, program, OMP_NUM_THREADS="2", **environment))
    assert log.count("WARNING") == 1
    assert "compiled kernels cannot be kept" in log
    assert "NUMBA_CACHE_DIR" in log


def test_the_cache_is_the_first_folder_that_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path / "new"))
    found = cache_folder()
    assert found is not None
    assert (tmp_path / "new") in found.parents
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path / "file" / "new"))
    assert cache_folder() not in (None, found)  # the one beside the source, or the user's


@pytest.mark.slow
def test_a_full_disk_costs_one_warning(folder: Path) -> None:
    full = (
        "import numba.core.caching as caching\n"
        "def save(self, name, data): raise OSError(28, 'No space left on device')\n"
        "caching.IndexDataCacheFile._save_data = save\n"
    )
    log = finish(start(folder, full + PROGRAM))
    assert log.count("WARNING") == 1
    assert "No space left on device" in log


@pytest.mark.slow
def test_a_forked_process_runs_without_threads(folder: Path) -> None:
    # OpenMP ends a process that uses it after a fork; data loaders fork.
    forked = (
        PROGRAM + "import os\nif os.fork() == 0:\n    doubling.cpu(values, out)\n    os._exit(7)\nassert "
        "os.wait()[1] >> 8 == 7\n"
    )
    finish(start(folder, forked, OMP_NUM_THREADS="2"))


def test_torch_keeps_its_number_of_threads(folder: Path) -> None:
    # Numba starts its threads once in a process, and sets their number for PyTorch too.
    check = "import torch, doubling, numpy as np\ntorch.set_num_threads(3)\ndoubling.cpu(np.ones(9), np.ones(9))\n"
    check += "assert torch.get_num_threads() == 3, torch.get_num_threads()\nprint('right')\n"
    finish(start(folder, check))


def test_without_numba_a_kernel_says_so(folder: Path) -> None:
    program = (
        "import sys\nsys.modules['numba'] = None\nimport numpy as np, doubling\nfrom g3d.errors import "
        "EnvironmentProblem\n"
    )
    program += "try:\n    doubling.cpu(np.ones(1), np.ones(1))\nexcept EnvironmentProblem as error:\n"
    program += "    print('right' if 'Numba cannot be imported' in str(error) else error)\n"
    finish(start(folder, program))
