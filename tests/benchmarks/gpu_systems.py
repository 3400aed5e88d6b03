"""The systems that the GPU benchmark measures: a training step and a forward pass of each, with made inputs.

A system is one function under `SYSTEMS`, which makes the work of one row. Sizes are those of its preset.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from benchmarks import jln as jln_step
from benchmarks import monodle_step
from torch.utils.flop_counter import FlopCounterMode

from g3d import config as presets
from g3d.systems.base import get_system

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
"""Precisions by name, with the dtype of the matrix products' operands."""


QUICK = ["data.resolution=[64, 64]", "train.batch=2"]


@dataclass(frozen=True)
class Work:
    """The work that one row of the table runs.

    Attributes:
        name: system, preset, what, precision, batch and resolution, as they stand in the row.
        run: does it once.
        counted: does the same operations where FlopCounterMode can count them.
    """

    name: dict[str, Any]
    run: Callable[[], Any]
    counted: Callable[[], Any]


def monodle(what: str, precision: str, device: str, quick: bool) -> Work:
    """Preset monodle: heatmap detection from 1280 x 384 images; the training step is at the preset's batch."""
    config: Any = presets.load("monodle-ddml-tiny", QUICK) if quick else presets.load("monodle")
    batch = 1 if what == "forward" else config.train.batch
    width, height = config.data.resolution
    torch.manual_seed(0)
    model: Any = get_system("monodle").build(config).train(what != "forward").to(device)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, height, width).to(device).contiguous(memory_format=torch.channels_last)
    bf16 = precision == "bf16"
    if what == "forward":
        run = monodle_step.our_forward(model, images, bf16)
    else:
        targets = monodle_step.made_targets(batch, (width, height)).to(device)
        run = monodle_step.our_step(model, images, targets, bf16, config.loss)
    return Work(_named(config, what, precision, batch), run, run)


def jln(what: str, precision: str, device: str, quick: bool) -> Work:
    """Preset jln: one sentence of 40 words for each 1280 x 384 image; the training step is at the preset's batch."""
    config: Any = presets.load("jln-tiny", QUICK) if quick else presets.load("jln")
    batch = 1 if what == "forward" else config.train.batch
    kind = "forward" if what == "forward" else "step"
    variant = "bf16" if precision == "bf16" else "fp32"
    work = jln_step.Workload(kind, variant, tuple(config.data.resolution), config.name, batch, device)
    run = work.forward if kind == "forward" else work.step
    return Work(_named(config, what, precision, batch), run, work.outputs if kind == "forward" else run)


SYSTEMS: dict[str, Callable[[str, str, str, bool], Work]] = {"monodle": monodle, "jln": jln}


def work_of(system: str, what: str, precision: str, device: str, quick: bool) -> Work:
    """Return the work of one row.

    Args:
        system: a key of SYSTEMS.
        what: "training step" or "forward", which is at batch 1.
        precision: a key of PRECISIONS.
        device: "cuda" or "cpu".
        quick: a small preset with tiny images.
    """
    return SYSTEMS[system](what, precision, device, quick)


def _named(config: Any, what: str, precision: str, batch: int) -> dict[str, Any]:
    return {
        "system": config.system,
        "preset": config.name,
        "what": what,
        "precision": precision,
        "batch": batch,
        "resolution": list(config.data.resolution),
    }


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TensorFloat-32 in matrix products and convolutions on CUDA within the block."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@dataclass
class Timings:
    """Measure systems' work.

    Attributes:
        device: "cuda" or "cpu".
        median_ms: times a call.
        operations: of each system and kind of work: they are the same in every precision.
    """

    device: str
    median_ms: Callable[[Callable[[], Any]], float]
    operations: dict[tuple[str, str], int] = field(default_factory=dict)

    def row(self, work: Work, rate: float) -> dict[str, Any]:
        """Return the measured row.

        Args:
            work: what to measure.
            rate: operations per second of matrix products in the row's precision.
        """
        with tf32(work.name["precision"] == "tf32"):
            key = work.name["system"], work.name["what"]
            if key not in self.operations:
                with FlopCounterMode(display=False) as counter:
                    work.counted()
                self.operations[key] = counter.get_total_flops()
            if self.device == "cuda":
                gc.collect()
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            milliseconds = self.median_ms(work.run)
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.device == "cuda" else None
        count = self.operations[key]
        return work.name | {
            "ms": milliseconds,
            "bound_ms": 1000 * count / rate,
            "gflop": count / 1e9,
            "images_per_second": 1000 * work.name["batch"] / milliseconds,
            "peak_gib": peak,
        }
