"""Classes, targets and loss of the depth map; targets are painted from 2D boxes.

Depth classes use linear-increasing discretisation (LID): bin k begins at min_depth + b k (k + 1) / 2, so that far bins
are wider. The class after the last bin holds everything else: background and depths beyond max_depth.

Source: CaDDN (Reading et al., CVPR 2021), as in ZrrSkywalker/MonoDETR.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIN_DEPTH = 1e-3  # metres
INSIDE_WEIGHT, OUTSIDE_WEIGHT = 13.0, 1.0  # weight of a pixel inside / outside the boxes
_ALPHA, _GAMMA, _SMOOTHING = 0.25, 2, 1e-6


class DepthTargets(NamedTuple):
    """Targets of the depth map.

    Attributes:
        depth: (B, h, w), metres, 0 outside the boxes.
        inside: (B, h, w) bool, True for pixels of a box.
    """

    depth: Tensor
    inside: Tensor


def depth_bin(depth: Tensor, bins: int, max_depth: float) -> Tensor:
    """Return the class of each depth in metres, int64 of the same shape.

    Classes are 0..bins - 1; the class is `bins` if no bin contains the depth or it is not finite.
    """
    width = 2 * (max_depth - MIN_DEPTH) / (bins * (bins + 1))
    place = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depth - MIN_DEPTH) / width)
    return torch.where((place >= 0) & (place <= bins), place, bins).long()  # NaN fails both comparisons


def paint_depths(
    boxes: Tensor, depth: Tensor, present: Tensor, size: tuple[int, int], published: bool = False
) -> DepthTargets:
    """Fill the boxes of each sample with their depths; where boxes overlap, the nearest one counts.

    Args:
        boxes: (B, K, 4) x1 y1 x2 y2 in cells of the map; they are rounded outwards to whole cells.
        depth: (B, K) metres, above 0.
        present: (B, K) bool, True for boxes to paint.
        size: height and width of the map.
        published: as published, a start or end below 0 counts from the far side, as in Python's slices: a box that
            starts left of or above the image wraps around and mostly paints nothing. Otherwise, boxes are clipped to
            the map.
    """
    columns = _covered(boxes[..., 0], boxes[..., 2], size[1], published)
    rows = _covered(boxes[..., 1], boxes[..., 3], size[0], published)
    masks = rows[..., :, None] & columns[..., None, :] & present[..., None, None]  # (B, K, h, w)
    nearest = torch.where(masks, depth[..., None, None], torch.inf).amin(1)
    inside = masks.any(1)
    return DepthTargets(torch.where(inside, nearest, 0), inside)


def _covered(start: Tensor, end: Tensor, count: int, wrap: bool) -> Tensor:
    """Return (B, K, count) bool: the cells of one axis between starts and ends (B, K), rounded outwards."""
    start, end = start.floor(), end.ceil()
    if wrap:
        start, end = (torch.where(edge < 0, (edge + count).clamp_min(0), edge) for edge in (start, end))
    cells = torch.arange(count, device=start.device)
    return (cells >= start[..., None]) & (cells < end[..., None])


def focal_depth_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the focal cross-entropy of every pixel, (B, h, w).

    Every class, including the true one, adds 1e-6 times its own term, as published.

    Args:
        logits: (B, classes, h, w).
        classes: (B, h, w) int64, true classes.
    """
    log_p = logits.log_softmax(1)
    terms = -_ALPHA * (1 - log_p.exp()) ** _GAMMA * log_p
    return terms.gather(1, classes[:, None])[:, 0] + _SMOOTHING * terms.sum(1)


def depth_map_loss(logits: Tensor, targets: DepthTargets, max_depth: float) -> Tensor:
    """Return the sum of the focal cross-entropy over all pixels, a scalar, from logits (B, bins + 1, h, w).

    Pixels inside the boxes have weight 13, all others 1.
    """
    classes = depth_bin(targets.depth, logits.shape[1] - 1, max_depth)
    weights = torch.where(targets.inside, INSIDE_WEIGHT, OUTSIDE_WEIGHT).to(logits.dtype)
    return (focal_depth_loss(logits, classes) * weights).sum()
