"""Targets of VoteNet and Group-Free 3D from an annotated scene and the chosen points."""

from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.detection import DETECTION18, DetectionScene, draw_item
from g3d.systems.groupfree.targets import groupfree_targets
from g3d.systems.votenet.targets import vote_targets
from parity.describe import DescriptionError


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    settings = case["settings"]
    if tuple(settings["nyu40_ids"]) != DETECTION18.nyu40:
        raise DescriptionError(f"settings.nyu40_ids: {settings['nyu40_ids']}, expected {DETECTION18.nyu40}")
    for name in ("use_color", "augment"):
        if settings[name]:
            raise DescriptionError(f"settings.{name}: true, which the published code draws otherwise or stops at")
    vertices, boxes = arrays["in.mesh_vertices"], arrays["in.instance_bboxes"]
    scene = DetectionScene(
        "made",
        vertices[:, :3],
        vertices[:, 3:].astype(np.uint8),
        arrays["in.instance_labels"].astype(np.int64),
        arrays["in.semantic_labels"].astype(np.int64),
        boxes[:, :6],
        boxes[:, 6].astype(np.int64),
        np.full(len(boxes), -1),
    )
    item = draw_item(scene, arrays["in.choices"], height=settings["use_height"])
    means = torch.from_numpy(arrays["in.mean_size_arr"])
    votes = vote_targets(item, means, settings["max_boxes"])
    groups = groupfree_targets(item, means, settings["max_boxes"])
    shared = votes.boxes
    return {
        "point_clouds": item.points,
        "center_label": shared.centers.numpy(),
        "heading_class_label": shared.heading_bins.numpy(),
        "heading_residual_label": shared.heading_residuals.numpy(),
        "size_class_label": shared.classes.numpy(),
        "size_residual_label": shared.size_residuals.numpy(),
        "sem_cls_label": shared.classes.numpy(),
        "box_label_mask": shared.used.float().numpy(),
        "vote_label": votes.offsets.flatten(1).numpy(),
        "vote_label_mask": votes.on_object.long().numpy(),
        "gf_center_label": groups.boxes.centers.numpy(),
        "gf_size_gts": groups.boxes.sizes.numpy(),
        "gf_point_obj_mask": (groups.box_rows >= 0).long().numpy(),
        "gf_point_instance_label": groups.box_rows.numpy(),
    }
