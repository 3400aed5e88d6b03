"""Frames for the tests of g3d.visualize: plain grey images and boxes whose pixels can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from g3d.data.answers import CameraBoxes
from g3d.visualize.image_item import ImageItem
from g3d.visualize.image_page import write_image_page
from g3d.visualize.page import PageTexts

SIZE = (400, 200)
CAMERA = np.array([[200.0, 0, 200, 0], [0, 200, 100, 0], [0, 0, 1, 0]])
GREY = (90, 90, 90)


def objects(
    *rows: tuple[str, float | None, tuple[float, float, float], float], size: tuple[float, float, float] = (2, 2, 4)
) -> CameraBoxes:
    """boxes from (class, score or None, location, rotation_y)."""
    count = len(rows)
    scores = [score for _, score, _, _ in rows]
    return CameraBoxes(
        classes=np.array([name for name, _, _, _ in rows], dtype="<U16"),
        boxes2d=np.tile([10.0, 20, 110, 90], (count, 1)),
        sizes=np.tile(np.array(size, float), (count, 1)),
        locations=np.array([location for _, _, location, _ in rows], float).reshape(-1, 3),
        rotation_y=np.array([yaw for *_, yaw in rows], float),
        alpha=np.zeros(count),
        truncated=np.full(count, -1.0),
        occluded=np.full(count, -1),
        scores=None if scores and scores[0] is None else np.array(scores, float),
    )


def frame(
    folder: Path,
    predictions: CameraBoxes,
    truth: CameraBoxes | None = None,
    name: str = "000001",
    expression: str | None = None,
) -> ImageItem:
    """Return a grey image with boxes; its file is written to `folder`."""
    path = folder / f"{name}.png"
    Image.new("RGB", SIZE, GREY).save(path)
    return ImageItem(name, path, CAMERA, SIZE, predictions, truth, expression)


def write_page(
    path: Path,
    items: Sequence[ImageItem],
    title: str,
    max_width: int = 1280,
    max_megabytes: float = 32.0,
    **texts: Any,
) -> Path:
    """Write the page of some images; `texts` are fields of PageTexts."""
    return write_image_page(path, items, PageTexts(title, **texts), max_width=max_width, max_megabytes=max_megabytes)
