"""Run directories: made exclusively, and locked while a process trains in them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from support import paths

from g3d import config
from g3d.data import folders
from g3d.engine.distributed import Processes
from g3d.engine.run import Run
from g3d.errors import EnvironmentProblem, InputError

ALONE = Processes(0, 1, torch.device("cpu"))
HOLD = """
import sys, time
from pathlib import Path
import torch
from g3d.engine.distributed import Processes
from g3d.engine.run import Run
run = Run.resume(Path(sys.argv[1]), Processes(0, 1, torch.device("cpu")))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def settings() -> config.Config:
    return config.load("monodle-ddml-tiny")


def hold(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a run."""
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(
    settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    class Noon:
        @staticmethod
        def now() -> Noon:
            return Noon()

        def strftime(self, form: str) -> str:
            return "2026-01-01_120000"

        def astimezone(self) -> Noon:
            return self

        def isoformat(self, timespec: str) -> str:
            return "2026-01-01T12:00:00"

    monkeypatch.setattr("g3d.engine.run.datetime.datetime", Noon)
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: Run.create(settings, None, [], ALONE), range(3)))
    names = sorted(run.folder.name for run in runs)
    assert names == ["2026-01-01_120000", "2026-01-01_120000-2", "2026-01-01_120000-3"]
    assert sorted(os.listdir(tmp_path / "runs" / settings.name)) == names
    for run in runs:
        assert (run.folder / "config.yaml").is_file()
        run.close()


def test_a_run_is_resumed_by_one_process_at_a_time(settings: config.Config, tmp_path: Path) -> None:
    Run.create(settings, tmp_path / "run", [], ALONE).close()
    process = hold(tmp_path / "run")
    try:
        with pytest.raises(InputError, match=f"process {process.pid} on .* is using it") as caught:
            Run.resume(tmp_path / "run", ALONE)
        assert caught.value.exit_code == 2
        with pytest.raises(InputError, match=f"process {process.pid} on"):
            Run.create(settings, tmp_path / "run", [], ALONE)
        Run.resume(tmp_path / "run", Processes(1, 2, torch.device("cpu"))).close()  # other ranks do not lock
    finally:
        process.kill()
        process.wait()
    Run.resume(tmp_path / "run", ALONE).close()  # the kernel has released the killed process's lock


def test_closing_releases_the_lock(settings: config.Config, tmp_path: Path) -> None:
    Run.create(settings, tmp_path / "run", [], ALONE).close()
    process = hold(tmp_path / "run")
    process.kill()
    process.wait()


def test_a_folder_with_checkpoints_is_refused(settings: config.Config, tmp_path: Path) -> None:
    run = Run.create(settings, tmp_path / "run", [], ALONE)
    (run.checkpoints / "last.pt").write_bytes(b"")
    run.close()
    with pytest.raises(InputError, match="already holds checkpoints"):
        Run.create(settings, tmp_path / "run", [], ALONE)


def test_without_locks_one_warning_is_given(
    settings: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    monkeypatch.setattr(folders, "_warned", False)
    with caplog.at_level("WARNING", logger="g3d"):
        for name in ("a", "b"):
            Run.create(settings, tmp_path / name, [], ALONE).close()
    (record,) = caplog.records
    assert "locks are not available here" in record.getMessage()
    assert "No locks available" in record.getMessage()


def test_a_lock_is_not_taken_through_a_symbolic_link(settings: config.Config, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("content")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(EnvironmentProblem, match=r"run .*: cannot be written"):
        Run.create(settings, tmp_path / "run", [], ALONE)
    assert (tmp_path / "victim").read_text() == "content"
