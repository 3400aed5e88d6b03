"""Operators `polygons_to_rle` and `polygons_to_mask` over kernels/polygons.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import polygons as kernel
from g3d.ops.mask_rle import rle_decode, rle_merge
from g3d.ops.registry import Operator

_FAR = 2.0**28  # pixels; beyond this, the integers of the published rasteriser overflow


def polygons_to_rle(polygons: Sequence[Sequence[float]], height: int, width: int) -> list[Tensor]:
    """Return the run-length coded mask of each polygon, identical to COCO's rasteriser in every pixel.

    Args:
        polygons: each a flat list x0 y0 x1 y1 ... of at least three points, in pixels; may extend beyond the image.
        height, width: size of the image, above 0.

    Returns:
        The counts of each polygon's mask (g3d/ops/mask_rle.py).

    Raises:
        ValueError: `height` or `width` is below 1; a polygon has fewer than three points, an odd number of coordinates,
            or a coordinate that is not finite or 2^28 pixels or more away from 0.

    Source: cocodataset/cocoapi, which draws the annotations of COCO and of RefCOCO.
    """
    if height < 1 or width < 1:
        raise ValueError(f"image: expected a height and width above 0, found {height} x {width}")
    flat = [np.asarray(polygon, np.float64) for polygon in polygons]
    for k, points in enumerate(flat):
        if points.ndim != 1 or len(points) < 6 or len(points) % 2:
            raise ValueError(
                f"polygon {k}: expected x y of at least three points in a flat list, found the shape {points.shape}"
            )
    points = np.concatenate([np.zeros(0), *flat])
    if not (np.abs(points) < _FAR).all():
        k = next(k for k, own in enumerate(flat) if not (np.abs(own) < _FAR).all())
        raise ValueError(f"polygon {k}: a coordinate is not finite, or not within 2^28 pixels of the image")
    sizes = torch.tensor([len(points) // 2 for points in flat], dtype=torch.int64)
    counts, lengths = _operator.direct(torch.from_numpy(points.reshape(-1, 2)), sizes, height, width)
    return list(counts.split(lengths.tolist()))


def polygons_to_mask(polygons: Sequence[Sequence[float]], height: int, width: int) -> Tensor:
    """Return the union of polygons as a mask, bool (height, width). Arguments and errors are those of polygons_to_rle;
    without a polygon the mask is empty."""
    if len(polygons) == 0:
        return torch.zeros(height, width, dtype=torch.bool)
    counts = polygons_to_rle(polygons, height, width)
    return rle_decode(counts if len(counts) == 1 else [rle_merge(counts)], height, width)[0]


def _cpu(points: Tensor, sizes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    lengths, capacity = (
        torch.empty_like(sizes),
        len(sizes) * (2 * width + 2),
    )  # enough for outlines that cross each column twice
    while True:
        counts = torch.empty(capacity, dtype=torch.int64)
        written = kernel.cpu(points.contiguous().numpy(), sizes.numpy(), height, width, counts.numpy(), lengths.numpy())
        if written <= capacity:
            return counts[:written].clone(), lengths
        capacity = written


def _fake(points: Tensor, sizes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    return sizes.new_empty(torch.library.get_ctx().new_dynamic_size()), torch.empty_like(sizes)


def _example() -> tuple[Tensor, Tensor, int, int]:
    points = torch.rand(24, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 50 - 5
    return points, torch.tensor([3, 21]), 30, 40


_operator = Operator("polygon_rle", reference=kernel.reference, cpu=_cpu, cuda=None, fake=_fake, example=_example)
