"""The depth map's classes, its targets painted from 2D boxes, and its loss.

Depth classes are linearly increasing intervals (LID): bin k begins at min_depth + b k (k + 1) / 2, so that far bins are
wider. The class after the last bin is everything else: background and what lies beyond max_depth.

Source: CaDDN (Reading et al., CVPR 2021), as in ZrrSkywalker/MonoDETR.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIN_DEPTH = 1e-3  # metres
INSIDE_WEIGHT, OUTSIDE_WEIGHT = 13.0, 1.0  # of a pixel inside / outside the boxes
_ALPHA, _GAMMA, _SMOOTHING = 0.25, 2, 1e-6


class DepthTargets(NamedTuple):
    """depth: (B, h, w), metres, 0 outside the boxes. inside: (B, h, w) bool, pixels of a box."""

    depth: Tensor
    inside: Tensor


def depth_bin(depth: Tensor, bins: int, max_depth: float) -> Tensor:
    """The class of each depth in metres -> int64 of the same shape: 0..bins - 1; `bins` where no bin holds it or it is
    not finite."""
    width = 2 * (max_depth - MIN_DEPTH) / (bins * (bins + 1))
    place = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depth - MIN_DEPTH) / width)
    return torch.where((place >= 0) & (place <= bins), place, bins).long()  # NaN fails both


def paint_depths(
    boxes: Tensor, depth: Tensor, present: Tensor, size: tuple[int, int], published: bool = False
) -> DepthTargets:
    """Fill the boxes of each sample with their depths; where boxes overlap, the nearest is seen.

    Args:
        boxes: (B, K, 4) x1 y1 x2 y2 in cells of the map; they are rounded outwards to whole cells.
        depth: (B, K) metres, above 0.
        present: (B, K) bool, boxes that are painted.
        size: height and width of the map.
        published: a start or end below 0 counts from the far side, as in Python's slices: a box that starts left of or
            above the image wraps around and mostly paints nothing. Otherwise boxes are clipped to the map.
    """
    columns = _covered(boxes[..., 0], boxes[..., 2], size[1], published)
    rows = _covered(boxes[..., 1], boxes[..., 3], size[0], published)
    masks = rows[..., :, None] & columns[..., None, :] & present[..., None, None]  # (B, K, h, w)
    nearest = torch.where(masks, depth[..., None, None], torch.inf).amin(1)
    inside = masks.any(1)
    return DepthTargets(torch.where(inside, nearest, 0), inside)


def _covered(start: Tensor, end: Tensor, count: int, wrap: bool) -> Tensor:
    """(B, K, count) bool: the cells of one axis between the starts and ends (B, K), rounded outwards."""
    start, end = start.floor(), end.ceil()
    if wrap:
        start, end = (torch.where(edge < 0, (edge + count).clamp_min(0), edge) for edge in (start, end))
    cells = torch.arange(count, device=start.device)
    return (cells >= start[..., None]) & (cells < end[..., None])


def focal_depth_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Focal cross-entropy of every pixel: logits (B, classes, h, w), true classes (B, h, w) int64 -> (B, h, w).

    Every class, the true one or not, adds 1e-6 of its own term, as published.
    """
    log_p = logits.log_softmax(1)
    terms = -_ALPHA * (1 - log_p.exp()) ** _GAMMA * log_p
    return terms.gather(1, classes[:, None])[:, 0] + _SMOOTHING * terms.sum(1)


def depth_map_loss(logits: Tensor, targets: DepthTargets, max_depth: float) -> Tensor:
    """Sum over all pixels of the focal cross-entropy, 13 times as heavy inside the boxes: logits (B, bins + 1, h, w) ->
    scalar."""
    classes = depth_bin(targets.depth, logits.shape[1] - 1, max_depth)
    weights = torch.where(targets.inside, INSIDE_WEIGHT, OUTSIDE_WEIGHT).to(logits.dtype)
    return (focal_depth_loss(logits, classes) * weights).sum()
