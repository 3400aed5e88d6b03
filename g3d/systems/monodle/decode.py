"""Decoding of network outputs into objects in the camera frame, as in xinzhuma/monodle.

The intermediate rows are those of g3d.data.detections, in feature pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from g3d.data import detections
from g3d.data.detections import COLUMNS, rows_to_image
from g3d.data.types import CameraBoxes
from g3d.nn.dla import STRIDE
from g3d.nn.object_losses import depth_from_raw
from g3d.systems.monodle.config import CLASS_NAMES
from g3d.systems.monodle.model import ObjectValues, Peaks


def detection_rows(peaks: Peaks, values: ObjectValues, width: int) -> Tensor:
    """Return detection rows (B, K, 37) float32, best first, from peaks and the object heads at their cells.

    Args:
        peaks: the heatmap's peaks.
        values: (B, K, channels) each.
        width: number of cells in a row of the feature map.
    """
    corner = torch.stack([peaks.cells % width, peaks.cells // width], -1)
    columns = [
        torch.stack([peaks.classes, peaks.scores], -1),
        corner + values.offset_2d,
        values.size_2d,
        depth_from_raw(values.depth[..., :1]),
        values.heading,
        values.size_3d,
        corner + values.offset_3d,
        torch.exp(-values.depth[..., 1:]),
    ]
    return torch.cat([column.float() for column in columns], -1)


def objects_from_rows(
    rows: np.ndarray,
    camera: np.ndarray,
    image_size: tuple[int, int],
    resolution: tuple[int, int],
    threshold: float = 0.2,
    exact_inverse: bool = False,
    mean_sizes: np.ndarray | None = None,
) -> CameraBoxes:
    """Return the detections of one image.

    Args:
        rows: (K, 37) of `detection_rows`, from an image without augmentation.
        camera: (3, 4), of the original image.
        image_size: width, height of the original image.
        resolution: width, height of the network's input.
        threshold: smallest peak score.
        exact_inverse: invert the warp exactly; otherwise scale x and y as published (`rows_to_image`).
        mean_sizes: (3, 3) metres, class means that the network's sizes are relative to.

    Returns:
        CameraBoxes in the rows' order. The score is the peak score times the depth confidence and may exceed 1; boxes
        are not clipped to the image.
    """
    rows = rows[rows[:, COLUMNS["score"]] >= threshold]
    to_image = rows_to_image(image_size, resolution, (resolution[0] / STRIDE, resolution[1] / STRIDE), exact_inverse)
    return detections.objects_from_rows(rows, camera, to_image, CLASS_NAMES, "center_3d", mean_sizes)


def decode(
    peaks: Peaks,
    values: ObjectValues,
    cameras: Sequence[np.ndarray],
    image_sizes: Sequence[tuple[int, int]],
    resolution: tuple[int, int],
    threshold: float = 0.2,
    exact_inverse: bool = False,
    mean_sizes: np.ndarray | None = None,
) -> list[CameraBoxes]:
    """Return the detections of a batch, one CameraBoxes per image, from the results of `MonoDLE.detect`.

    The other arguments are those of `objects_from_rows`.
    """
    rows = detection_rows(peaks, values, resolution[0] // STRIDE).cpu().numpy()
    return [
        objects_from_rows(found, camera, size, resolution, threshold, exact_inverse, mean_sizes)
        for found, camera, size in zip(rows, cameras, image_sizes, strict=True)
    ]
