"""A run that was stopped, in whatever way, ends with the weights of one that was not: bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.drawn import micro

from g3d.prepare.kitti import prepare_kitti

STEPS = 12
SETTINGS = micro("train.batch=2", "train.epochs=3", "train.save_steps=3", "train.workers=1", "optim.clip_norm=5")


def start(data: Path, run: Path) -> list[str]:
    return ["train", "--preset", "monodle-ddml-tiny", "--data", str(data), "--out", str(run), *SETTINGS]


def launch(*args: str) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "g3d", *args]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(*args: str) -> None:
    process = launch(*args)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def stop_after(process: subprocess.Popen, run: Path, steps: int, number: int) -> None:
    """Send a signal as soon as that many steps are in the metrics; to the loading workers too, as terminals and
    schedulers do."""
    metrics = run / "metrics.jsonl"
    while process.poll() is None and (not metrics.is_file() or metrics.read_text().count("\n") < steps):
        time.sleep(0.002)
    os.killpg(process.pid, number)


def outcome(run: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    content = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert content["training"]["steps"] == STEPS
    return content["model"], [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(drawn_kitti: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepare_kitti(drawn_kitti)
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(*start(drawn_kitti, run))
    return run


def assert_same(run: Path, other: Path) -> None:
    (weights, losses), (expected, expected_losses) = outcome(run), outcome(other)
    assert losses == expected_losses
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


@pytest.mark.slow
@pytest.mark.parametrize("attempt", [0, 1])
def test_killed_at_a_random_step(drawn_kitti: Path, undisturbed: Path, tmp_path: Path, attempt: int) -> None:
    run = tmp_path / "run"
    process = launch(*start(drawn_kitti, run))
    stop_after(process, run, random.randint(4, STEPS - 2), signal.SIGKILL)
    process.communicate()
    finish("train", "--resume", str(run))
    assert_same(run, undisturbed)
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["last.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(drawn_kitti: Path, undisturbed: Path, tmp_path: Path, number: int) -> None:
    """A checkpoint is written at once, the exit code is 130, and the last line says how to go on."""
    run = tmp_path / "run"
    process = launch(*start(drawn_kitti, run))
    stop_after(process, run, 4, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"go on with: g3d train --resume {run}" in err
    assert "Traceback" not in err
    finish("train", "--resume", str(run))
    assert_same(run, undisturbed)


@pytest.mark.slow
def test_resume_auto_takes_the_newest_run(drawn_kitti: Path, undisturbed: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "monodle-ddml-tiny"
    runs.mkdir(parents=True)
    os.symlink(undisturbed, runs / "2026-01-01_000000")
    process = subprocess.run(
        [sys.executable, "-m", "g3d", "train", "--resume", "auto", "--preset", "monodle-ddml-tiny"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip().endswith("2026-01-01_000000")


@pytest.mark.slow
def test_a_run_directory_is_not_overwritten(drawn_kitti: Path, undisturbed: Path) -> None:
    process = launch(*start(drawn_kitti, undisturbed))
    _, err = process.communicate()
    assert process.returncode == 2
    assert "already holds checkpoints" in err
