"""Made items of 3D detection."""

from __future__ import annotations

import numpy as np
import torch

from g3d.data.answers import SceneBoxes
from g3d.data.scannet.detection import DETECTION18, DetectionItem
from g3d.data.scannet.labels import DETECTION18_NAMES
from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.metrics.detection3d import detection_table
from g3d.nn.box_proposals import DetectionSettings, decode_proposals, detections, kept_proposals
from g3d.nn.scene_box_losses import BoxPrediction

CHAIR, UNKNOWN = 5, 22
"""nyu40 ids; the second is no detection class."""

TWO_CHAIRS = DetectionItem(
    points=np.array([[0.5, -1, 0], [1.5, 1, 1], [1, 0, 0.2], [4, 4, 4], [6, 6, 6], [9, 9, 0], [8, 9, 0]], np.float32),
    instances=np.array([7, 7, 7, 3, 3, 0, 0]),
    nyu40=np.array([CHAIR] * 5 + [0, 0]),
    boxes=np.array([[1.1, 0, 0.5, 1, 2, 1]]),
    classes=np.array([2]),
    ids=np.array([6]),
    kept=DETECTION18.nyu40,
)
"""Two chairs, of which one has a box, and two points without an object."""


def furnished(points: int = 60, seed: int = 0) -> DetectionItem:
    """Return five objects of different classes, 2 m apart, each with that many points in its box, and some floor."""
    random = np.random.default_rng(seed)
    classes = np.array([1, 2, 4, 10, 17])
    sizes = DETECTION_MEAN_SIZES[classes] * random.uniform(0.8, 1.2, (5, 3))
    centers = np.column_stack([2.5 * np.arange(5) + 1, np.full(5, -2.0), sizes[:, 2] / 2])
    inside = [c + s * random.uniform(-0.5, 0.5, (points, 3)) for c, s in zip(centers, sizes, strict=True)]
    floor = random.uniform(0, 12, (points, 3)) * [1, 0.1, 0] + [0, 2, 0]
    owners = np.repeat(np.arange(6), points)
    nyu40 = np.array([*np.array(DETECTION18.nyu40)[classes], 2])[owners]
    places = np.concatenate([*inside, floor]).astype(np.float32)
    boxes = np.hstack([centers, sizes])
    return DetectionItem(places, owners + 1, nyu40, boxes, classes, np.arange(5), DETECTION18.nyu40)


def free_head(proposals: int, objectness: int, centers: torch.Tensor) -> BoxPrediction:
    """Return the outputs of a head for one scene as free parameters that know nothing yet."""

    def zeros(*last: int) -> torch.Tensor:
        return torch.zeros(1, proposals, *last, requires_grad=True)

    return BoxPrediction(
        zeros(objectness),
        centers.clone().requires_grad_(),
        zeros(1),
        zeros(1),
        zeros(18),
        zeros(18, 3),
        zeros(18),
    )


def mean_precision(head: BoxPrediction, item: DetectionItem) -> float:
    """Return mAP@0.5 in percent of a head's detections in one scene."""
    settings = DetectionSettings()
    (found,) = decode_proposals(
        BoxPrediction(*(value.detach() for value in vars(head).values())), torch.from_numpy(DETECTION_MEAN_SIZES)
    )
    kept = kept_proposals(found, torch.from_numpy(item.points), settings)
    names = np.array(DETECTION18_NAMES, np.str_)
    truth = SceneBoxes(names[item.classes], item.boxes[:, :3], item.boxes[:, 3:])
    detected = detections(found, kept, DETECTION18_NAMES, settings)
    return detection_table({"a": detected}, {"a": truth}, DETECTION18_NAMES).metrics["mAP50"]
