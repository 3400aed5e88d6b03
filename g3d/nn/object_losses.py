"""Losses of boxes, depths, sizes and headings shared by several systems.

Each loss returns one value per object unless its docstring states otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.geometry.heading import HEADING_BINS

SQRT2 = 1.4142  # as published: sqrt(2) of the Laplacian likelihood, to four decimals


def depth_from_raw(raw: Tensor) -> Tensor:
    """Return the depth in metres of a raw network output: 1 / (sigmoid(raw) + 1e-6) - 1."""
    return 1 / (raw.sigmoid() + 1e-6) - 1


def laplacian_depth_loss(depth: Tensor, log_scale: Tensor, target: Tensor) -> Tensor:
    """Return sqrt(2) exp(-s) |z - z*| + s, (N,), for depths in metres with a predicted log scale s.

    The log scale is often called log variance; all arguments are (N,).

    Source: MonoPair (Chen et al., CVPR 2020), as in xinzhuma/monodle and ZrrSkywalker/MonoDETR.
    """
    return SQRT2 * torch.exp(-log_scale) * (depth - target).abs() + log_scale


def heading_loss(values: Tensor, bins: Tensor, residuals: Tensor) -> Tensor:
    """Return the bins' cross-entropy plus the absolute error of the true bin's residual, (N,).

    Args:
        values: (N, 24), 12 bin logits and 12 residuals.
        bins: (N,) int64.
        residuals: (N,) radians.
    """
    found = values[:, HEADING_BINS:].gather(1, bins[:, None])[:, 0]
    return F.cross_entropy(values[:, :HEADING_BINS], bins, reduction="none") + (found - residuals).abs()


@dataclass(frozen=True)
class SizeErrors:
    """The dimension-aware size loss: absolute errors divided by the true size.

    The loss is rescaled so that its value equals the mean absolute error.

    Attributes:
        absolute: sum of |d - d*|, this process.
        relative: sum of |d - d*| / d*, this process.
    """

    absolute: Tensor
    relative: Tensor

    @staticmethod
    def of(predicted: Tensor, target: Tensor, true_size: Tensor | None = None) -> SizeErrors:
        """Return the errors of predicted and target sizes, (N, 3) metres.

        Without `true_size`, errors are divided by the target, as published; with mean sizes, the target is a residual.
        """
        error = (predicted - target).abs()
        return SizeErrors(error.sum(), (error / (target if true_size is None else true_size)).sum())

    def loss(self, absolute: Tensor, relative: Tensor) -> Tensor:
        """Return the rescaled sum of errors, given both sums over all processes."""
        return self.relative * torch.where(relative != 0, absolute / relative, 0)


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the element-wise focal loss of independent classes; logits and 0/1 labels have the same shape.

    Source: Lin et al., ICCV 2017.
    """
    p = logits.sigmoid()
    wrong = p + labels - 2 * p * labels  # 1 - p where the label is 1, else p
    weight = 1 - alpha + (2 * alpha - 1) * labels
    return weight * wrong**gamma * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the generalised IoU, (...), -1..1, of image boxes (..., 4) and (..., 4), with broadcasting.

    Boxes are x1 y1 x2 y2 with x1 <= x2 and y1 <= y2. Two boxes of zero size at the same position have 0. Unlike
    g3d.ops.box_iou, the function accepts non-finite numbers and returns them, so that the loss shows a diverged
    training run.

    Source: Rezatofighi et al., CVPR 2019.
    """
    least, most = torch.minimum(first, second), torch.maximum(first, second)
    inner = _area((least[..., 2:] - most[..., :2]).clamp_min(0))
    hull = _area(most[..., 2:] - least[..., :2])
    union = _area(first[..., 2:] - first[..., :2]) + _area(second[..., 2:] - second[..., :2]) - inner
    smallest = torch.finfo(hull.dtype).tiny
    return inner / union.clamp_min(smallest) - (hull - union) / hull.clamp_min(smallest)


def _area(sides: Tensor) -> Tensor:
    """Return the products of sides (..., 2), as (...); not by `prod`, whose gradient searches for zeros."""
    return sides[..., 0] * sides[..., 1]
