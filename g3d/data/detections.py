"""Decoding of monocular detection rows into objects in the camera frame.

Source: xinzhuma/monodle and ZrrSkywalker/MonoDETR.

A row has 37 numbers: class, score, centre x y of the 2D box, its width and height, depth in metres, 12 heading bin
logits, 12 residuals, height width length in metres, projected 3D centre x y, depth confidence. Positions and lengths in
the image are in the network's own units (feature pixels, fractions of the image); `to_image` converts them to pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from g3d.data.images.image import affine_from_crop, apply_affine, invert_affine
from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import ray_angle, unproject
from g3d.geometry.heading import heading_angle

COLUMNS: dict[str, Any] = {
    "class": 0,
    "score": 1,
    "center_2d": slice(2, 4),
    "size_2d": slice(4, 6),
    "depth": 6,
    "bins": slice(7, 19),
    "residuals": slice(19, 31),
    "size_3d": slice(31, 34),
    "center_3d": slice(34, 36),
    "confidence": 36,
}


def objects_from_rows(
    rows: np.ndarray,
    camera: np.ndarray,
    to_image: np.ndarray,
    class_names: Sequence[str],
    ray: Literal["center_2d", "center_3d"],
    mean_sizes: np.ndarray | None = None,
) -> CameraBoxes:
    """Return the detections of one image.

    Args:
        rows: (K, 37), predicted from an image without augmentation.
        camera: (3, 4), projection matrix of the original image.
        to_image: (2, 3), the rows' units -> pixels of the original image (`rows_to_image`).
        class_names: class names by class number.
        ray: the point whose viewing ray turns the observation angle into the yaw.
        mean_sizes: (classes, 3) metres, mean sizes by class that are added to the rows' sizes; None adds nothing.

    Returns:
        CameraBoxes in the rows' order. An object's score is the row's score times its depth confidence and may exceed
        1. Boxes are not clipped to the image.
    """
    rows = rows.astype(np.float64)
    column = {name: rows[:, place] for name, place in COLUMNS.items()}
    class_ids = column["class"].astype(np.int64)
    half = column["size_2d"] / 2
    corners = apply_affine(np.stack([column["center_2d"] - half, column["center_2d"] + half], 1), to_image)
    centers = {"center_2d": corners.mean(1), "center_3d": apply_affine(column["center_3d"], to_image)}

    sizes = column["size_3d"] if mean_sizes is None else column["size_3d"] + mean_sizes[class_ids]
    locations = unproject(centers["center_3d"], column["depth"], camera)
    locations[:, 1] += sizes[:, 0] / 2
    alpha = heading_angle(column["bins"], column["residuals"])
    return CameraBoxes(
        classes=np.array(class_names)[class_ids],
        boxes2d=corners.reshape(-1, 4),
        sizes=sizes,
        locations=locations,
        rotation_y=wrap_angle(alpha + ray_angle(centers[ray][:, 0], camera)),
        alpha=alpha,
        truncated=np.zeros(len(rows)),
        occluded=np.zeros(len(rows), np.int64),
        scores=column["score"] * column["confidence"],
    )


def rows_to_image(
    image_size: tuple[int, int], resolution: tuple[int, int], extent: tuple[float, float], exact_inverse: bool
) -> np.ndarray:
    """Return the (2, 3) transform from the network's own units to pixels of the original image.

    Args:
        image_size: width, height of the original image.
        resolution: width, height of the network's input.
        extent: width and height of that input in the rows' units: feature cells, or 1 and 1.
        exact_inverse: invert the warp exactly. If False, scale x and y by image size / extent, as published; for
            KITTI's images, this is off by up to 1.85 pixels in y and by up to 1 % in box height.
    """
    if not exact_inverse:
        return np.diag([*image_size, 0.0])[:2] / np.array([[extent[0]], [extent[1]]])
    back = invert_affine(affine_from_crop(np.array(image_size) / 2, image_size[0], resolution))
    return back * [resolution[0] / extent[0], resolution[1] / extent[1], 1]
