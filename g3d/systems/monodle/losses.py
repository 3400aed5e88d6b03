"""Losses of MonoDLE (Ma et al., CVPR 2021) and of depth-discriminative metric learning (Shin et al., NeurIPS 2023).

Every term is a mean over the objects (or pixels) of the global batch, that is, of all images of all processes. M2 is
the number of objects with a 2D target, M3 the number of those that also have a 3D target (the image was not cropped). A
term without objects is 0 with zero gradients; the published code reports NaN in this case and has the same gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.cells import gather_patches, take_rows
from g3d.nn.object_losses import SizeErrors, depth_from_raw, heading_loss, laplacian_depth_loss
from g3d.nn.parallel import gather_objects, sum_over_ranks, world_size
from g3d.nn.precision import at_least_float32
from g3d.systems.monodle.model import ObjectValues, Outputs, heatmap_scores
from g3d.systems.monodle.targets import Targets


def losses(outputs: Outputs, targets: Targets, config: Any) -> dict[str, Tensor]:
    """Return all terms by name and their weighted sum as "total".

    Args:
        outputs: the network's outputs at `targets.cells`.
        targets: targets of the same images, on the same device.
        config: the preset's `loss` section.

    Returns:
        Unweighted float32 scalars heatmap, offset_2d, size_2d, offset_3d, depth, size_3d, heading; quasi_isometric if
        configured; obj_depth if the network has that head; and total, in which quasi_isometric and obj_depth have their
        weights. In a run of several processes, the mean over the processes is the value of the global batch.
    """
    with torch.autocast(outputs.heatmap.device.type, enabled=False):
        m2, m3 = targets.mask_2d, targets.mask_3d
        at_2d, at_3d = _select(outputs.objects, m2), _select(outputs.objects, m3)
        depth_map = (
            None
            if outputs.obj_depth is None
            else resize_depth(targets.obj_depth, outputs.obj_depth, config.object_depth_resize)
        )
        sizes = SizeErrors.of(
            at_3d.size_3d, targets.size_3d[m3], targets.src_size_3d[m3] if config.size3d_divisor == "size" else None
        )
        counts = _global_counts(targets, depth_map, sizes)

        terms = {
            "heatmap": focal_loss(outputs.heatmap, targets.heatmap) * counts.share(counts.peaks),
            "offset_2d": (at_2d.offset_2d - targets.offset_2d[m2]).abs().sum() * counts.share(2 * counts.m2),
            "size_2d": (at_2d.size_2d - targets.size_2d[m2]).abs().sum() * counts.share(2 * counts.m2),
            "offset_3d": (at_3d.offset_3d - targets.offset_3d[m3]).abs().sum() * counts.share(2 * counts.m3),
            "depth": _depth_loss(at_3d.depth, targets.depth[m3]) * counts.share(counts.m3),
            "size_3d": sizes.loss(counts.size_error, counts.relative_size_error) * counts.share(3 * counts.m3),
            "heading": heading_loss(at_2d.heading, targets.heading_bin[m2], targets.heading_res[m2]).sum()
            * counts.share(counts.m2),
        }
        total = sum(terms.values(), torch.zeros((), device=outputs.heatmap.device))
        if config.quasi_isometric is not None:
            near = _mean_features(outputs.features, targets, config.quasi_isometric.pool)
            terms["quasi_isometric"] = quasi_isometric_loss(
                gather_objects(near), gather_objects(targets.depth[m3]), config.quasi_isometric
            )
            total = total + config.quasi_isometric.weight * terms["quasi_isometric"]
        if outputs.obj_depth is not None and depth_map is not None:
            inside = depth_map != 0
            at_pixels = outputs.obj_depth.permute(0, 2, 3, 1)[inside]
            terms["obj_depth"] = _depth_loss(at_pixels, depth_map[inside]) * counts.share(counts.pixels)
            total = total + config.object_depth_weight * terms["obj_depth"]
    return terms | {"total": total}


def focal_loss(heatmap: Tensor, target: Tensor) -> Tensor:
    """Return CornerNet's penalty-reduced focal loss, summed, from logits and target (B, classes, h, w)."""
    p = heatmap_scores(heatmap)
    at_peaks = torch.where(target == 1, (1 - p) ** 2 * p.log(), 0)
    elsewhere = torch.where(target < 1, (1 - target) ** 4 * p**2 * (1 - p).log(), 0)
    return -(at_peaks + elsewhere).sum()


