"""Positions of feature map cells: DETR's sine encoding, and pixel centres as references of deformable attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def sine_positions(height: int, width: int, channels: int, device: torch.device | str | None = None) -> Tensor:
    """Return the sine encoding of a map without padding (Carion et al. 2020, facebookresearch/detr, normalised).

    An axis has channels / 2 features: sine on even and cosine on odd ones, of the coordinate in 0..2 pi (counted from
    1) divided by 10000^(2 floor(i / 2) / (channels / 2)). The y half comes first.

    Args:
        channels: a multiple of 4.

    Returns:
        (height, width, channels) float32.

    Raises:
        ValueError: channels is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"channels: expected a multiple of 4, found {channels}")
    rows, columns = (_sine_of_axis(count, channels // 2, device) for count in (height, width))
    return torch.cat([rows[:, None].expand(-1, width, -1), columns.expand(height, -1, -1)], 2)


def _sine_of_axis(count: int, features: int, device: torch.device | str | None) -> Tensor:
    coordinates = torch.arange(1, count + 1, dtype=torch.float32, device=device) / (count + 1e-6) * (2 * math.pi)
    pairs = torch.arange(features // 2, dtype=torch.float32, device=device)
    angles = coordinates[:, None] / TEMPERATURE ** (2 * pairs / features)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def pixel_centres(shapes: Sequence[tuple[int, int]], device: torch.device | str | None = None) -> Tensor:
    """Return the centres of the cells of several maps, one map after the other, row-major.

    Args:
        shapes: height and width of each map.

    Returns:
        (positions of all maps, 2) float32, x and y in 0..1 of the image.
    """
    centres = []
    for height, width in shapes:
        y, x = ((torch.arange(count, dtype=torch.float32, device=device) + 0.5) / count for count in (height, width))
        centres.append(torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], 2).flatten(0, 1))
    return torch.cat(centres)
