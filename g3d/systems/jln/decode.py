"""Network outputs -> one object per sentence, in the camera frame: rows of g3d.data.detections in shares of the image.

Source: ZhanYang-nwpu/Mono3DVG.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from g3d.data.detections import objects_from_rows, rows_to_image
from g3d.data.types import Objects
from g3d.systems.jln.config import CLASS_NAMES
from g3d.systems.jln.losses import box_corners_2d
from g3d.systems.jln.model import Outputs


def detection_rows(outputs: Outputs) -> Tensor:
    """The best query and class of each sample -> (B, 37) float32 as in g3d.data.detections, places and lengths 0..1 of
    the image."""
    scores, best = outputs.logits.float().sigmoid().flatten(1).max(1)
    query, classes = best // outputs.logits.shape[2], best % outputs.logits.shape[2]
    rows = torch.arange(len(query), device=query.device)
    box, size, depth, angle = (
        values[rows, query].float() for values in (outputs.boxes, outputs.sizes, outputs.depth, outputs.angle)
    )
    corners = box_corners_2d(box)
    least, most = corners[:, :2], corners[:, 2:]
    first = torch.stack([classes.float(), scores], 1)
    return torch.cat(
        [first, (least + most) / 2, most - least, depth[:, :1], angle, size, box[:, :2], torch.exp(-depth[:, 1:])], 1
    )


def decode(
    outputs: Outputs,
    cameras: Sequence[np.ndarray],
    image_sizes: Sequence[tuple[int, int]],
    resolution: tuple[int, int],
    exact_inverse: bool,
) -> list[Objects]:
    """The object of each sentence.

    Args:
        outputs: of B samples without augmentation.
        cameras: (3, 4) each, of the original images.
        image_sizes: width, height of the original images.
        resolution: width, height of the network's input.
        exact_inverse: invert the warp to the network's input exactly, or scale x and y as published, which is off in y
            by up to 1.2 pixels.

    Returns:
        B Objects of one object each, in the data set's classes. The score is class score times exp(-log variance) of
        the depth and may exceed 1; boxes are not clipped to the image.
    """
    rows = detection_rows(outputs).cpu().numpy()
    return [
        objects_from_rows(
            row[None], camera, rows_to_image(size, resolution, (1, 1), exact_inverse), CLASS_NAMES, "center_2d"
        )
        for row, camera, size in zip(rows, cameras, image_sizes, strict=True)
    ]
