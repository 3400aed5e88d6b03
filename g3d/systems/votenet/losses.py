"""Losses of VoteNet: votes, objectness, boxes and classes.

Source: Qi et al., ICCV 2019, section 4.3 and the appendix; facebookresearch/votenet, models/loss_helper.py.

Letters in shapes: B scenes, N cloud points, M seeds, Q proposals, K box rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.scene_box_losses import (
    BoxPrediction,
    BoxTargets,
    RowTargets,
    assigned,
    box_terms,
    cross_entropy,
    mean_over,
)
from g3d.systems.votenet.targets import VoteTargets

NEAR, FAR = 0.3, 0.6
"""A proposal nearer than NEAR metres to a box centre is positive, one beyond FAR is negative; others do not count."""
OBJECTNESS_WEIGHTS = (0.2, 0.8)
"""Weights of "no object" and "object" in the cross entropy of the objectness."""
_AWAY = 1e4  # metres; where unused box rows are, so that none is the nearest row


@dataclass(frozen=True, eq=False)
class LossInputs:
    """The outputs of the network for B scenes that the losses need.

    Attributes:
        seed_xyz: (B, M, 3) positions of the seeds, metres.
        seed_indices: (B, M) int64, the cloud point that each seed is.
        votes: (B, M, 3) positions of the votes, one of each seed.
        proposal_xyz: (B, Q, 3) positions of the vote clusters, before the predicted centre offset.
        head: boxes of the proposals; objectness has two logits.
    """

    seed_xyz: Tensor
    seed_indices: Tensor
    votes: Tensor
    proposal_xyz: Tensor
    head: BoxPrediction


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels of B x Q proposals.

    Attributes:
        boxes: nearest box row, and whether its centre is nearer than NEAR.
        counts: (B, Q) bool; False between NEAR and FAR, where the objectness is not trained.
    """

    boxes: RowTargets
    counts: Tensor


def losses(
    found: LossInputs, targets: VoteTargets, mean_sizes: Tensor, match_unused_rows: bool = False
) -> dict[str, Tensor]:
    """Return the unweighted terms, "box" (their sum for boxes) and "total".

    total = 10 (vote + 0.5 objectness + box + 0.1 semantic_class).

    Args:
        found: outputs of the network.
        targets: targets of the same scenes.
        mean_sizes: (C, 3) mean size of each class, metres.
        match_unused_rows: the published fault. Unused box rows, whose centres are (0, 0, 0), take part in both searches
            for the nearest row, so that proposals near the origin become objects of class 0.
    """
    boxes = targets.boxes
    centers = boxes.centers if match_unused_rows else torch.where(boxes.used[..., None], boxes.centers, _AWAY)
    labels = assign(found.proposal_xyz, centers)
    positive = labels.boxes.positive
    objectness = cross_entropy(
        found.head.objectness, positive.long(), found.head.objectness.new_tensor(OBJECTNESS_WEIGHTS)
    )
    terms = box_terms(found.head, boxes, labels.boxes, mean_sizes, _heading_error, _size_error)
    named = {
        "vote": vote_loss(found, targets),
        "objectness": mean_over(objectness, labels.counts),
        "center": center_loss(found.head.centers, centers, boxes, positive),
        "heading_class": terms.heading_class,
        "heading_residual": terms.heading_residual,
        "size_class": terms.size_class,
        "size_residual": terms.size_residual,
        "semantic_class": terms.semantic_class,
    }
    named["box"] = terms.box(named["center"])
    total = named["vote"] + 0.5 * named["objectness"] + named["box"] + 0.1 * named["semantic_class"]
    return named | {"total": 10 * total}


def assign(proposal_xyz: Tensor, centers: Tensor) -> Assignment:
    """Return the labels of proposals: (B, Q, 3) positions and (B, K, 3) box centres, metres. No gradient passes."""
    nearest, rows = squared_distances(proposal_xyz.detach(), centers).min(2)
    distance = torch.sqrt(nearest + 1e-6)
    near = distance < NEAR
    return Assignment(RowTargets(rows, near), near | (distance > FAR))


def vote_loss(found: LossInputs, targets: VoteTargets) -> Tensor:
    """Return the mean L1 distance (sum over xyz) from the votes of object seeds to the nearest of their targets."""
    offsets = assigned(targets.offsets, found.seed_indices)  # (B, M, 3 targets, 3)
    goals = found.seed_xyz[:, :, None] + offsets
    distance = (found.votes[:, :, None] - goals).abs().sum(-1).amin(2)
    return mean_over(distance, assigned(targets.on_object, found.seed_indices))


def center_loss(found: Tensor, centers: Tensor, boxes: BoxTargets, positive: Tensor) -> Tensor:
    """Return the squared chamfer distance: positive proposals to their nearest box row, used rows to any proposal.

    Args:
        found: (B, Q, 3) predicted centres.
        centers: (B, K, 3) box centres of all rows that take part.
        boxes: the boxes, for `used`.
        positive: (B, Q) bool.
    """
    squared = squared_distances(found, centers)
    return mean_over(squared.amin(2), positive) + mean_over(squared.amin(1), boxes.used)


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared distances of (B, Q, 3) and (B, K, 3) points, (B, Q, K), square metres."""
    return (first[:, :, None] - second[:, None]).square().sum(-1)


def _heading_error(found: Tensor, label: Tensor) -> Tensor:
    return F.huber_loss(found, label.to(found.dtype), reduction="none", delta=1.0)


def _size_error(found: Tensor, label: Tensor) -> Tensor:
    return F.huber_loss(found, label.to(found.dtype), reduction="none", delta=1.0).mean(-1)
