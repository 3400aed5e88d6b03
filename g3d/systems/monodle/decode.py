"""Network outputs -> objects in the camera frame, as xinzhuma/monodle decodes them.

A detection row has 37 numbers: class, peak score, centre x y of the 2D box, its width and height (all feature pixels), depth in metres, 12
heading bin logits, 12 residuals, height width length in metres, projected 3D centre x y (feature pixels), depth confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.image import affine_from_crop, apply_affine, invert_affine
from g3d.data.types import Objects
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import ray_angle, unproject
from g3d.geometry.heading import heading_angle
from g3d.nn.dla import STRIDE
from g3d.nn.object_losses import depth_from_raw
from g3d.systems.monodle.config import CLASS_NAMES
from g3d.systems.monodle.model import ObjectValues, Peaks

_COLUMNS: dict[str, Any] = {"class": 0, "score": 1, "center_2d": slice(2, 4), "size_2d": slice(4, 6), "depth": 6, "bins": slice(7, 19),
            "residuals": slice(19, 31), "size_3d": slice(31, 34), "center_3d": slice(34, 36), "confidence": 36}  # fmt: skip


def detection_rows(peaks: Peaks, values: ObjectValues, width: int) -> Tensor:
    """Peaks and the object heads at their cells -> (B, K, 37) float32, best first.

    Args:
        peaks: of the heatmap.
        values: (B, K, channels) each.
        width: cells in a row of the feature map.
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


def objects_from_rows(rows: np.ndarray, camera: np.ndarray, image_size: tuple[int, int], resolution: tuple[int, int],
                      threshold: float = 0.2, exact_inverse: bool = False, mean_sizes: np.ndarray | None = None) -> Objects:  # fmt: skip
    """The detections of one image.

    Args:
        rows: (K, 37) of `detection_rows`, from an image without augmentation.
        camera: (3, 4), of the original image.
        image_size: width, height of the original image.
        resolution: width, height of the network's input.
        threshold: smallest peak score.
        exact_inverse: invert the warp exactly. False scales x and y by image size / feature size, as published, which is off in y by up to
            1.85 pixels and in box height by up to 1 %.
        mean_sizes: (3, 3) class means that the network's sizes are relative to.

    Returns:
        Objects in the rows' order. The score is peak score times depth confidence and may exceed 1; boxes are not clipped to the image.
    """
    rows = rows[rows[:, _COLUMNS["score"]] >= threshold].astype(np.float64)
    column = {name: rows[:, place] for name, place in _COLUMNS.items()}
    class_ids = column["class"].astype(np.int64)
    corners = np.stack([column["center_2d"] - column["size_2d"] / 2, column["center_2d"] + column["size_2d"] / 2], 1)
    to_image = _to_image(image_size, resolution, exact_inverse)
    corners, centers = apply_affine(corners, to_image), apply_affine(column["center_3d"], to_image)

    sizes = column["size_3d"] if mean_sizes is None else column["size_3d"] + mean_sizes[class_ids]
    locations = unproject(centers, column["depth"], camera)
    locations[:, 1] += sizes[:, 0] / 2
    alpha = heading_angle(column["bins"], column["residuals"])
    return Objects(
        classes=np.array(CLASS_NAMES)[class_ids],
        boxes2d=corners.reshape(-1, 4),
        sizes=sizes,
        locations=locations,
        rotation_y=wrap_angle(alpha + ray_angle(centers[:, 0], camera)),
        alpha=alpha,
        truncated=np.zeros(len(rows)),
        occluded=np.zeros(len(rows), np.int64),
        scores=column["score"] * column["confidence"],
    )


def decode(peaks: Peaks, values: ObjectValues, cameras: Sequence[np.ndarray], image_sizes: Sequence[tuple[int, int]],
           resolution: tuple[int, int], threshold: float = 0.2, exact_inverse: bool = False,
           mean_sizes: np.ndarray | None = None) -> list[Objects]:  # fmt: skip
    """The detections of a batch: what `MonoDLE.detect` returns -> one Objects per image. Arguments as in `objects_from_rows`."""
    rows = detection_rows(peaks, values, resolution[0] // STRIDE).cpu().numpy()
    return [
        objects_from_rows(found, camera, size, resolution, threshold, exact_inverse, mean_sizes)
        for found, camera, size in zip(rows, cameras, image_sizes, strict=True)
    ]


def _to_image(image_size: tuple[int, int], resolution: tuple[int, int], exact_inverse: bool) -> np.ndarray:
    """(2, 3), feature pixels -> pixels of the original image."""
    if not exact_inverse:
        return np.diag([*image_size, 0.0])[:2] / np.array([[resolution[0] / STRIDE], [resolution[1] / STRIDE]])
    back = invert_affine(affine_from_crop(np.array(image_size) / 2, image_size[0], resolution))
    return back * [STRIDE, STRIDE, 1]
