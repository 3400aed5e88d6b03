"""What the heads of VoteNet and Group-Free 3D predict for each proposal, and the boxes that it stands for.

Letters in shapes: B scenes, Q proposals, H heading bins, S size clusters (one for each class), C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from g3d.nn.precision import at_least_float32


@dataclass(frozen=True)
class BoxPredictions:
    """Raw results of one head, float32 or wider, in the scene's frame (metres, z up).

    Attributes:
        objectness_scores: (B, Q, 1) logits of a sigmoid (Group-Free 3D), or (B, Q, 2) of a softmax, no object first
            (VoteNet).
        center: (B, Q, 3) metres.
        heading_scores: (B, Q, H) logits.
        heading_residuals_normalized: (B, Q, H), in units of half a bin's width, pi / H.
        size_scores: (B, Q, S) logits.
        size_residuals_normalized: (B, Q, S, 3), in units of the mean size.
        sem_cls_scores: (B, Q, C) logits.
        mean_sizes: (S, 3) metres.
    """

    objectness_scores: Tensor
    center: Tensor
    heading_scores: Tensor
    heading_residuals_normalized: Tensor
    size_scores: Tensor
    size_residuals_normalized: Tensor
    sem_cls_scores: Tensor
    mean_sizes: Tensor

    @property
    def heading_residuals(self) -> Tensor:
        """(B, Q, H) radians."""
        return self.heading_residuals_normalized * (torch.pi / self.heading_scores.shape[2])

    @property
    def size_residuals(self) -> Tensor:
        """(B, Q, S, 3) metres: size minus mean size, for each cluster."""
        return self.size_residuals_normalized * self.mean_sizes

    @property
    def pred_size(self) -> Tensor:
        """(B, Q, 3) metres: the extents for the likeliest size cluster; they may be negative."""
        cluster = self.size_scores.argmax(2)
        chosen = cluster[..., None, None].expand(-1, -1, 1, 3)
        mean = self.mean_sizes[cluster]
        return mean + self.size_residuals_normalized.gather(2, chosen)[:, :, 0] * mean

    @property
    def boxes(self) -> Tensor:
        """(B, Q, 6) centre and extents, metres. ScanNet's boxes have no heading (H = 1, residual 0)."""
        return torch.cat([self.center, self.pred_size], 2)

    @property
    def objectness(self) -> Tensor:
        """(B, Q) probability that a proposal is an object."""
        if self.objectness_scores.shape[2] == 1:
            return self.objectness_scores[..., 0].sigmoid()
        return self.objectness_scores.softmax(2)[..., 1]


def read_predictions(columns: Tensor, base: Tensor, mean_sizes: Tensor, headings: int, classes: int) -> BoxPredictions:
    """Return the predictions that a head's output columns hold, in the published order.

    Args:
        columns: (B, Q, K + 3 + 2 H + 4 S + C): objectness (K is 1 or 2), centre, heading scores and residuals, size
            scores and residuals, class scores.
        base: (B, Q, 3) metres, the points that centres are relative to.
        mean_sizes: (S, 3) metres.
        headings: H.
        classes: C.
    """
    clusters = len(mean_sizes)
    fixed = (3, headings, headings, clusters, 3 * clusters, classes)
    columns = at_least_float32(columns)
    scores, offset, heading, heading_residual, size, size_residual, semantic = columns.split(
        (columns.shape[2] - sum(fixed), *fixed), 2
    )
    return BoxPredictions(
        scores,
        base + offset,
        heading,
        heading_residual,
        size,
        size_residual.unflatten(2, (clusters, 3)),
        semantic,
        mean_sizes,
    )


def join_predictions(heads: Sequence[BoxPredictions]) -> BoxPredictions:
    """Return the proposals of several heads one after another, as Group-Free 3D's `last_three_` and `all_layers_`."""
    names = [field.name for field in fields(BoxPredictions) if field.name != "mean_sizes"]
    joined = {name: torch.cat([getattr(head, name) for head in heads], 1) for name in names}
    return BoxPredictions(**joined, mean_sizes=heads[0].mean_sizes)
