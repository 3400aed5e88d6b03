"""Training losses of JLN (Song and Huang) and of Mono3DVG-TR (Zhan et al., AAAI 2024).

Mono3DVG-TR has no region, depth_region, pointing and contrastive terms. Every sample has at most one object. Terms of
the object are sums divided by the number N of objects of the global batch; the other terms are means over the samples
of the global batch, that is, of all processes. If the batch has no object, the object's terms are 0 with zero
gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.matcher import hungarian
from g3d.nn.object_losses import SizeErrors, generalised_iou, heading_loss, laplacian_depth_loss, sigmoid_focal_loss
from g3d.nn.parallel import gather_objects, sum_over_ranks, world_size
from g3d.nn.precision import at_least_float32
from g3d.systems.jln.config import STRIDES, LossConfig
from g3d.systems.jln.depth_map import depth_map_loss, paint_depths
from g3d.systems.jln.model import Outputs
from g3d.systems.jln.targets import Targets

_MAP_STRIDE = 16
POINTING_SHARPNESS = 10.0


def losses(outputs: Outputs, targets: Targets, config: LossConfig, max_depth: float) -> dict[str, Tensor]:
    """Return all terms by name and their weighted sum as "total".

    Args:
        outputs: the network's outputs.
        targets: targets of the same B samples, on the same device.
        config: the preset's `loss` section.
        max_depth: metres, the end of the depth map's last bin.

    Returns:
        Unweighted scalars, float32 or wider: label, box, giou, center, size, angle, depth, depth_map; with a joint
        network also region, depth_region, contrastive, and pointing if its weight is not 0; and the weighted sum total.
        In a run of several processes, the mean over the processes is the value of the global batch.

    Raises:
        ValueError: the region outputs do not match four levels around the depth map.
    """
    with torch.autocast(outputs.logits.device.type, enabled=False):
        outputs = outputs._replace(
            **{name: at_least_float32(value) for name, value in outputs._asdict().items() if value is not None}
        )
        query = _queries(outputs, targets, config)
        pairs = _pair(outputs, targets, query)
        sizes = SizeErrors.of(pairs.size, pairs.true_size)
        per_object, per_sample, size_sums = _global_counts(targets.present, sizes)

        terms = {"label": _label_loss(outputs.logits, targets, query) * per_object}
        terms |= {name: value * per_object for name, value in _object_terms(pairs, targets).items()}
        terms["size"] = sizes.loss(*size_sums) * per_object
        terms["depth_map"] = (
            _depth_map_term(outputs, targets, max_depth, config.depth_map_boxes == "published") * per_sample
        )
        if outputs.regions is not None:
            terms |= {name: value * per_sample for name, value in _region_terms(outputs, targets).items()}
            if config.pointing:
                terms["pointing"] = (
                    pointing_loss(outputs.regions, targets.regions, _areas(outputs)[0]).sum() * per_sample
                )
        if outputs.visual_token is not None and outputs.text_token is not None:
            terms["contrastive"] = contrastive_loss(
                outputs.visual_token, outputs.text_token, config.temperature, config.contrastive_gather
            )
        total = sum(
            (getattr(config, name) * value for name, value in terms.items()),
            torch.zeros((), device=outputs.logits.device),
        )
    return terms | {"total": total}


def contrastive_loss(visual: Tensor, text: Tensor, temperature: float, gather: bool = False) -> Tensor:
    """Return the symmetric contrastive loss between global visual and text tokens.

    It is the mean of two cross-entropies: of each image's own sentence among all sentences, and of each sentence's own
    image among all images. Sentences about the same object count as each other's negatives, as published.

    Args:
        visual, text: (B, C), row i of both from sample i.
        temperature: divisor of the cosine similarities.
        gather: contrast the samples of all processes; every process then has the same value.
    """
    if gather:
        visual, text = gather_objects(visual), gather_objects(text)
    logits = F.normalize(visual, dim=1) @ F.normalize(text, dim=1).T / temperature
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def matching_costs(logits: Tensor, boxes: Tensor, labels: Tensor, true_boxes: Tensor, config: LossConfig) -> Tensor:
    """Return the cost of matching each query of a sample with each target, for `g3d.nn.matcher.hungarian`.

    The terms have the weights of the losses.

    Args:
        logits: (Q, classes).
        boxes: (Q, 6), u v l r t b.
        labels: (T,) int64.
        true_boxes: (T, 6).
        config: the preset's `loss` section.

    Returns:
        (Q, T): sum of focal class cost, L1 of the side distances, L1 of the centres, and negative generalised IoU.

    Source: ZrrSkywalker/MonoDETR.
    """
    p = logits.sigmoid()
    classes = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    apart = (boxes[:, None] - true_boxes[None]).abs()
    overlap = generalised_iou(box_corners_2d(boxes)[:, None], box_corners_2d(true_boxes)[None])
    return (
        config.label * classes[:, labels]
        + config.box * apart[..., 2:].sum(-1)
        + config.center * apart[..., :2].sum(-1)
        - config.giou * overlap
    )


def box_corners_2d(boxes: Tensor) -> Tensor:
    """Return boxes (..., 6) u v l r t b as corners (..., 4) x1 y1 x2 y2.

    A box is a centre and its distances to the left, right, upper and lower side.
    """
    u, v, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack([u - left, v - top, u + right, v + bottom], -1)


class _Pairs(NamedTuple):
    """The matched query's predictions and their targets, (B, ...) each.

    If a sample has no object, prediction and target are the same constant, so that it adds no error and gets no
    gradient.
    """

    box: Tensor
    size: Tensor
    depth: Tensor
    log_variance: Tensor
    angle: Tensor
    true_box: Tensor
    true_size: Tensor
    true_depth: Tensor


def _queries(outputs: Outputs, targets: Targets, config: LossConfig) -> Tensor:
    """Return (B,) int64, the query matched with each sample's object; 0 for a sample without one.

    A single query needs no matching.
    """
    count, queries = outputs.logits.shape[:2]
    found = torch.zeros(count, dtype=torch.int64, device=outputs.logits.device)
    if queries == 1:
        return found
    rows = targets.present.nonzero()[:, 0].tolist()
    costs = [
        matching_costs(
            outputs.logits[k], outputs.boxes[k], targets.label[k : k + 1], targets.box3d[k : k + 1], config
        ).detach()
        for k in rows
    ]
    for k, (query, _) in zip(rows, hungarian(costs), strict=True):
        found[k] = query[0]
    return found


def _pair(outputs: Outputs, targets: Targets, query: Tensor) -> _Pairs:
    def chosen(values: Tensor) -> Tensor:
        return values[:, 0] if values.shape[1] == 1 else values[torch.arange(len(query), device=query.device), query]

    def where_present(values: Tensor, otherwise: float) -> Tensor:
        return torch.where(targets.present.view(-1, *[1] * (values.dim() - 1)), values, otherwise)

    depth = chosen(outputs.depth)
    return _Pairs(
        box=where_present(chosen(outputs.boxes), 0.25),
        size=where_present(chosen(outputs.sizes), 1),
        depth=where_present(depth[:, 0], 1),
        log_variance=where_present(depth[:, 1], 0),
        angle=chosen(outputs.angle),
        true_box=where_present(targets.box3d, 0.25),
        true_size=where_present(targets.size, 1),
        true_depth=where_present(targets.depth, 1),
    )


def _object_terms(pairs: _Pairs, targets: Targets) -> dict[str, Tensor]:
    """Return the sums over this process's objects."""
    apart = (pairs.box - pairs.true_box).abs()
    overlap = generalised_iou(box_corners_2d(pairs.box), box_corners_2d(pairs.true_box))
    angle = heading_loss(pairs.angle, targets.heading_bin, targets.heading_res)
    return {
        "box": apart[:, 2:].sum(),
        "giou": (1 - overlap).sum(),
        "center": apart[:, :2].sum(),
        "angle": torch.where(targets.present, angle, 0).sum(),
        "depth": laplacian_depth_loss(pairs.depth, pairs.log_variance, pairs.true_depth).sum(),
    }


