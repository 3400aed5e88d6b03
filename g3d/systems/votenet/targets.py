"""Training targets of VoteNet: boxes, and the vote of every cloud point.

Source: Qi et al., ICCV 2019; facebookresearch/votenet, scannet/scannet_detection_dataset.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.data.scannet.detection import DetectionItem
from g3d.nn.scene_box_losses import BoxTargets, box_targets

VOTES = 3
"""Vote targets of a point, as published: a point of several overlapping boxes has several. ScanNet's are all equal."""


@dataclass(frozen=True, eq=False)
class VoteTargets:
    """Targets of one scene with N cloud points, or of B scenes with a leading dimension B.

    Attributes:
        boxes: labelled boxes; the centres of unused rows are 0.
        offsets: (N, VOTES, 3) float32, from the point to the middle of its object, metres; 0 outside objects.
        on_object: (N,) bool.
    """

    boxes: BoxTargets
    offsets: Tensor
    on_object: Tensor

    def to(self, device: torch.device | str) -> VoteTargets:
        """Return the targets on a device."""
        return VoteTargets(
            self.boxes.to(device),
            self.offsets.to(device, non_blocking=True),
            self.on_object.to(device, non_blocking=True),
        )

    @staticmethod
    def stack(scenes: Sequence[VoteTargets]) -> VoteTargets:
        """Return the targets of several scenes with a leading dimension B."""
        return VoteTargets(
            BoxTargets.stack([scene.boxes for scene in scenes]),
            torch.stack([scene.offsets for scene in scenes]),
            torch.stack([scene.on_object for scene in scenes]),
        )


def vote_targets(item: DetectionItem, mean_sizes: Tensor, rows: int) -> VoteTargets:
    """Return the targets of one scene.

    A point votes for the middle of the bounding box of its object's drawn points, not for the annotated box centre. An
    object without a box votes as well.

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
        unused_center=0.0,
    )
    middles, object_of = item.objects()
    on_object = torch.from_numpy(object_of >= 0)
    offsets = torch.zeros(len(item.points), 3)
    chosen = on_object.numpy()
    offsets[on_object] = torch.from_numpy(middles[object_of[chosen]] - item.points[chosen, :3])
    return VoteTargets(boxes, offsets[:, None].repeat(1, VOTES, 1), on_object)
