"""Group-Free 3D's loss terms, labels and gradients from network outputs and targets."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from g3d.nn.scene_box_losses import BoxPrediction
from g3d.systems.groupfree import losses as groupfree
from g3d.systems.groupfree.config import LossConfig
from g3d.systems.groupfree.targets import GroupFreeTargets
from parity.check import Check
from parity.describe import DescriptionError
from parity.kinds.ws3dvg_heads import box_targets_of, heads_of, optional_gradients, tensors

SUMS = {
    "loss": "total",
    "query_points_generation_loss": "sampling",
    "sum_heads_objectness_loss": "objectness",
    "sum_heads_box_loss": "box",
    "sum_heads_sem_cls_loss": "semantic_class",
}
OF_HEADS = {
    "objectness_loss": "objectness",
    "center_loss": "center",
    "heading_cls_loss": "heading_class",
    "heading_reg_loss": "heading_residual",
    "size_cls_loss": "size_class",
    "size_reg_loss": "size_residual",
    "box_loss": "box",
    "sem_cls_loss": "semantic_class",
}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    settings, given = settings_of(case["settings"]), tensors(arrays)
    stacked, leaves = heads_of(given)
    count = len(given["objectness_scores"])
    if len(case["settings"]["heads"]) != count:
        raise DescriptionError(f"settings.heads: {case['settings']['heads']}, found {count} stacked heads")
    heads = tuple(
        BoxPrediction(**{field.name: getattr(stacked, field.name)[k] for field in fields(BoxPrediction)})
        for k in range(count)
    )
    leaves["seeds_obj_cls_logits"] = given["seeds_obj_cls_logits"].requires_grad_()
    rows = given["point_instance_label"]
    if not torch.equal(rows >= 0, given["point_obj_mask"].bool()):
        raise DescriptionError("point_obj_mask: expected 1 exactly where point_instance_label is no background")
    targets = GroupFreeTargets(box_targets_of(given, given["mean_size_arr"]), rows)
    outputs = groupfree.LossInputs(
        given["seed_xyz"],
        given["seed_inds"],
        leaves["seeds_obj_cls_logits"][:, 0],
        given["query_points_sample_inds"],
        heads,
    )
    terms = groupfree.losses(outputs, targets, given["mean_size_arr"], settings)
    terms["total"].backward()
    found: dict[str, np.ndarray | Check] = {
        name: terms[ours].detach().reshape(1).numpy() for name, ours in SUMS.items()
    }
    queries = groupfree.query_targets(outputs, targets)
    of_heads = [groupfree.head_losses(h, queries, targets.boxes, given["mean_size_arr"], settings) for h in heads]
    for name, ours in OF_HEADS.items():
        found[name] = torch.stack([head[ours] for head in of_heads]).detach().numpy()
    ratio = queries.positive.float().mean().expand(count)
    found |= {
        "pos_ratio": ratio.numpy(),
        "neg_ratio": (1 - ratio).numpy(),
        "objectness_label": queries.positive.long().numpy(),
        "object_assignment": queries.rows.numpy(),
    }
    return found | seeds_of(outputs, targets, settings) | optional_gradients(case, arrays, leaves)


def seeds_of(
    outputs: groupfree.LossInputs, targets: GroupFreeTargets, settings: LossConfig
) -> dict[str, np.ndarray | Check]:
    """Return what the published code logs about positive seeds."""
    positive = groupfree.seed_labels(outputs.seed_xyz, outputs.seed_indices, targets, settings)
    rows = targets.box_rows.gather(1, outputs.seed_indices)
    reached = sum(len(scene[mask].unique()) for scene, mask in zip(rows, positive, strict=True))
    ratio = positive.float().mean()
    return {
        "kps_pos_ratio": ratio.reshape(1).numpy(),
        "kps_neg_ratio": (1 - ratio).reshape(1).numpy(),
        "kps_upper_recall": (reached / targets.boxes.used.sum()).reshape(1).numpy(),
    }


def settings_of(stated: dict) -> LossConfig:
    """Return the loss settings of a case.

    Raises:
        DescriptionError: the case has a setting that g3d does not offer.
    """
    offered = {"box_loss_coef": 1, "size_cls_agnostic": False, "heading_bins": 1}
    offered |= {f"{name}_loss_type": "smoothl1" for name in ("center", "size", "heading")}
    for name, value in offered.items():
        if stated[name] != value:
            raise DescriptionError(f"settings.{name}: {stated[name]}, expected {value}")
    return LossConfig(
        nearest=stated["query_points_obj_topk"],
        center_delta=stated["center_delta"],
        size_delta=stated["size_delta"],
        heading_delta=stated["heading_delta"],
        sampling_weight=stated["query_points_generator_loss_coef"],
        objectness_weight=stated["obj_loss_coef"],
        class_weight=stated["sem_cls_loss_coef"],
        foreign_seeds=True,
    )
