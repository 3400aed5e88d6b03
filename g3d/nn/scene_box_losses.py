"""Axis-aligned scene boxes as VoteNet, Group-Free 3D and WS-3DVG predict them: head outputs, targets and shared losses.

A box is coded as a centre, a heading bin with a residual, and a size class with a residual to that class's mean size.
ScanNet has one heading bin, and its boxes have heading 0.

Letters in shapes: B scenes, Q proposals, K box rows (the largest number of boxes of a scene), H heading bins, C size
classes, which are also the semantic classes. Positions and sizes are in metres, in the aligned frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.errors import InputError
from g3d.nn.parallel import sum_over_ranks, world_size

_TINY = 1e-6  # as published: added to every count that divides a sum


@dataclass(frozen=True, eq=False)
class BoxPrediction:
    """Outputs of one prediction head for B x Q proposals.

    Attributes:
        objectness: (B, Q, 2) logits with "object" second (VoteNet), or (B, Q, 1) logits (Group-Free 3D).
        centers: (B, Q, 3) metres.
        heading_scores: (B, Q, H) logits.
        heading_residuals: (B, Q, H), radians divided by pi / H.
        size_scores: (B, Q, C) logits.
        size_residuals: (B, Q, C, 3), metres divided by the mean size of the class.
        class_scores: (B, Q, C) logits.
    """

    objectness: Tensor
    centers: Tensor
    heading_scores: Tensor
    heading_residuals: Tensor
    size_scores: Tensor
    size_residuals: Tensor
    class_scores: Tensor


@dataclass(frozen=True, eq=False)
class BoxTargets:
    """Labelled boxes of one scene in K rows, or of B scenes with a leading dimension B. Used rows come first.

    Attributes:
        centers: (K, 3) float32, metres; a system defines the value of unused rows.
        sizes: (K, 3) float32, metres; 0 in unused rows, as in all following arrays.
        heading_bins: (K,) int64.
        heading_residuals: (K,) float32, radians.
        size_residuals: (K, 3) float32, size minus the mean size of the class, metres.
        classes: (K,) int64, semantic class, which is also the size class.
        used: (K,) bool.
    """

    centers: Tensor
    sizes: Tensor
    heading_bins: Tensor
    heading_residuals: Tensor
    size_residuals: Tensor
    classes: Tensor
    used: Tensor

    def to(self, device: torch.device | str) -> BoxTargets:
        """Return the targets on a device."""
        return BoxTargets(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    @staticmethod
    def stack(scenes: Sequence[BoxTargets]) -> BoxTargets:
        """Return the targets of several scenes with a leading dimension B."""
        return BoxTargets(*(torch.stack([getattr(s, field.name) for s in scenes]) for field in fields(BoxTargets)))


def box_targets(
    centers: Tensor, sizes: Tensor, classes: Tensor, mean_sizes: Tensor, rows: int, unused_center: float
) -> BoxTargets:
    """Return the targets of one scene's boxes, which have heading 0.

    Args:
        centers, sizes: (N, 3) float64 or float32, metres.
        classes: (N,) int64.
        mean_sizes: (C, 3) float64, metres.
        rows: K, the number of rows.
        unused_center: every coordinate of the centres of unused rows: 0 for VoteNet, 1000 for Group-Free 3D.

    Raises:
        InputError: there are more boxes than rows.

    Source: scannet/scannet_detection_dataset.py of facebookresearch/votenet and zeliu98/Group-Free-3D.
    """
    count = len(centers)
    if count > rows:
        raise InputError(
            f"found {count} boxes, expected at most {rows}", "raise the number of box rows, or split the scene"
        )

    def padded(values: Tensor, fill: float = 0.0) -> Tensor:
        out = values.new_full((rows, *values.shape[1:]), fill)
        out[:count] = values
        return out

    return BoxTargets(
        centers=padded(centers.float(), unused_center),
        sizes=padded(sizes.float()),
        heading_bins=torch.zeros(rows, dtype=torch.int64),
        heading_residuals=torch.zeros(rows),
        size_residuals=padded((sizes.double() - mean_sizes.double()[classes]).float()),
        classes=padded(classes.long()),
        used=torch.arange(rows) < count,
    )


def mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the sum of the chosen values divided by (their number in the global batch + 1e-6).

    In a run of several processes, the mean of the results over the processes is the mean over the global batch.

    Args:
        values: any shape, one value for each object.
        chosen: the same shape, bool, or float weights 0 and 1.
    """
    chosen = chosen.to(values.dtype)
    return (values * chosen).sum() * world_size() / (sum_over_ranks(chosen.sum()) + _TINY)


