"""The GPU kit, as far as it can run without a GPU: refusals, the environment, the logs, the benchmark's rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from gpu_kit import environment, report
from support import paths

from g3d.ops.registry import load_all

SCRIPT = paths.ROOT / "tests" / "gpu.sh"
TOOLS = ("bash", "timeout", "grep", "mktemp", "rm", "mkdir", "ln", "cat", "git")
FAKE_PYTHON = """#!/usr/bin/env bash
# Takes the place of the machine's Python: leaves what each step would leave.
case "$*" in
  *environment.py*)
    mkdir -p "$2/environment/bin" && ln -s "$0" "$2/environment/bin/python"
    echo '{"gpu": "NVIDIA Pretend 80GB"}' >"$2/machine.json" ;;
  *"-m pytest -m cuda"*) cat >"$G3D_TEST_LOG" <<'LINES'
{"collected": 3}
{"test": "a", "outcome": "started"}
{"test": "a", "outcome": "passed", "seconds": 1.0}
{"test": "b", "outcome": "started"}
{"test": "b", "outcome": "failed", "seconds": 0.5, "message": "assert 1 == 2"}
{"test": "c", "outcome": "started"}
LINES
    exit FAILING ;;
  *benchmarks/gpu.py*) exit 0 ;;
  *report.py*) exec REAL "$@" ;;
esac
"""


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=240
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the programs that gpu.sh calls, to be the whole PATH: without nvidia-smi, unless a test adds it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = next((Path(p) / name for p in os.environ["PATH"].split(":") if (Path(p) / name).is_file()), None)
        if found:
            (folder / name).symlink_to(found)
    return folder


def pretend_gpu(tools: Path) -> None:
    (tools / "nvidia-smi").write_text("#!/usr/bin/env bash\necho 'GPU 0: pretended'\n")
    (tools / "nvidia-smi").chmod(0o755)


def test_without_a_driver_the_kit_is_refused_at_once(tools: Path) -> None:
    done = run(["bash", str(SCRIPT)], PATH=str(tools))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: no GPU: nvidia-smi is not there, so no NVIDIA driver is installed\n"


def test_a_pytorch_without_a_device_is_refused(tools: Path) -> None:
    pretend_gpu(tools)
    done = run(["bash", str(SCRIPT)], PATH=str(tools), PYTHON=sys.executable, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: no GPU: PyTorch ")
    assert done.stderr.count("\n") == 1


def test_wrong_arguments_are_refused(tools: Path, tmp_path: Path) -> None:
    done = run(["bash", str(SCRIPT), str(tmp_path / "none")], PATH=str(tools))
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'none'}: no such folder of wheels\n")
    assert run(["bash", str(SCRIPT), "", "out", "more"], PATH=str(tools)).returncode == 2
    beside = "cd tests && exec bash gpu.sh"
    assert "nvidia-smi is not there" in run(["bash", "-c", f"cd {paths.ROOT} && {beside}"], PATH=str(tools)).stderr


@pytest.mark.parametrize("failing", [0, 1])
def test_results_are_one_file(tools: Path, tmp_path: Path, failing: int) -> None:
    pretend_gpu(tools)
    fake = tmp_path / "python"
    fake.write_text(FAKE_PYTHON.replace("REAL", sys.executable).replace("FAILING", str(failing)))
    fake.chmod(0o755)
    done = run(["bash", str(SCRIPT), "", str(tmp_path / "out")], PATH=str(tools), PYTHON=str(fake))
    assert done.returncode == failing, done.stderr
    (file,) = (tmp_path / "out").iterdir()
    content = json.loads(file.read_text())
    assert file.name == f"nvidia-pretend-80gb-{content['date']}.json"
    assert [tests["name"] for tests in content["tests"]] == ["operators", "systems"]
    for tests in content["tests"]:
        assert (tests["collected"], tests["passed"], tests["failed"]) == (3, 1, 1)
        assert tests["failures"] == [{"test": "b", "message": "assert 1 == 2"}]
        assert tests["running_when_stopped"] == ["c"]
        assert tests["exit_code"] == failing
    assert (content["benchmark"], content["benchmark_exit_code"]) == (None, 0)


def test_the_log_has_every_outcome_as_it_comes(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import os, pytest\n"
        "def test_right(): pass\n"
        "def test_wrong(): assert 1 == 2, 'two lines\\nof reason'\n"
        "def test_skipped(): pytest.skip('not here')\n"
        "@pytest.fixture\ndef broken(): raise OSError('no fixture')\n"
        "def test_error(broken): pass\n"
        "def test_killed(): os._exit(9)\n"
    )
    log = tmp_path / "tests-some.jsonl"
    command = [sys.executable, "-m", "pytest", "-p", "gpu_kit.log_tests", "-p", "no:cacheprovider", str(tmp_path)]
    done = run(command, G3D_TEST_LOG=str(log), PYTHONPATH=str(paths.ROOT / "tests"))
    assert done.returncode == 9, done.stdout
    found = report.group(log, 9)
    counts = {key: found[key] for key in ("collected", "passed", "failed", "error", "skipped")}
    assert counts == {"collected": 5, "passed": 1, "failed": 1, "error": 1, "skipped": 1}
    assert [failure["message"] for failure in found["failures"]] == [
        "AssertionError: two lines",
        "OSError: no fixture",
    ]
    assert "not here" in found["skips"][0]["message"]
    assert [name.rpartition("::")[2] for name in found["running_when_stopped"]] == ["test_killed"]


def test_the_environment_sees_the_checkout_and_the_machine(tmp_path: Path) -> None:
    python = environment.make(tmp_path / "environment")
    program = (
        "import sys, numpy, g3d, g3d.kernels, g3d.presets; print(sys.prefix, *g3d.__path__, *g3d.kernels.__path__)"
    )
    done = run([str(python), "-c", program])
    assert done.returncode == 0, done.stderr
    expected = [tmp_path / "environment", paths.ROOT / "g3d", paths.ROOT / "kernels"]
    assert done.stdout.split() == [str(path) for path in expected]


def made_wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    """Write a wheel with one empty module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + f"Requires-Dist: {needs}\n" * bool(needs)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_missing_packages_come_from_the_wheels_and_the_machine_keeps_its_own(tmp_path: Path) -> None:
    python = environment.make(tmp_path / "environment")
    made_wheel(tmp_path / "wheels", "g3d_absent", "1.0", "numpy")
    assert environment.missing(["g3d_absent>=1", "numpy>=1.26"]) == ["g3d_absent"]
    environment.install(python, ["g3d_absent>=1", "numpy>=1.26"], tmp_path / "wheels")
    assert run([str(python), "-c", "import g3d_absent; print(g3d_absent.__file__)"]).stdout.startswith(str(tmp_path))
    made_wheel(tmp_path / "wheels", "g3d_demanding", "1.0", "numpy>=999")
    made_wheel(tmp_path / "wheels", "numpy", "999.0")
    with pytest.raises(environment.Unusable, match=r"packages cannot be installed from .*constraint\) numpy"):
        environment.install(python, ["g3d_demanding"], tmp_path / "wheels")


