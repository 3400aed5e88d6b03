"""From the heads of a scene detector to one prediction for each scene of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from g3d.data.scannet.detection_config import DecodeConfig
from g3d.data.scannet.detection_samples import SceneBatch
from g3d.data.scannet.labels import DETECTION18_NAMES
from g3d.data.types import Prediction
from g3d.nn.box_proposals import (
    DetectionSettings,
    Proposals,
    decode_proposals,
    detections,
    joined_proposals,
    kept_proposals,
)
from g3d.nn.scene_box_losses import BoxPrediction

DecodeT = TypeVar("DecodeT", bound=DecodeConfig)


def joined_heads(heads: Sequence[BoxPrediction], mean_sizes: Tensor) -> list[Proposals]:
    """Return the proposals of several heads together, for each of B scenes.

    Args:
        heads: outputs for B scenes.
        mean_sizes: (C, 3) metres.
    """
    return joined_proposals([decode_proposals(head, mean_sizes) for head in heads])


def scene_predictions(found: Sequence[Proposals], batch: SceneBatch, settings: DecodeConfig) -> list[Prediction]:
    """Return the detections of ScanNet's 18 classes, one prediction for each scene.

    Args:
        found: the proposals of each scene.
        batch: the scenes; boxes with few of their points are dropped.
        settings: how proposals become detections.
    """
    bounds = DetectionSettings(settings.min_points, settings.nms_iou, settings.min_objectness, settings.per_class)
    predictions = []
    for sample, source, points, proposals in zip(batch.ids, batch.sources, batch.points, found, strict=True):
        kept = kept_proposals(proposals, points[:, :3], bounds)
        predictions.append(Prediction(sample, source, (detections(proposals, kept, DETECTION18_NAMES, bounds),)))
    return predictions


def one_box_each(settings: DecodeT) -> DecodeT:
    """Return the settings by which a user's scene is answered: one detection for each box, of its best class."""
    return settings.model_copy(update={"per_class": False, "min_objectness": settings.infer_objectness})
