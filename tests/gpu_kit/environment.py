"""Make a temporary Python environment on a bare GPU machine, without a network, or say in one line what is missing.

    python tests/gpu_kit/environment.py FOLDER [WHEELS]

The environment FOLDER/environment sees the machine's packages and this checkout of g3d. Packages that the machine lacks
are installed into it from the folder WHEELS; nothing outside FOLDER is changed. FOLDER/machine.json describes the
machine. This file runs before g3d can be imported: it uses the standard library and the machine's PyTorch.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ("torch", "triton", "numpy", "numba")
"""Packages that must be the machine's own: they fit its driver, or each other."""
FINDER = '''"""Import g3d from a checkout, where g3d.kernels and g3d.presets lie beside the package."""
import importlib.util
import sys

FOLDERS = {folders!r}


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        folder = FOLDERS.get(name)
        if folder is None:
            return None
        return importlib.util.spec_from_file_location(
            name, folder + "/__init__.py", submodule_search_locations=[folder]
        )


sys.meta_path.insert(0, Finder)
'''


class Unusable(Exception):
    """The machine cannot run the kit; the message says why and what to do."""


def check_machine() -> None:
    """Check that Python, the GPU, the machine's own packages and a C compiler are there.

    Raises:
        Unusable: one of them is not.
    """
    if sys.version_info < (3, 10):  # noqa: UP036  the machine's Python may be older than the package's
        raise Unusable(f"Python {platform.python_version()} at {sys.executable}: expected 3.10 or newer (set PYTHON)")
    torch = _imported("torch")
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise Unusable(f"no GPU: PyTorch {torch.__version__} is built {built} and finds no CUDA device")
    for name in MACHINE:
        _imported(name)
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        raise Unusable("no C compiler: Triton needs gcc or clang to launch its kernels")


def _imported(name: str) -> Any:
    """Return one of the machine's own packages."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unusable(
            f"{name} cannot be imported by {sys.executable} ({error}): the machine itself must have it (set PYTHON)"
        ) from None


def describe_machine() -> dict[str, Any]:
    """Return the GPU, the driver and the versions that results depend on."""
    torch: Any = importlib.import_module("torch")
    found: dict[str, Any] = {"python": platform.python_version(), "platform": platform.platform()}
    found |= {name: importlib.import_module(name).__version__ for name in MACHINE}
    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": facts.name,
            "capability": f"sm_{facts.major}{facts.minor}",
            "memory_gib": round(facts.total_memory / 2**30, 1),
            "multiprocessors": facts.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": _driver(),
        }
    return found


def _driver() -> str | None:
    """Return the driver's version as nvidia-smi reports it; None where it does not answer."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() or None if done.returncode == 0 else None


def requirements() -> list[str]:
    """Return what g3d and its tests need, as requirement specifiers."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    if block is None:
        raise Unusable(f"{ROOT / 'pyproject.toml'}: found no list of dependencies")
    return [*re.findall(r'"([^"]+)"', block[1]), "pytest>=8"]


def missing(needed: list[str]) -> list[str]:
    """Return the names of required packages of which this machine has no version."""
    found = []
    for requirement in needed:
        name = re.split(r"[^\w.-]", requirement)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(name)
    return found


def make(folder: Path, root: Path = ROOT) -> Path:
    """Make an environment that sees this interpreter's packages and the checkout `root`. Returns its interpreter."""
    venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    inherited = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    lines = ["import g3d_checkout", *(f"import site; site.addsitedir({path!r})" for path in inherited)]
    folders = {"g3d": root / "g3d", "g3d.kernels": root / "kernels", "g3d.presets": root / "presets"}
    (packages / "g3d_checkout.py").write_text(FINDER.format(folders={name: str(p) for name, p in folders.items()}))
    (packages / "g3d_kit.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin" / "python"


def install(python: Path, needed: list[str], wheels: Path, kept: tuple[str, ...] = MACHINE) -> None:
    """Install what is missing or too old into the environment of `python`, from a folder of wheels.

    Args:
        python: the environment's interpreter.
        needed: requirement specifiers.
        wheels: folder of wheels, the only source.
        kept: packages that must stay in the machine's version.

    Raises:
        Unusable: pip cannot do it; the message has its reason.
    """
    constraints = python.parent.parent / "constraints.txt"
    constraints.write_text("".join(f"{name}=={importlib.metadata.version(name)}\n" for name in kept))
    command = [str(python), "-m", "pip", "install", "--no-index", "--no-warn-conflicts"]
    command += ["--disable-pip-version-check", "--find-links", str(wheels), "--constraint", str(constraints), *needed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        conflicts = done.stdout.partition("The conflict is caused by:\n")[2].splitlines()
        errors = [line.strip() for line in conflicts if line.startswith("    ")]
        errors += [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unusable(f"packages cannot be installed from {wheels}: {'; '.join(errors) or 'pip gives no reason'}")


def main() -> None:
    folder, wheels = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    try:
        check_machine()
        needed = requirements()
        if not wheels and (absent := missing(needed)):
            raise Unusable(f"missing packages: {', '.join(absent)}; give a folder of wheels that holds them")
        python = make(folder / "environment")
        if wheels:
            install(python, needed, Path(wheels))
        done = subprocess.run(
            [str(python), "-c", "import pytest, g3d.kernels, g3d.presets"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unusable(f"g3d cannot be imported: {done.stderr.strip().splitlines()[-1]}")
        (folder / "machine.json").write_text(json.dumps(describe_machine()))
    except Unusable as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
