"""Checks behind `g3d doctor`: versions, devices, presets, kernel cache, kernels and browser."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from g3d import __version__
from g3d.errors import G3DError

if TYPE_CHECKING:
    from g3d.ops.registry import Operator

OPTIONAL = ("triton", "tensorboard", "wandb", "laspy")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was checked.
        state: "ok"; "note" for a fact that the user should know; "broken" if some command will fail.
        text: the result of the check.
    """

    name: str
    state: Literal["ok", "note", "broken"]
    text: str


def examine() -> Iterator[Finding]:
    """Run all checks in the order of their dependencies. Yield each finding as soon as it is available."""
    for look in (_versions, _devices, _presets, _cache, _kernels, _browser):
        yield from look()


def _versions() -> list[Finding]:
    found = [
        Finding("g3d", "ok", f"{__version__} in {Path(__file__).parent}"),
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
    ]
    requirements = [need for need in importlib.metadata.requires("g3d") or () if "extra ==" not in need]
    needed_names = [re.split(r"[^\w.-]", need)[0].lower() for need in requirements]
    for name in (*needed_names, *OPTIONAL):
        try:
            found.append(Finding(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            needed = name in needed_names
            found.append(
                Finding(name, "broken" if needed else "note", "not installed" + ("" if needed else " (optional)"))
            )
    return found


def _devices() -> list[Finding]:
    import torch

    found = [
        Finding(
            "cpu",
            "ok",
            f"{torch.get_num_threads()} threads of {os.cpu_count()} processors, "
            f"{torch.backends.cpu.get_cpu_capability()}",
        )
    ]
    if not torch.cuda.is_available():
        why = (
            "this torch is built without CUDA"
            if torch.version.cuda is None
            else f"torch is built for CUDA {torch.version.cuda}, no device answers"
        )
        return [*found, Finding("cuda", "note", f"none: {why}; everything runs on the CPU")]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append(
            Finding(
                f"cuda:{index}",
                "ok",
                f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, sm_{facts.major}{facts.minor}",
            )
        )
    return found


def _presets() -> list[Finding]:
    from g3d import config

    def check() -> str:
        names = config.preset_names()
        for name in names:
            config.load(name)
        return f"{len(names)} load: {', '.join(names)}"

    return [_tried("presets", check)]


def _kernels() -> Iterator[Finding]:
    """Compare every operator's fast path with its reference on each available kind of device.

    Kernels that are not in the cache are compiled first.
    """
    import torch

    from g3d.ops.registry import kernels_choice, load_all

    try:
        choice = kernels_choice()
    except G3DError as error:
        yield Finding("G3D_KERNELS", "broken", str(error).partition(": ")[2].replace("\n", "; "))
        return
    meaning = {
        "auto": "fast paths, PyTorch references where they cannot run",
        "reference": "PyTorch references only: slow",
        "require": "fast paths, an error where they cannot run",
    }
    yield Finding("G3D_KERNELS", "note" if choice == "reference" else "ok", f"{choice}: {meaning[choice]}")
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        for operator in load_all().values():
            yield _kernel(operator, device, required=choice == "require")


def _kernel(operator: Operator, device: str, required: bool) -> Finding:
    from g3d.kernels.compiled import KernelUnavailable

    def check() -> str:
        path = operator.path(device)
        if path == "PyTorch":
            return "PyTorch's own kernels"
        began = time.perf_counter()
        operator.check_itself(device)
        return f"{path}, equal to its reference ({time.perf_counter() - began:.1f} s)"

    name = f"{device}: {operator.name}"
    try:
        return _tried(name, check)
    except KernelUnavailable as error:
        return Finding(
            name, "broken" if required else "note", f"runs as its PyTorch reference, slower: {error.message}"
        )


def _cache() -> list[Finding]:
    from g3d.kernels.compiled import KernelUnavailable, cache_folder

    try:
        folder = cache_folder()
    except KernelUnavailable as error:
        return [Finding("kernel cache", "note", error.message)]
    if folder is None:
        return [
            Finding("kernel cache", "note", "no folder can be written: set NUMBA_CACHE_DIR to keep compiled kernels")
        ]
    return [Finding("kernel cache", "ok", f"{folder} can be written")]


def _browser() -> list[Finding]:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    return [
        Finding("browser", "ok" if found else "note", found or "no Chromium found; only the tests of the page need one")
    ]


def _tried(name: str, check: Callable[[], str]) -> Finding:
    """Return the outcome of a check. Any exception becomes a "broken" finding, so that the report continues.

    Raises:
        KernelUnavailable: the check raised it; the caller decides whether that is a note or broken.
    """
    from g3d.kernels.compiled import KernelUnavailable

    try:
        return Finding(name, "ok", check())
    except KernelUnavailable:
        raise
    except G3DError as error:
        return Finding(name, "broken", str(error))
    except Exception as error:
        return Finding(
            name,
            "broken",
            f"{type(error).__name__}: {error} (python {sys.version_info.major}.{sys.version_info.minor})",
        )
