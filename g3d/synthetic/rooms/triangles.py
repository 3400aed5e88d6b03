"""Solids to triangles, for pictures: exact but for round parts, which become facets within about 2 mm."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from g3d.kernels.distance_field import BOX, CONE, ELLIPSOID
from g3d.synthetic.rooms.solids import SolidArrays

_SIDES, _RINGS, _CORNER = 28, 14, 7


def triangulate(shapes: SolidArrays) -> tuple[np.ndarray, np.ndarray]:
    """The surfaces of solids.

    Returns:
        (T, 3, 3) float64 triangles in the frame of the solids, counter-clockwise seen from outside; (T,) int64, the
        solid of each.
    """
    parts, owners = [], []
    for k in range(len(shapes.kinds)):
        local = _local(int(shapes.kinds[k]), shapes.halves[k], shapes.extras[k])
        parts.append(local @ shapes.rotations[k].T + shapes.centres[k])
        owners.append(np.full(len(local), k))
    return np.concatenate(parts), np.concatenate(owners)


def _local(kind: int, half: np.ndarray, extra: np.ndarray) -> np.ndarray:
    if kind == BOX:
        signs = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1))).reshape(3, -1).T
        if extra[0] == 0:
            return _hull(signs * half)
        octant = np.abs(_sphere(4 * _CORNER, 2 * _CORNER))
        octant = np.unique(np.round(octant, 12), axis=0)
        return _hull((signs[:, None] * (half - extra[0] + extra[0] * octant)).reshape(-1, 3))
    if kind == CONE:
        turn = 2 * np.pi * np.arange(_SIDES) / _SIDES
        ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(_SIDES)], 1)
        up = np.array([0, 0, half[2]])
        return _hull(np.concatenate([half[0] * ring - up, half[1] * ring + up]))
    if kind == ELLIPSOID:
        return _hull(_sphere(_SIDES, _RINGS) * half)
    return _rim(half, extra[0], extra[1])


def _sphere(sides: int, rings: int) -> np.ndarray:
    """(N, 3) points of the unit sphere, poles included."""
    turn, tilt = 2 * np.pi * np.arange(sides) / sides, np.pi * np.arange(rings + 1) / rings
    points = np.stack(
        [
            np.outer(np.sin(tilt), np.cos(turn)),
            np.outer(np.sin(tilt), np.sin(turn)),
            np.repeat(np.cos(tilt)[:, None], sides, 1),
        ],
        -1,
    )
    return points.reshape(-1, 3)


def _hull(points: np.ndarray) -> np.ndarray:
    """(T, 3, 3): the convex hull of points."""
    hull = ConvexHull(points)
    triangles = points[hull.simplices]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    inwards = (normals * hull.equations[:, :3]).sum(1) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    return triangles


def _rim(half: np.ndarray, corner: float, wall: float) -> np.ndarray:
    outer, inner = _outline(half[:2], corner), _outline(half[:2] - wall, max(corner - wall, 0.0))
    rings = [np.column_stack([line, np.full(len(line), z)]) for line in (outer, inner) for z in (-half[2], half[2])]
    outer_low, outer_high, inner_low, inner_high = rings
    bands = [(outer_low, outer_high), (outer_high, inner_high), (inner_high, inner_low), (inner_low, outer_low)]
    return np.concatenate([_band(low, high) for low, high in bands])


def _outline(half: np.ndarray, corner: float) -> np.ndarray:
    """(4 * _CORNER, 2): a rounded rectangle, counter-clockwise."""
    lines = []
    for quarter, (x, y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        turn = np.pi / 2 * (quarter + np.linspace(0, 1, _CORNER))
        middle = np.array([x, y]) * (half - corner)
        lines.append(middle + corner * np.stack([np.cos(turn), np.sin(turn)], 1))
    return np.concatenate(lines)


def _band(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Triangles between two rings of equally many points."""
    low_next, high_next = np.roll(low, -1, 0), np.roll(high, -1, 0)
    return np.concatenate([np.stack([low, low_next, high_next], 1), np.stack([low, high_next, high], 1)])
