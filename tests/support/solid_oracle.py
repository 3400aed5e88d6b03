"""Distances to the solids of a synthetic room, from the definitions of the kinds and from nothing of g3d's code.

Outside a solid the distance is exact but for the ellipsoid's, which is found by projection; inside, it is that to the
nearest part of the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def surface_distance(points: np.ndarray, solids: Sequence[dict[str, Any]]) -> np.ndarray:
    """(N,) float64: signed distance in metres of points (N, 3) to the union of solids as <scene>.room.json has them."""
    return np.min([_one(points, solid) for solid in solids], axis=0)


def _one(points: np.ndarray, solid: dict[str, Any]) -> np.ndarray:
    local = (points - solid["center"]) @ np.array(solid["axes"])
    half, extra = np.array(solid["half"]), solid["extra"]
    if solid["kind"] == "box":
        return _rounded_box(local, half, extra[0])
    if solid["kind"] == "ellipsoid":
        return _ellipsoid(local, half)
    radius = np.hypot(local[:, 0], local[:, 1])
    if solid["kind"] == "cone":
        bottom, top, high = half
        profile = np.array([(0, -high), (bottom, -high), (top, high), (0, high)])
        return _polygon(np.stack([radius, local[:, 2]], 1), profile)
    corner, wall = extra
    outline = _rounded_box(np.column_stack([local[:, :2]]), half[:2], corner)
    across = np.stack([outline, local[:, 2]], 1)
    profile = np.array([(-wall, -half[2]), (0, -half[2]), (0, half[2]), (-wall, half[2])])
    return _polygon(across, profile, closed=True)


def _rounded_box(local: np.ndarray, half: np.ndarray, radius: float) -> np.ndarray:
    """A box grown by `radius` from a smaller one, in any number of dimensions."""
    inner = half - radius
    outside = np.linalg.norm(local - np.clip(local, -inner, inner), axis=1)
    depth = (np.abs(local) - inner).max(1)
    return np.where(depth > 0, outside, depth) - radius


def _polygon(points: np.ndarray, corners: np.ndarray, closed: bool = False) -> np.ndarray:
    """A convex polygon, counter-clockwise; its last edge counts only if `closed` (the axis of a turned profile)."""
    ends = np.roll(corners, -1, 0)
    last = len(corners) if closed else len(corners) - 1
    inside = np.ones(len(points), bool)
    nearest = np.full(len(points), np.inf)
    for start, end in list(zip(corners, ends, strict=True))[:last]:
        edge, offset = end - start, points - start
        along = np.clip(offset @ edge / max(edge @ edge, 1e-18), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(offset - along[:, None] * edge, axis=1))
        inside &= edge[0] * offset[:, 1] - edge[1] * offset[:, 0] >= 0
    return np.where(inside, -nearest, nearest)


def _ellipsoid(local: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Lagrange's condition x = h^2 p / (h^2 + t) solved for t by bisection."""
    square = half**2
    low = np.full(len(local), -square.min() * (1 - 1e-9))
    high = half.max() * np.linalg.norm(local, axis=1) + 1e-9
    for _ in range(80):
        middle = (low + high) / 2
        level = ((half * local / (square + middle[:, None])) ** 2).sum(1)
        low, high = np.where(level > 1, middle, low), np.where(level > 1, high, middle)
    foot = square * local / (square + high[:, None])
    distance = np.linalg.norm(local - foot, axis=1)
    return np.where(((local / half) ** 2).sum(1) < 1, -distance, distance)
