"""Argument checks of the point-cloud operators, and conversion of dense batches to ragged batches.

A ragged batch consists of the points of all its clouds, (T, 3), and their `offsets` (B + 1,) int64: the rows of cloud b
are offsets[b]..offsets[b + 1] - 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 2**31  # the kernels number rows with 32 bits


def check_points(name: str, points: Tensor, shape: str) -> None:
    """Check that points are float32 and have the dimensions of `shape`, "(B, N, 3)" or "(N, 3)".

    Raises:
        ValueError: the shape or dtype is wrong, or there are 2^31 points or more.
    """
    if points.dim() != shape.count(",") + 1 or points.shape[-1] != 3 or points.dtype != torch.float32:
        raise ValueError(f"{name}: expected {shape} float32, found {tuple(points.shape)} {points.dtype}")
    if points.numel() // 3 >= ROWS:
        raise ValueError(f"{name}: expected fewer than 2^31 points, found {points.numel() // 3}")


def check_offsets(name: str, offsets: Tensor, of: Tensor) -> None:
    """Check that offsets are (B + 1,) int64 on the device of the points that they divide.

    Raises:
        ValueError: the shape, dtype or device is wrong.
    """
    if offsets.dim() != 1 or len(offsets) == 0 or offsets.dtype != torch.int64 or offsets.device != of.device:
        found = f"{tuple(offsets.shape)} {offsets.dtype} on {offsets.device}"
        raise ValueError(f"{name}: expected (B + 1,) int64 on {of.device}, found {found}")


def check_together(name: str, found: Tensor, first_name: str, first: Tensor) -> None:
    """Check that two tensors are on the same device.

    Raises:
        ValueError: the devices differ.
    """
    if found.device != first.device:
        raise ValueError(f"{name}: expected to be on {first.device} as {first_name}, found {found.device}")


def dense_offsets(clouds: int, points: int, device: torch.device) -> Tensor:
    """Return the offsets of `clouds` clouds with `points` points each, (clouds + 1,) int64."""
    return torch.arange(clouds + 1, device=device) * points


def check_rise(name: str, offsets: Tensor, rows: int, least: int = 0) -> None:
    """Check that offsets on a CPU rise from 0 to `rows` and give each cloud at least `least` points.

    Raises:
        ValueError: the offsets do not rise so, or a cloud has too few points.
    """
    sizes = offsets.diff()
    if offsets[0] != 0 or offsets[-1] != rows or bool((sizes < 0).any()):
        raise ValueError(f"{name}: expected rows rising from 0 to {rows}, found {offsets.tolist()}")
    if bool((sizes < least).any()):
        raise ValueError(
            f"{name}: expected a point in every cloud, found none in cloud {int((sizes < least).int().argmax())}"
        )


def check_finite(name: str, points: Tensor) -> None:
    """Check that coordinates on a CPU are finite; otherwise distances have no order.

    Raises:
        ValueError: a coordinate is not finite; the message names its row.
    """
    if points.numel() and not all(bound.isfinite() for bound in points.aminmax()):  # aminmax propagates NaN
        row = int((~points.isfinite()).flatten(0, -2).any(1).int().argmax())
        raise ValueError(
            f"{name}: expected finite coordinates, found {points.flatten(0, -2)[row].tolist()} in row {row}"
        )


def check_features(name: str, features: Tensor, shape: str) -> None:
    """Check that features are floating point with three dimensions, named by `shape` such as "(B, C, N)".

    Raises:
        ValueError: the number of dimensions or the dtype is wrong.
    """
    if features.dim() != 3 or not features.is_floating_point():
        raise ValueError(f"{name}: expected {shape} floating point, found {tuple(features.shape)} {features.dtype}")


def check_indices(indices: Tensor, count: int) -> None:
    """Check that indices on a CPU are in 0..count - 1.

    Raises:
        ValueError: an index is out of range.
    """
    if indices.numel():
        least, most = (int(bound) for bound in indices.aminmax())
        if least < 0 or most >= count:
            raise ValueError(f"indices: expected 0..{count - 1}, found {least}..{most}")


def computed(tensor: Tensor) -> Tensor:
    """Return a CPU tensor in the form that the kernels use: detached, contiguous, float64 kept, else float32."""
    return tensor.detach().to(torch.float64 if tensor.dtype == torch.float64 else torch.float32).contiguous()
