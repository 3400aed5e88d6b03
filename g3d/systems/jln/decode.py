"""Decoding of network outputs into one object per sentence, in the camera frame.

The intermediate rows are those of g3d.data.detections, with positions and lengths as fractions of the image size.
Source: ZhanYang-nwpu/Mono3DVG.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from g3d.data.detections import objects_from_rows, rows_to_image
from g3d.data.types import CameraBoxes
from g3d.systems.jln.config import CLASS_NAMES
from g3d.systems.jln.losses import box_corners_2d
from g3d.systems.jln.model import Outputs


def detection_rows(outputs: Outputs) -> Tensor:
    """Return rows of g3d.data.detections, (B, 37) float32, for the best query and class of each sample.

    Positions and lengths in the image are 0..1.
    """
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
) -> list[CameraBoxes]:
    """Return the object of each sentence.

    Args:
        outputs: outputs of B samples without augmentation.
        cameras: (3, 4) each, of the original images.
        image_sizes: width, height of the original images.
        resolution: width, height of the network's input.
        exact_inverse: invert the warp to the network's input exactly; otherwise scale x and y as published, which is
            off by up to 1.2 pixels in y.

    Returns:
        B CameraBoxes with one object each, in the data set's classes. The score is the class score times exp(-log
        variance) of the depth and may exceed 1; boxes are not clipped to the image.
    """
    rows = detection_rows(outputs).cpu().numpy()
    return [
        objects_from_rows(
            row[None], camera, rows_to_image(size, resolution, (1, 1), exact_inverse), CLASS_NAMES, "center_2d"
        )
        for row, camera, size in zip(rows, cameras, image_sizes, strict=True)
    ]