@dataclass(frozen=True, eq=False)
class RowTargets:
    """Targets of B x Q proposals: the box row that is assigned to each of them.

    Attributes:
        rows: (B, Q) int64, box row.
        positive: (B, Q) bool; box and class losses count positive proposals only.
    """

    rows: Tensor
    positive: Tensor


def assigned(values: Tensor, rows: Tensor) -> Tensor:
    """Return each proposal's entry of a box target: (B, K, ...) and (B, Q) int64 -> (B, Q, ...)."""
    index = rows.reshape(*rows.shape, *[1] * (values.dim() - 2)).expand(*rows.shape, *values.shape[2:])
    return values.gather(1, index)


@dataclass(frozen=True, eq=False)
class BoxTerms:
    """Unweighted losses of positive proposals, scalars.

    Attributes:
        heading_class, heading_residual, size_class, size_residual, semantic_class: see `box_terms`.
    """

    heading_class: Tensor
    heading_residual: Tensor
    size_class: Tensor
    size_residual: Tensor
    semantic_class: Tensor

    def box(self, center: Tensor) -> Tensor:
        """Return the published sum of the centre, heading and size terms, with 0.1 for both classifications."""
        classification = 0.1 * self.heading_class + 0.1 * self.size_class
        return center + classification + self.heading_residual + self.size_residual


def box_terms(
    found: BoxPrediction,
    targets: BoxTargets,
    proposals: RowTargets,
    mean_sizes: Tensor,
    heading_error: Callable[[Tensor, Tensor], Tensor],
    size_error: Callable[[Tensor, Tensor], Tensor],
) -> BoxTerms:
    """Return the losses of headings, sizes and classes: means over positive proposals.

    Classifications have the cross entropy. Residuals are compared after division by pi / H or by the mean size of the
    labelled class; only the labelled bin's and class's residual counts.

    Args:
        found: outputs of a head.
        targets: box targets of B scenes.
        proposals: the box row of each proposal.
        mean_sizes: (C, 3), metres.
        heading_error: (B, Q) residuals and labels -> (B, Q).
        size_error: (B, Q, 3) residuals and labels -> (B, Q).

    Source: models/loss_helper.py of facebookresearch/votenet and zeliu98/Group-Free-3D.
    """
    bins, classes = assigned(targets.heading_bins, proposals.rows), assigned(targets.classes, proposals.rows)
    heading_unit = torch.pi / found.heading_scores.shape[-1]
    heading = found.heading_residuals.gather(-1, bins[..., None])[..., 0]
    size = found.size_residuals.gather(2, classes[..., None, None].expand(*classes.shape, 1, 3))[:, :, 0]
    true_heading = assigned(targets.heading_residuals, proposals.rows) / heading_unit
    true_size = assigned(targets.size_residuals, proposals.rows) / mean_sizes.to(targets.size_residuals)[classes]
    values = (
        cross_entropy(found.heading_scores, bins),
        heading_error(heading, true_heading),
        cross_entropy(found.size_scores, classes),
        size_error(size, true_size),
        cross_entropy(found.class_scores, classes),
    )
    return BoxTerms(*(mean_over(value, proposals.positive) for value in values))


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross entropy of each proposal, (B, Q), from (B, Q, C) logits and (B, Q) int64 labels."""
    return F.cross_entropy(logits.transpose(1, 2), labels, weights, reduction="none")
