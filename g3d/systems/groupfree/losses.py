"""Losses of Group-Free 3D: sampling of object points, and boxes after the proposal and every decoder layer.

Source: Liu et al., ICCV 2021, section 3; zeliu98/Group-Free-3D, models/loss_helper.py and losses.py, with the settings
of its README for ScanNet.

Letters in shapes: B scenes, N cloud points, M seeds, Q queries, K box rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.object_losses import sigmoid_focal_loss
from g3d.nn.parallel import sum_over_ranks, world_size
from g3d.nn.scene_box_losses import BoxPrediction, BoxTargets, RowTargets, assigned, box_terms, mean_over
from g3d.systems.groupfree.config import LossConfig
from g3d.systems.groupfree.targets import GroupFreeTargets

_FOREIGN = 100.0  # distance of a seed that is not the box's own, as published


@dataclass(frozen=True, eq=False)
class LossInputs:
    """The outputs of the network for B scenes that the losses need.

    Attributes:
        seed_xyz: (B, M, 3) positions of the seeds, metres.
        seed_indices: (B, M) int64, the cloud point that each seed is.
        seed_objectness: (B, M) logits.
        query_indices: (B, Q) int64, the seed that each query is.
        heads: the proposal head, then the head of each decoder layer; objectness has one logit.
    """

    seed_xyz: Tensor
    seed_indices: Tensor
    seed_objectness: Tensor
    query_indices: Tensor
    heads: tuple[BoxPrediction, ...]


def losses(
    found: LossInputs,
    targets: GroupFreeTargets,
    mean_sizes: Tensor,
    settings: LossConfig = LossConfig(),
) -> dict[str, Tensor]:
    """Return "sampling", the sums over heads "objectness", "box" and "semantic_class", and "total".

    total = 10 (0.8 sampling + (0.1 objectness + box + 0.1 semantic_class) / heads).

    Args:
        found: outputs of the network.
        targets: targets of the same scenes.
        mean_sizes: (C, 3) mean size of each class, metres.
        settings: weights and constants.
    """
    labels = seed_labels(found.seed_xyz, found.seed_indices, targets, settings)
    sampling = _scene_mean(sigmoid_focal_loss(found.seed_objectness, labels.to(found.seed_objectness.dtype)))
    queries = query_targets(found, targets)
    heads = [head_losses(head, queries, targets.boxes, mean_sizes, settings) for head in found.heads]
    named = {
        "sampling": sampling,
        "objectness": torch.stack([head["objectness"] for head in heads]).sum(),
        "box": torch.stack([head["box"] for head in heads]).sum(),
        "semantic_class": torch.stack([head["semantic_class"] for head in heads]).sum(),
    }
    of_heads = settings.objectness_weight * named["objectness"] + named["box"]
    of_heads = of_heads + settings.class_weight * named["semantic_class"]
    return named | {"total": 10 * (settings.sampling_weight * sampling + of_heads / len(heads))}


def head_losses(
    head: BoxPrediction, queries: RowTargets, boxes: BoxTargets, mean_sizes: Tensor, settings: LossConfig
) -> dict[str, Tensor]:
    """Return the unweighted terms of one head by name, with "box" as the sum for boxes."""
    error = F.smooth_l1_loss(
        head.centers, assigned(boxes.centers, queries.rows), reduction="none", beta=settings.center_delta
    )
    center = mean_over(error.sum(-1), queries.positive)

    def heading_error(value: Tensor, label: Tensor) -> Tensor:
        return _scaled_smooth_l1(value, label, settings.heading_delta)

    def size_error(value: Tensor, label: Tensor) -> Tensor:
        return _scaled_smooth_l1(value, label, settings.size_delta).sum(-1)

    terms = box_terms(head, boxes, queries, mean_sizes, heading_error, size_error)
    objectness = sigmoid_focal_loss(head.objectness[..., 0], queries.positive.to(head.objectness.dtype))
    return {
        "objectness": _scene_mean(objectness),
        "center": center,
        "heading_class": terms.heading_class,
        "heading_residual": terms.heading_residual,
        "size_class": terms.size_class,
        "size_residual": terms.size_residual,
        "box": terms.box(center),
        "semantic_class": terms.semantic_class,
    }


def query_targets(found: LossInputs, targets: GroupFreeTargets) -> RowTargets:
    """Return the box row of each query, from the cloud point under it; background has the last row and is negative."""
    rows = assigned(assigned(targets.box_rows, found.seed_indices), found.query_indices)
    return RowTargets(torch.where(rows >= 0, rows, targets.boxes.used.shape[1] - 1), rows >= 0)


def seed_labels(seed_xyz: Tensor, seed_indices: Tensor, targets: GroupFreeTargets, settings: LossConfig) -> Tensor:
    """Return (B, M) bool: the `nearest` seeds of each used box, of those that are on its object.

    Args:
        seed_xyz: (B, M, 3) positions, metres.
        seed_indices: (B, M) int64, the cloud point that each seed is.
        targets: the targets of the scenes.
        settings: number of seeds, and whether a box takes seeds of other objects.
    """
    boxes = targets.boxes
    rows = assigned(targets.box_rows, seed_indices)
    own = rows[:, None] == torch.arange(boxes.used.shape[1], device=rows.device)[:, None]  # (B, K, M)
    apart = (seed_xyz.detach()[:, None] - boxes.centers[:, :, None]) / (boxes.sizes[:, :, None] + 1e-6)
    distance = torch.where(own, torch.sqrt(apart.square().sum(-1) + 1e-6), _FOREIGN)
    nearest = distance.topk(min(settings.nearest, distance.shape[-1]), largest=False).indices
    taken = torch.zeros_like(own).scatter_(2, nearest, True) & boxes.used[..., None]
    if settings.foreign_seeds:
        return taken.any(1) & (rows >= 0)
    return (taken & own).any(1)


def _scaled_smooth_l1(found: Tensor, label: Tensor, delta: float) -> Tensor:
    return delta * F.smooth_l1_loss(found, label, reduction="none", beta=delta)


def _scene_mean(values: Tensor) -> Tensor:
    """Return the mean of (B, M) values over M, then over the scenes of the global batch."""
    scenes = sum_over_ranks(values.new_tensor(float(len(values))))
    return values.mean(1).sum() * world_size() / scenes