def _label_loss(logits: Tensor, targets: Targets, query: Tensor) -> Tensor:
    """Return the focal loss, summed over all queries and classes.

    The matched query has the object's class, every other query has none.
    """
    truth = torch.zeros_like(logits)
    rows = torch.arange(len(query), device=query.device)
    truth[rows, query, targets.label] = targets.present.to(logits.dtype)
    return sigmoid_focal_loss(logits, truth).sum()


def _depth_map_term(outputs: Outputs, targets: Targets, max_depth: float, published: bool) -> Tensor:
    """Return the sum over the samples of the mean over the map's pixels."""
    height, width = outputs.depth_logits.shape[2:]
    boxes, depth, present = targets.box[:, None], targets.depth[:, None], targets.present[:, None]
    if targets.scene_boxes is not None and targets.scene_depths is not None:
        boxes, depth, present = targets.scene_boxes, targets.scene_depths, targets.scene_depths > 0
    x, y, w, h = boxes.unbind(-1)
    x, w, y, h = x * width, w * width, y * height, h * height
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    painted = paint_depths(corners, depth, present, (height, width), published)
    return depth_map_loss(outputs.depth_logits, painted, max_depth) / (height * width)


def _region_terms(outputs: Outputs, targets: Targets) -> dict[str, Tensor]:
    """Return the sums over the samples of the mean squared errors.

    The visual term is a mean over the levels' means; the depth term has one level.
    """
    assert outputs.regions is not None
    assert outputs.depth_regions is not None
    areas = _areas(outputs)
    if sum(areas) != outputs.regions.shape[1]:
        raise ValueError(
            f"regions: expected {sum(areas)} positions, levels of {areas}, found {outputs.regions.shape[1]}"
        )
    levels = ((outputs.regions - targets.regions) ** 2).split(areas, 1)
    return {
        "region": torch.stack([level.mean(1) for level in levels]).mean(0).sum(),
        "depth_region": ((outputs.depth_regions - targets.depth_regions) ** 2).mean(1).sum(),
    }


