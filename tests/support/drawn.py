"""A drawn KITTI folder and a micro network: what tests of the machinery train on, in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.kitti.raw import format_labels
from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import box_corners
from g3d.geometry.cameras import project

MICRO = (
    "data.resolution=[96, 64]",
    "model.channels=[4, 4, 8, 8, 16, 16]",
    "model.head_channels=8",
    "train.batch=4",
    "train.epochs=2",
    "train.log_steps=1",
    "optim.warmup_epochs=0",
    "optim.decay_epochs=[]",
)
CAMERA = np.array([[100.0, 0, 48, 3.0], [0, 100, 30, 0.2], [0, 0, 1, 0.002]])


def draw_kitti(root: Path, train: int, val: int) -> Path:
    """Write frames whose cars are filled rectangles: enough for training to have something to learn."""
    rng = np.random.default_rng(1)
    part = root / "training"
    for name in ("image_2", "label_2", "calib"):
        (part / name).mkdir(parents=True)
    for index in range(train + val):
        pixels = rng.integers(90, 110, (64, 96, 3), dtype=np.uint8)
        cars = _cars(rng, int(rng.integers(1, 3)))
        for (x1, y1, x2, y2), z in zip(cars.boxes2d.round().astype(int), cars.locations[:, 2], strict=True):
            pixels[max(y1, 0) : y2, max(x1, 0) : x2] = (200, int(255 - 8 * z), 30)
        Image.fromarray(pixels).save(part / "image_2" / f"{index:06d}.png")
        (part / "label_2" / f"{index:06d}.txt").write_text(format_labels(cars))
        (part / "calib" / f"{index:06d}.txt").write_text(
            "".join(f"P{k}: {' '.join(map(str, CAMERA.ravel()))}\n" for k in range(4)) + "\n"
        )
    (root / "ImageSets").mkdir()
    ids = [f"{index:06d}" for index in range(train + val)]
    for name, members in (("train", ids[:train]), ("val", ids[train:]), ("trainval", ids)):
        (root / "ImageSets" / f"{name}.txt").write_text("\n".join(members))
    return root


def _cars(rng: np.random.Generator, count: int) -> CameraBoxes:
    locations = np.column_stack(
        [np.linspace(-1.5, 2, count) + rng.uniform(-0.3, 0.3, count), np.full(count, 1.6), rng.uniform(5, 9, count)]
    )
    sizes = np.tile([1.6, 1.7, 4.0], (count, 1))
    yaw = rng.uniform(-3, 3, count)
    corners = project(box_corners(locations, sizes, yaw), CAMERA)
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1).clip(0, [96, 64, 96, 64])
    alpha = yaw - np.arctan2(locations[:, 0], locations[:, 2])
    zeros = np.zeros(count)
    return CameraBoxes(np.array(["Car"] * count), boxes, sizes, locations, yaw, alpha, zeros, zeros.astype(np.int64))


def micro(*settings: str) -> list[str]:
    """`--set` arguments of the micro network, then others."""
    return [part for setting in (*MICRO, *settings) for part in ("--set", setting)]
