"""Points on the surface of a mesh whose vertices are too far apart to stand for it, such as a modelled room."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

log = logging.getLogger(__name__)

SPARSE = 0.06
"""Metres: a mesh whose vertices are farther apart than this, on average over its surface, is sampled."""
_SPACING = 0.025  # metres between drawn points, as in a scan
_MOST = 400_000  # drawn points


def is_sparse(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Return whether the vertices (N, 3), metres, of a mesh with faces (F, 3) are too few for its surface."""
    return len(faces) > 0 and float(_areas(vertices, faces).sum()) > len(vertices) * SPARSE**2


def surface_points(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, random: Callable[[], np.random.Generator], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and colours on the surface of a sparse mesh, about 2.5 cm apart; other meshes are returned as they
    are.

    Args:
        vertices: (N, 3) float32, metres.
        faces: (F, 3) integer.
        colours: (N, 3) uint8; drawn points have those of their face's corners, by distance.
        random: makes the generator of the drawn points.
        name: the scene's name, for the report.

    Returns:
        (M, 3) float32 and (M, 3) uint8.
    """
    if not is_sparse(vertices, faces):
        return vertices, colours
    areas = _areas(vertices, faces)
    total, generator = float(areas.sum()), random()
    count = int(min(_MOST, np.ceil(total / _SPACING**2)))
    chosen = faces[generator.choice(len(faces), count, p=areas / total)]
    first, second = np.sqrt(generator.random(count)), generator.random(count)
    shares = np.column_stack([1 - first, first * (1 - second), first * second])
    log.info("scene %s: %d vertices are few for %.0f m2: %d points are drawn on it", name, len(vertices), total, count)
    points = np.einsum("nk,nkc->nc", shares, vertices[chosen].astype(np.float64))
    mixed = np.einsum("nk,nkc->nc", shares, colours[chosen].astype(np.float64))
    return points.astype(np.float32), np.rint(mixed).astype(np.uint8)


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the areas (F,) float64 of faces, square metres."""
    corners = vertices[faces].astype(np.float64)
    return 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
