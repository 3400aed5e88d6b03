"""Points on the surface of a mesh whose vertices are too far apart to stand for it, such as a modelled room."""

from __future__ import annotations

import logging

import numpy as np

log = logging.getLogger(__name__)

SPARSE = 0.06
"""Metres: a mesh whose vertices are farther apart than this, on average over its surface, is sampled."""
_SPACING = 0.025  # metres between drawn points, as in a scan
_MOST = 400_000  # drawn points


def surface_points(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, random: np.random.Generator, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and colours on the surface of a sparse mesh, about 2.5 cm apart; other meshes and clouds are
    returned as they are.

    Args:
        vertices: (N, 3) float32, metres.
        faces: (F, 3) integer; F = 0 for a cloud.
        colours: (N, 3) uint8; drawn points have those of their face's corners, by distance.
        random: draws the points.
        name: the scene's name, for the report.

    Returns:
        (M, 3) float32 and (M, 3) uint8.
    """
    areas = _areas(vertices, faces)
    total = float(areas.sum())
    if total <= len(vertices) * SPARSE**2:
        return vertices, colours
    count = int(min(_MOST, np.ceil(total / _SPACING**2)))
    chosen = faces[random.choice(len(faces), count, p=areas / total)]
    first, second = np.sqrt(random.random(count)), random.random(count)
    shares = np.column_stack([1 - first, first * (1 - second), first * second])
    log.info("scene %s: %d vertices are few for %.0f m2: %d points are drawn on it", name, len(vertices), total, count)
    points = np.einsum("nk,nkc->nc", shares, vertices[chosen].astype(np.float64))
    mixed = np.einsum("nk,nkc->nc", shares, colours[chosen].astype(np.float64))
    return points.astype(np.float32), np.rint(mixed).astype(np.uint8)


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the areas (F,) float64 of faces, square metres."""
    corners = vertices[faces].astype(np.float64)
    return 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
