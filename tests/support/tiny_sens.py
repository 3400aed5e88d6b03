"""A small .sens stream that tests write, read and damage."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from g3d.data.scannet.sens import SensFrame, SensHeader, write_sens

COLOUR_SIZE, DEPTH_SIZE = (48, 36), (40, 30)
CAMERA = np.array([[36, 0, 19.5, 0], [0, 36, 14.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
HEADER = SensHeader(4, "tiny", CAMERA, np.eye(4), CAMERA, np.eye(4), "jpeg", "zlib", COLOUR_SIZE, DEPTH_SIZE, 1000.0, 0)
LOST = np.full((4, 4), -np.inf, np.float32)


def depth_of(number: int) -> np.ndarray:
    """(30, 40) uint16 millimetres: a slope, with a hole."""
    rows, columns = np.mgrid[:30, :40]
    depth = (1000 + 10 * rows + 3 * columns + 7 * number).astype(np.uint16)
    depth[2, 3] = 0
    return depth


def pose_of(number: int) -> np.ndarray:
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 3] = (number / 3, 1e-7 + number, 1 / 7)
    return pose


def picture(number: int, form: str = "JPEG") -> bytes:
    pixels = np.full((COLOUR_SIZE[1], COLOUR_SIZE[0], 3), (20 * number, 100, 200), np.uint8)
    if form == "raw":
        return pixels.tobytes()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def frame(number: int, **changes: Any) -> SensFrame:
    depth = zlib.compress(depth_of(number).tobytes())
    return replace(SensFrame(pose_of(number), picture(number), depth, 33 * number, 33 * number + 1), **changes)


def write_tiny(path: Path, frames: int = 5, lost: tuple[int, ...] = (), imu: bytes = b"", **header: Any) -> Path:
    """A stream of `frames` frames, some of them without a pose; keywords change the header."""
    made = (frame(i, **({"pose": LOST} if i in lost else {})) for i in range(frames))
    write_sens(path, replace(HEADER, **header), made, imu)
    return path
