"""Time a training step and a forward pass of the MonoDLE preset beside the published layer graph.

    python tests/benchmarks/monodle_step.py [--threads 2] [--rounds 5] [--batch 2] [--resolution 1280 384] [--json]

The published graph is run from the same weights as plain modules: float32, contiguous tensors, every head at every
cell, values gathered from dense maps, a dense average pool for the quasi-isometric loss, Adam one parameter at a time.
Ours runs as the engine runs it: channels-last, object heads at object cells only, fused Adam, in float32 and in
bfloat16 autocast. The variants take turns in every round, so that whatever else the machine does meets all of them;
ratios are medians over rounds. The bound is the operation count of our graph over the speed of a large matrix product
measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from g3d.data.images.augment import no_augmentation
from g3d.data.types import CameraBoxes
from g3d.nn.cells import gather_cells
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.systems.monodle.config import DataConfig, LossConfig, QuasiIsometricConfig
from g3d.systems.monodle.decode import detection_rows
from g3d.systems.monodle.losses import losses
from g3d.systems.monodle.losses import quasi_isometric_loss as qi_loss
from g3d.systems.monodle.model import MonoDLE, Outputs, find_peaks, values_in_maps
from g3d.systems.monodle.targets import Targets, encode

CONFIG = LossConfig(quasi_isometric=QuasiIsometricConfig())
DETECTIONS = 50


def made_targets(batch: int, resolution: tuple[int, int]) -> Targets:
    """Eight cars an image, at random places of a road."""
    rng = np.random.default_rng(0)
    camera = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.22], [0, 0, 1, 0.0027]])
    encoded = []
    for _ in range(batch):
        z = rng.uniform(8, 50, 8)
        x = rng.uniform(-0.6, 0.6, 8) * z
        u, half = 609.6 + 721.5 * x / z, 721.5 / z
        boxes = np.stack([u - 2 * half, 172.9 + 0.2 * half, u + 2 * half, 172.9 + 1.7 * half], 1)
        zeros = np.zeros(8)
        cars = CameraBoxes(
            np.array(["Car"] * 8),
            boxes,
            np.tile([1.5, 1.6, 3.9], (8, 1)),
            np.stack([x, zeros + 1.7, z], 1),
            zeros,
            zeros,
            zeros,
            zeros.astype(np.int64),
        )
        targets = encode(cars, camera, (1242, 375), no_augmentation((1242, 375)), DataConfig(resolution=resolution))
        depth = torch.zeros(resolution[1], resolution[0])
        depth[resolution[1] // 3 : resolution[1] // 2, resolution[0] // 4 : resolution[0] // 2] = 20
        encoded.append(replace(targets, obj_depth=depth))
    return Targets.stack(encoded)


def published_step(model: MonoDLE, images: torch.Tensor, targets: Targets) -> Callable[[], object]:
    """Forward, all losses, backward and Adam as the published graph computes them."""
    optimizer = torch.optim.Adam(no_decay_on_biases(model, 1e-5), lr=1e-4, foreach=False)
    qi = CONFIG.quasi_isometric
    assert qi is not None

    def step() -> None:
        maps = model.maps(images)
        outputs = Outputs(maps["heatmap"], maps["obj_depth"], maps["features"], values_in_maps(maps, targets.cells))
        total = losses(outputs, targets, CONFIG.model_copy(update={"quasi_isometric": None}))["total"]
        pooled = F.avg_pool2d(maps["features"], qi.pool, 1, qi.pool // 2)
        features = gather_cells(pooled, targets.cells)[targets.mask_3d]
        total = total + qi.weight * qi_loss(features, targets.depth[targets.mask_3d], qi)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


def our_step(
    model: MonoDLE, images: torch.Tensor, targets: Targets, bf16: bool, config: LossConfig = CONFIG
) -> Callable[[], object]:
    optimizer = torch.optim.Adam(no_decay_on_biases(model, 1e-5), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            total = losses(model(images, targets.cells), targets, config)["total"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


def published_forward(model: MonoDLE, image: torch.Tensor) -> Callable[[], object]:
    def forward() -> torch.Tensor:
        with torch.inference_mode():
            maps = model.maps(image)
            peaks = find_peaks(maps["heatmap"], DETECTIONS)
            return detection_rows(peaks, values_in_maps(maps, peaks.cells), maps["heatmap"].shape[-1])

    return forward


def our_forward(model: MonoDLE, image: torch.Tensor, bf16: bool) -> Callable[[], object]:
    def forward() -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(image.device.type, torch.bfloat16, enabled=bf16):
            return detection_rows(*model.detect(image, DETECTIONS), image.shape[-1] // 4)

    return forward


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def operations(run: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions in one run."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def gemm_speed(dtype: torch.dtype, size: int = 2048) -> float:
    """Operations per second of a large square matrix product, best of five."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    a @ b
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--resolution", type=int, nargs=2, default=(1280, 384), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    width, height = options.resolution
    images, targets = torch.randn(options.batch, 3, height, width), made_targets(options.batch, (width, height))
    ours_images = images.contiguous(memory_format=torch.channels_last)

    def build() -> MonoDLE:
        torch.manual_seed(0)
        return MonoDLE(object_depth=True)

    def ours() -> MonoDLE:
        return build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    steps = {
        "published": published_step(build().train(), images, targets),
        "fp32": our_step(ours().train(), ours_images, targets, False),
        "bf16": our_step(ours().train(), ours_images, targets, True),
    }
    still, ours_still = build().eval(), ours().eval()
    forwards = {
        "published": published_forward(still, images[:1]),
        "fp32": our_forward(ours_still, ours_images[:1], False),
        "bf16": our_forward(ours_still, ours_images[:1], True),
    }
    speed = {"fp32": gemm_speed(torch.float32), "bf16": gemm_speed(torch.bfloat16)}
    report: dict[str, dict[str, float]] = {}
    for what, runs in (("training step", steps), ("forward", forwards)):
        work = operations(runs["fp32"])
        seconds = interleaved(runs, options.rounds)
        for name, times in seconds.items():
            ratio = statistics.median(p / t for p, t in zip(seconds["published"], times, strict=True))
            bound = operations(runs["published"]) / speed["fp32"] if name == "published" else work / speed[name]
            report[f"{what}, {name}"] = {
                "seconds": statistics.median(times),
                "best": min(times),
                "bound": bound,
                "times_faster": ratio,
                "times_faster_best": min(seconds["published"]) / min(times),
            }
    if options.json:
        print(json.dumps(report | {"gemm": {name: value / 1e9 for name, value in speed.items()}}, indent=1))
        return
    print(
        f"{width}x{height}, {options.threads} threads; training at batch {options.batch}, forward (with "
        f"decoding to rows) at batch 1"
    )
    print(f"matrix products: {speed['fp32'] / 1e9:.0f} GFLOP/s float32, {speed['bf16'] / 1e9:.0f} GFLOP/s bfloat16")
    print(f"{'':<28}{'median s':>10}{'best s':>10}{'bound s':>10}{'times faster: median':>23}{'of bests':>10}")
    for name, row in report.items():
        print(
            f"{name:<28}{row['seconds']:>10.3f}{row['best']:>10.3f}{row['bound']:>10.3f}{row['times_faster']:>23.2f}{row['times_faster_best']:>10.2f}"
        )


if __name__ == "__main__":
    main()