def _areas(outputs: Outputs) -> list[int]:
    """Return the number of positions of each level."""
    height, width = (side * _MAP_STRIDE for side in outputs.depth_logits.shape[2:])
    return [-(-height // stride) * -(-width // stride) for stride in STRIDES]


def pointing_loss(regions: Tensor, truth: Tensor, finest: int) -> Tensor:
    """Return the negative log-likelihood that the position picked on the finest level lies in the object: (B,).

    It is 0 where the object covers no position. Unlike a squared error over all positions, it weights near and far
    objects equally.

    Args:
        regions: (B, P), scores of the region heads; a softmax of POINTING_SHARPNESS times the scores picks the
            position.
        truth: (B, P), 0 or 1.
        finest: number of positions of the finest level.
    """
    chances = (POINTING_SHARPNESS * regions[:, :finest]).log_softmax(1)
    inside = truth[:, :finest] > 0
    picked = chances.masked_fill(~inside, float("-inf")).logsumexp(1)
    return torch.where(inside.any(1), -picked, 0.0)


def _global_counts(present: Tensor, sizes: SizeErrors) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return factors for this process's sums over objects and over samples, and the global sums of size errors.

    The factors turn a sum into this process's share of the global mean.
    """
    samples = present.new_full((), len(present), dtype=torch.float64)
    local = [present.sum().double(), samples, sizes.absolute.detach().double(), sizes.relative.detach().double()]
    objects, samples, absolute, relative = sum_over_ranks(torch.stack(local)).to(sizes.absolute.dtype)
    return world_size() / objects.clamp_min(1), world_size() / samples, (absolute, relative)
