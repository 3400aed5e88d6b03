"""Suppression, detections and average precision of both detectors, in the runs that the case's settings name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from g3d.data.answers import SceneBoxes
from g3d.metrics.detection3d import class_figures
from g3d.nn.box_proposals import DetectionSettings, decode_proposals, detections, kept_proposals, points_inside
from g3d.nn.scene_box_losses import BoxPrediction
from parity.describe import DescriptionError
from parity.kinds.ws3dvg_heads import tensors


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    settings, given = case["settings"], tensors(arrays)
    names = [f"class {k}" for k in range(settings["classes"])]
    truth = true_boxes(given, names)
    found: dict[str, np.ndarray] = {}
    for prefix, stated in ((key, value) for key, value in settings.items() if isinstance(value, dict)):
        head, how = head_of(given, stated), settings_of(stated)
        kept_of, detected = [], {}
        for scene, proposals in enumerate(decode_proposals(head, given["mean_size_arr"])):
            kept = kept_proposals(proposals, given["point_clouds"][scene], how)
            mask = np.zeros(len(proposals.objectness), np.int64)
            mask[kept.numpy()] = 1
            kept_of.append(mask)
            detected[f"scene {scene}"] = detections(proposals, kept, names, how)
            if how.min_points:
                counts = points_inside(proposals.centers, proposals.sizes.abs(), given["point_clouds"][scene])
                filled = (counts >= how.min_points).long().numpy()[None]
                before = found.get(f"{prefix}_nonempty", filled[:0])
                found[f"{prefix}_nonempty"] = np.concatenate([before, filled])
        figures = [class_figures(detected, truth, name, settings["thresholds"]) for name in names]
        ap, recall = (np.array([[getattr(f, n) for f in row] for row in figures]).T for n in ("ap", "recall"))
        found |= {
            f"{prefix}_kept": np.stack(kept_of),
            f"{prefix}_num_detections": np.array([len(boxes) for boxes in detected.values()]),
            f"{prefix}_ap": ap,
            f"{prefix}_recall": recall,
            f"{prefix}_mAP": ap.mean(1),
            f"{prefix}_AR": recall.mean(1),
        }
    return found


def true_boxes(given: dict[str, torch.Tensor], names: list[str]) -> dict[str, SceneBoxes]:
    """Return the true boxes of the scenes, rows of `box_label_mask` only."""
    sizes = given["mean_size_arr"][given["size_class_label"]] + given["size_residual_label"]
    truth = {}
    for scene, used in enumerate(given["box_label_mask"].bool()):
        classes = np.array(names, np.str_)[given["sem_cls_label"][scene][used].numpy()]
        truth[f"scene {scene}"] = SceneBoxes(
            classes, given["center_label"][scene][used].double().numpy(), sizes[scene][used].double().numpy()
        )
    return truth


def head_of(given: dict[str, torch.Tensor], stated: dict) -> BoxPrediction:
    """Return the outputs of a run; the case has size residuals in metres."""
    objectness = {"softmax of 2": "objectness_scores", "sigmoid": "objectness_logits"}.get(stated["objectness"])
    if objectness is None:
        raise DescriptionError(f"objectness: {stated['objectness']!r} is not understood")
    return BoxPrediction(
        given[objectness],
        given["center"],
        given["heading_scores"],
        given["heading_residuals"],
        given["size_scores"],
        given["size_residuals"].double() / given["mean_size_arr"][:, :],
        given["sem_cls_scores"],
    )


def settings_of(stated: dict) -> DetectionSettings:
    """Return the settings of a run.

    Raises:
        DescriptionError: the run has a setting that g3d does not offer.
    """
    for name, value in (("use_3d_nms", True), ("cls_nms", True), ("use_old_type_nms", False)):
        if stated[name] is not value:
            raise DescriptionError(f"{name}: {stated[name]}, expected {value}")
    settings = DetectionSettings(
        nms_iou=stated["nms_iou"], min_objectness=stated["conf_thresh"], per_class=stated["per_class_proposal"]
    )
    return settings if stated["remove_empty_box"] else replace(settings, min_points=0)
