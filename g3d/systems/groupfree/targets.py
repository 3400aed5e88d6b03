"""Training targets of Group-Free 3D: boxes, and the box row of every cloud point.

Source: Liu et al., ICCV 2021; zeliu98/Group-Free-3D, scannet/scannet_detection_dataset.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g3d.data.scannet.detection import DetectionItem
from g3d.nn.scene_box_losses import BoxTargets, box_targets

_UNUSED = 1000.0  # every coordinate of an unused row's centre


@dataclass(frozen=True, eq=False)
class GroupFreeTargets:
    """Targets of one scene with N cloud points, or of B scenes with a leading dimension B.

    Attributes:
        boxes: labelled boxes; the centres of unused rows are far outside of any scene.
        box_rows: (N,) int64, the box row that a point belongs to, -1 for background.
    """

    boxes: BoxTargets
    box_rows: Tensor

    def to(self, device: torch.device | str) -> GroupFreeTargets:
        """Return the targets on a device."""
        return GroupFreeTargets(self.boxes.to(device), self.box_rows.to(device, non_blocking=True))

    @staticmethod
    def stack(scenes: Sequence[GroupFreeTargets]) -> GroupFreeTargets:
        """Return the targets of several scenes with a leading dimension B."""
        return GroupFreeTargets(
            BoxTargets.stack([scene.boxes for scene in scenes]), torch.stack([scene.box_rows for scene in scenes])
        )


def groupfree_targets(item: DetectionItem, mean_sizes: Tensor, rows: int) -> GroupFreeTargets:
    """Return the targets of one scene.

    The published data do not state which box an object has: an object takes the row whose centre is nearest to the
    middle of the object's drawn points. An object without a box therefore takes another object's row.

    Args:
        item: the drawn points with their objects and boxes.
        mean_sizes: (C, 3) float64, metres.
        rows: K, the number of box rows.

    Raises:
        InputError: the scene has more boxes than rows.
    """
    boxes = box_targets(
        torch.from_numpy(item.boxes[:, :3]),
        torch.from_numpy(item.boxes[:, 3:6]),
        torch.from_numpy(item.classes),
        mean_sizes,
        rows,
        unused_center=_UNUSED,
    )
    middles, object_of = item.objects()
    box_rows = np.full(len(item.points), -1, np.int64)
    if len(middles) and len(item.boxes):
        apart = middles[:, None] - item.boxes[None, :, :3]
        nearest = np.square(apart).sum(-1).argmin(1)
        inside = object_of >= 0
        box_rows[inside] = nearest[object_of[inside]]
    return GroupFreeTargets(boxes, torch.from_numpy(box_rows))