def quasi_isometric_loss(features: Tensor, depth: Tensor, config: Any) -> Tensor:
    """Return the (K, B, eps)-quasi-isometric loss of object features.

    For pairs of objects at distance d in depth, the distance e of their features should lie between d / K - B and K d +
    B. The pairs are i < j with 0 < d <= radius. U = e - K d - B > 0 violates the upper bound, L = d / K - e - B > 0 the
    lower one. The published code, which the defaults follow, holds the second object of a pair fixed and averages log(1
    + sum exp(-L/T) / exp(-U/T)) over the upper violations. For a lower violation, this pulls features together that are
    already too close; `lower_sign: flipped` pushes them apart.

    Args:
        features: (N, C).
        depth: (N,) metres.
        config: K, B, radius, temperature, lower_sign, stop_gradient.

    Returns:
        Scalar, unweighted; 0 with zero gradients if either kind of violation is missing.

    Source: arXiv 2401.01075; mingyuShin/DDML-M3DOD.
    """
    upper, lower, _ = bound_violations(features, depth, config)
    if len(upper) == 0 or len(lower) == 0:
        return features.sum() * 0
    sign = -1 if config.lower_sign == "published" else 1
    pressure = torch.logsumexp(sign * lower / config.temperature, 0)
    return F.softplus(pressure + upper / config.temperature).mean()


def bound_violations(features: Tensor, depth: Tensor, config: Any) -> tuple[Tensor, Tensor, int]:
    """Return the positive values of U and L of `quasi_isometric_loss`, and the number of pairs within the radius.

    The arguments are those of `quasi_isometric_loss`.
    """
    first, second = torch.triu_indices(len(features), len(features), 1, device=features.device)
    distance = (depth[first] - depth[second]).abs()
    close = (distance > 1e-12) & (distance <= config.radius)
    first, second, distance = first[close], second[close], distance[close]

    held = features.detach() if config.stop_gradient else features
    e = torch.linalg.vector_norm(take_rows(features, first) - take_rows(held, second), dim=1)
    upper = e - config.K * distance - config.B
    lower = distance / config.K - e - config.B
    return upper[upper > 0], lower[lower > 0], len(distance)


def resize_depth(depth_map: Tensor, like: Tensor, mode: str) -> Tensor:
    """Return the object depth map (B, H, W) at the resolution of `like` (..., h, w).

    Mode "bilinear", as published, mixes depths at object borders.
    """
    size = like.shape[-2:]
    if mode == "nearest":
        return F.interpolate(depth_map[:, None], size, mode="nearest-exact")[:, 0]
    return F.interpolate(depth_map[:, None], size, mode="bilinear", align_corners=True)[:, 0]


def _depth_loss(values: Tensor, depth: Tensor) -> Tensor:
    """Return the Laplacian loss, summed, from raw depth and log scale (N, 2) and depth (N,) in metres."""
    raw, log_scale = values.unbind(-1)
    return laplacian_depth_loss(depth_from_raw(raw), log_scale, depth).sum()


def _mean_features(features: Tensor, targets: Targets, side: int) -> Tensor:
    """Return the objects' features averaged over side x side cells, (M3, C); cells beyond the border count as zeros."""
    return at_least_float32(gather_patches(features, targets.cells, side)[targets.mask_3d]).mean(1)


def _select(values: ObjectValues, mask: Tensor) -> ObjectValues:
    """Return the values of the objects in the mask: (B, K, C) -> (N, C) each."""
    return ObjectValues(*(value[mask] for value in values))


@dataclass(frozen=True)
class _Counts:
    """Divisors of the means, over all processes: heatmap peaks, objects, pixels and the two sums of size errors."""

    peaks: Tensor
    m2: Tensor
    m3: Tensor
    pixels: Tensor
    size_error: Tensor
    relative_size_error: Tensor

    def share(self, count: Tensor) -> Tensor:
        """Return the factor that turns this process's sum into its share of the global mean."""
        return world_size() / count.clamp_min(1)


def _global_counts(targets: Targets, depth_map: Tensor | None, sizes: SizeErrors) -> _Counts:
    pixels = torch.zeros((), device=targets.heatmap.device) if depth_map is None else (depth_map != 0).sum()
    local = [
        (targets.heatmap == 1).sum(),
        targets.mask_2d.sum(),
        targets.mask_3d.sum(),
        pixels,
        sizes.absolute,
        sizes.relative,
    ]
    return _Counts(*sum_over_ranks(torch.stack([value.detach().double() for value in local])).float())