def test_the_kit_asks_for_what_the_package_and_its_tests_need() -> None:
    names = [requirement.partition(">")[0] for requirement in environment.requirements()]
    assert {*environment.MACHINE} - {"triton"} < {*names}  # Triton comes with PyTorch for CUDA
    assert {"typer", "transformers", "pillow", "pytest"} < {*names}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The benchmark's file of a quick run on the CPU."""
    file = tmp_path_factory.mktemp("gpu") / "benchmark.json"
    program = str(paths.ROOT / "tests" / "benchmarks" / "gpu.py")
    done = run([sys.executable, program, "--device", "cpu", "--quick", "--out", str(file)], OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


@pytest.mark.slow
def test_every_kernel_for_cuda_is_benchmarked(quick: dict[str, Any]) -> None:
    kernels = {name for name, operator in load_all().items() if operator.cuda}
    assert {name for row in quick["operators"] for name in row["operators"]} >= kernels
    assert (quick["failed"], quick["not_run"], quick["unmeasured_kernels"]) == ([], [], [])
    for row in quick["operators"]:
        assert min(row["ms"], row["reference_ms"], row["bound_ms"]) > 0, row
        assert row["times_faster"] == pytest.approx(row["reference_ms"] / row["ms"])


@pytest.mark.slow
def test_every_system_is_benchmarked_in_every_precision(quick: dict[str, Any]) -> None:
    rows = {(row["system"], row["what"], row["precision"]): row for row in quick["systems"]}
    assert set(rows) == {
        (system, what, precision)
        for system in ("monodle", "jln")
        for what in ("training step", "forward")
        for precision in ("fp32", "tf32", "bf16")
    }
    for row in rows.values():
        assert min(row["ms"], row["bound_ms"], row["gflop"]) > 0, row


@pytest.mark.slow
def test_without_time_rows_are_listed_as_not_run(tmp_path: Path) -> None:
    program = str(paths.ROOT / "tests" / "benchmarks" / "gpu.py")
    file = tmp_path / "b.json"
    done = run([sys.executable, program, "--device", "cpu", "--quick", "--out", str(file), "--seconds", "0"])
    assert done.returncode == 1, done.stderr
    content = json.loads(file.read_text())
    assert content["operators"] == content["systems"] == []
    assert {"cases of sparse_conv", "jln forward bf16"} < {*content["not_run"]}
