"""A user's own scan of a room: floor, four walls and furniture, as a mesh or cloud in any axes, unit and place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

SIZE = (5.0, 4.0, 2.6)
_CELL = 0.1


@dataclass(frozen=True, eq=False)
class OwnRoom:
    """A room in metres with z up: vertices (N, 3) float64, colours (N, 3) uint8, quads (Q, 4)."""

    vertices: np.ndarray
    colours: np.ndarray
    quads: np.ndarray

    @property
    def triangles(self) -> np.ndarray:
        """The quads, split at their first corner, (F, 3)."""
        return self.quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)

    def mesh(self, vertices: np.ndarray) -> trimesh.Trimesh:
        """The mesh with these vertices in place of its own."""
        alpha = np.full((len(vertices), 1), 255, np.uint8)
        return trimesh.Trimesh(vertices, self.triangles, process=False, vertex_colors=np.hstack([self.colours, alpha]))

    def write(self, path: Path, vertices: np.ndarray) -> Path:
        """Write the mesh with these vertices in the format of the suffix."""
        self.mesh(vertices).export(path)
        return path


def own_room(degrees: float = 20.0) -> OwnRoom:
    """Return a room of 5 x 4 x 2.6 m with a table, a bed and a cupboard, without ceiling, turned about z."""
    x, y, z = SIZE
    surfaces = [
        ((0, 0, 0), (x, 0, 0), (0, y, 0)),
        ((0, 0, 0), (0, 0, z), (x, 0, 0)),
        ((0, y, 0), (x, 0, 0), (0, 0, z)),
        ((0, 0, 0), (0, y, 0), (0, 0, z)),
        ((x, 0, 0), (0, 0, z), (0, y, 0)),
        *_box((0.5, 0.4, 0), (1.4, 0.8, 0.75)),
        *_box((3.0, 1.8, 0), (1.6, 2.0, 0.5)),
        *_box((0.1, 2.6, 0), (0.6, 1.2, 1.9)),
    ]
    vertices, quads, count = [], [], 0
    for corner, first, second in surfaces:
        points, cells = _grid(np.array(corner, float), np.array(first, float), np.array(second, float))
        vertices.append(points)
        quads.append(cells + count)
        count += len(points)
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    colours = np.random.default_rng(0).integers(0, 256, (count, 3)).astype(np.uint8)
    return OwnRoom(np.concatenate(vertices) @ rotation.T, colours, np.concatenate(quads))


def y_up(vertices: np.ndarray) -> np.ndarray:
    """Return points with z up in a frame with y up."""
    return np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], 1)


def _box(low: tuple[float, float, float], size: tuple[float, float, float]) -> list[tuple]:
    """Return the top and the four sides of a box."""
    (a, b, c), (x, y, z) = low, size
    return [
        ((a, b, c + z), (x, 0, 0), (0, y, 0)),
        ((a, b, c), (x, 0, 0), (0, 0, z)),
        ((a, b + y, c), (0, 0, z), (x, 0, 0)),
        ((a, b, c), (0, 0, z), (0, y, 0)),
        ((a + x, b, c), (0, y, 0), (0, 0, z)),
    ]


def _grid(corner: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices and quads of a rectangle; their normals point along first x second."""
    rows, columns = (max(round(float(np.linalg.norm(side)) / _CELL), 1) + 1 for side in (first, second))
    u, v = (axis.reshape(-1, 1) for axis in np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j])
    cells = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    return corner + u * first + v * second, cells + np.array([0, columns, columns + 1, 1])
