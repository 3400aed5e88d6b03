"""Losses of boxes, depths, sizes and headings that several systems share; each gives one number per object unless it
says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.geometry.heading import HEADING_BINS

SQRT2 = 1.4142  # as published: the Laplacian likelihood's sqrt(2) to four decimals


def depth_from_raw(raw: Tensor) -> Tensor:
    """Metres: 1 / (sigmoid(raw) + 1e-6) - 1."""
    return 1 / (raw.sigmoid() + 1e-6) - 1


def laplacian_depth_loss(depth: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """sqrt(2) exp(-s) |z - z*| + s of depths in metres with a predicted log scale s (often called log variance), (N,)
    each -> (N,).

    Source: MonoPair (Chen et al., CVPR 2020), as in xinzhuma/monodle and ZrrSkywalker/MonoDETR.
    """
    return SQRT2 * torch.exp(-log_scale) * (depth - target).abs() + log_scale


def heading_loss(values: Tensor, bins: Tensor, residuals: Tensor) -> Tensor:
    """The bin's cross-entropy plus the absolute error of the true bin's residual: (N, 24), (N,) int64, (N,) radians ->
    (N,)."""
    found = values[:, HEADING_BINS:].gather(1, bins[:, None])[:, 0]
    return F.cross_entropy(values[:, :HEADING_BINS], bins, reduction="none") + (found - residuals).abs()


@dataclass(frozen=True)
class SizeErrors:
    """The dimension-aware size loss: absolute errors divided by the true size, rescaled so that its value stays the
    mean absolute error.

    Attributes:
        absolute: sum of |d - d*|, this process.
        relative: sum of |d - d*| / d*, this process.
    """

    absolute: Tensor
    relative: Tensor

    @staticmethod
    def of(predicted: Tensor, target: Tensor, true_size: Tensor | None = None) -> SizeErrors:
        """predicted, target (N, 3) metres. Without `true_size`, divides by the target as published: with mean sizes
        that is a residual."""
        error = (predicted - target).abs()
        return SizeErrors(error.sum(), (error / (target if true_size is None else true_size)).sum())

    def loss(self, absolute: Tensor, relative: Tensor) -> Tensor:
        """The weighted sum, given both sums over all processes."""
        return self.relative * torch.where(relative != 0, absolute / relative, 0)


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of independent classes, element by element: logits and 0/1 labels of one shape -> the same shape.

    Source: Lin et al., ICCV 2017.
    """
    p = logits.sigmoid()
    wrong = p + labels - 2 * p * labels  # 1 - p where the label is 1, else p
    weight = 1 - alpha + (2 * alpha - 1) * labels
    return weight * wrong**gamma * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of image boxes x1 y1 x2 y2 with x1 <= x2 and y1 <= y2: (..., 4) and (..., 4), broadcast -> (...),
    -1..1.

    Two boxes of one point in the same place have 0. Unlike g3d.ops.box_iou it takes numbers that are not finite and
    gives them back, so that a training run which diverged is noticed by its loss.

    Source: Rezatofighi et al., CVPR 2019.
    """
    least, most = torch.minimum(first, second), torch.maximum(first, second)
    inner = _area((least[..., 2:] - most[..., :2]).clamp_min(0))
    hull = _area(most[..., 2:] - least[..., :2])
    union = _area(first[..., 2:] - first[..., :2]) + _area(second[..., 2:] - second[..., :2]) - inner
    smallest = torch.finfo(hull.dtype).tiny
    return inner / union.clamp_min(smallest) - (hull - union) / hull.clamp_min(smallest)


def _area(sides: Tensor) -> Tensor:
    """(..., 2) -> (...); not `prod`, whose gradient looks for zeros."""
    return sides[..., 0] * sides[..., 1]
