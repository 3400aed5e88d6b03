"""Batches of point clouds as the operators take them: what is checked, and how a dense batch is written as a ragged
one.

A ragged batch is the points of all its clouds, (T, 3), and their `offsets` (B + 1,) int64: cloud b is rows
offsets[b]..offsets[b + 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 2**31  # rows are numbered by 32 bits inside the kernels


def check_points(name: str, points: Tensor, shape: str) -> None:
    """That points are (B, N, 3) or (N, 3), as `shape` says, and float32.

    Raises:
        ValueError: they are not, or are too many.
    """
    if points.dim() != shape.count(",") + 1 or points.shape[-1] != 3 or points.dtype != torch.float32:
        raise ValueError(f"{name}: expected {shape} float32, found {tuple(points.shape)} {points.dtype}")
    if points.numel() // 3 >= ROWS:
        raise ValueError(f"{name}: expected fewer than 2^31 points, found {points.numel() // 3}")


def check_offsets(name: str, offsets: Tensor, of: Tensor) -> None:
    """That offsets are (B + 1,) int64 beside the points that they divide.

    Raises:
        ValueError: they are not.
    """
    if offsets.dim() != 1 or len(offsets) == 0 or offsets.dtype != torch.int64 or offsets.device != of.device:
        found = f"{tuple(offsets.shape)} {offsets.dtype} on {offsets.device}"
        raise ValueError(f"{name}: expected (B + 1,) int64 on {of.device}, found {found}")


def check_together(name: str, found: Tensor, first_name: str, first: Tensor) -> None:
    """That two tensors are on one device.

    Raises:
        ValueError: they are not.
    """
    if found.device != first.device:
        raise ValueError(f"{name}: expected to be on {first.device} as {first_name}, found {found.device}")


def dense_offsets(clouds: int, points: int, device: torch.device) -> Tensor:
    """The offsets of `clouds` clouds of the same number of points."""
    return torch.arange(clouds + 1, device=device) * points


def check_rise(name: str, offsets: Tensor, rows: int, least: int = 0) -> None:
    """The values of offsets on a CPU: from 0 to `rows`, each cloud with at least `least` points.

    Raises:
        ValueError: they are not so.
    """
    sizes = offsets.diff()
    if offsets[0] != 0 or offsets[-1] != rows or bool((sizes < 0).any()):
        raise ValueError(f"{name}: expected rows rising from 0 to {rows}, found {offsets.tolist()}")
    if bool((sizes < least).any()):
        raise ValueError(
            f"{name}: expected a point in every cloud, found none in cloud {int((sizes < least).int().argmax())}"
        )


def check_finite(name: str, points: Tensor) -> None:
    """That the coordinates on a CPU are finite: no order of distances exists otherwise.

    Raises:
        ValueError: one is not; names its row.
    """
    if points.numel() and not all(bound.isfinite() for bound in points.aminmax()):  # which NaN passes through
        row = int((~points.isfinite()).flatten(0, -2).any(1).int().argmax())
        raise ValueError(
            f"{name}: expected finite coordinates, found {points.flatten(0, -2)[row].tolist()} in row {row}"
        )


def check_features(name: str, features: Tensor, shape: str) -> None:
    """That features are (B, C, N), as `shape` says, and floating point.

    Raises:
        ValueError: they are not.
    """
    if features.dim() != 3 or not features.is_floating_point():
        raise ValueError(f"{name}: expected {shape} floating point, found {tuple(features.shape)} {features.dtype}")


def check_indices(indices: Tensor, count: int) -> None:
    """That indices on a CPU are 0..count - 1.

    Raises:
        ValueError: one is not.
    """
    if indices.numel():
        least, most = (int(bound) for bound in indices.aminmax())
        if least < 0 or most >= count:
            raise ValueError(f"indices: expected 0..{count - 1}, found {least}..{most}")


def computed(tensor: Tensor) -> Tensor:
    """A CPU tensor as the kernels compute with it: contiguous, float32 where it has fewer bits."""
    return tensor.detach().to(torch.float64 if tensor.dtype == torch.float64 else torch.float32).contiguous()
