"""Predictions of VoteNet's and Group-Free 3D's heads with the mean sizes that they are relative to.

Letters in shapes: B scenes, Q proposals, H heading bins, S size clusters (one for each class), C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from g3d.nn.precision import at_least_float32
from g3d.nn.scene_box_losses import BoxPrediction


@dataclass(frozen=True, eq=False)
class BoxPredictions(BoxPrediction):
    """Results of one head, float32 or wider, in the scene's frame (metres, z up).

    Attributes:
        mean_sizes: (S, 3) metres, to which `size_residuals` are relative.
    """

    mean_sizes: Tensor

    @property
    def sizes(self) -> Tensor:
        """(B, Q, 3) metres: the extents for the likeliest size cluster; they may be negative."""
        cluster = self.size_scores.argmax(2)
        chosen = cluster[..., None, None].expand(-1, -1, 1, 3)
        mean = self.mean_sizes[cluster]
        return mean + self.size_residuals.gather(2, chosen)[:, :, 0] * mean

    @property
    def boxes(self) -> Tensor:
        """(B, Q, 6) centre and extents, metres. ScanNet's boxes have no heading (H = 1, residual 0)."""
        return torch.cat([self.centers, self.sizes], 2)


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
