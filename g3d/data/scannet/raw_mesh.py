"""Unchecked meshes with the types and numbers of their files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Polygons:
    """Faces with any number of corners.

    Attributes:
        corners: (K,) integer, indices of the vertices, face after face.
        sizes: (F,) int64, number of corners of each face; they sum to K.
    """

    corners: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> Polygons:
        """Return the faces stored as rows (F, n) of n corners each."""
        return cls(rows.reshape(-1), np.full(len(rows), rows.shape[1], np.int64))

    @classmethod
    def of_lists(cls, lists: np.ndarray) -> Polygons:
        """Return the faces stored as (F,) arrays of different lengths."""
        sizes = np.fromiter(map(len, lists), np.int64, len(lists))
        return cls(np.concatenate(lists) if len(lists) else np.zeros(0, np.int64), sizes)

    def face(self, index: int) -> np.ndarray:
        """Return the corners of one face."""
        first = int(self.sizes[:index].sum())
        return self.corners[first : first + int(self.sizes[index])]

    def triangles(self) -> np.ndarray:
        """Split each face into the triangles around its first corner; a face of n corners becomes n - 2 triangles.

        Returns:
            (T, 3) with the element type of `corners`, in the order of the faces. Faces of fewer than three corners have
            no triangle.
        """
        if (self.sizes == 3).all():
            return self.corners.reshape(-1, 3)
        count = np.maximum(self.sizes - 2, 0)
        first = np.repeat(np.cumsum(self.sizes) - self.sizes, count)
        step = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        return np.stack([self.corners[first], self.corners[first + step + 1], self.corners[first + step + 2]], 1)


@dataclass(frozen=True, eq=False)
class RawMesh:
    """The arrays of a mesh file with the types and numbers of the file.

    Attributes:
        vertices: (N, 3) floating; they may be infinite or NaN.
        polygons: faces; None for a point cloud.
        colours: three arrays (N,) of any type, red, green, blue; None if the file has none.
        labels: (N,) of any type, the vertex property `label`; None if the file has none.
        total: number of vertices in the file; None: N.
        step: the vertices are every step-th of the file, from the first.
    """

    vertices: np.ndarray
    polygons: Polygons | None = None
    colours: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    labels: np.ndarray | None = None
    total: int | None = None
    step: int = 1

    def thinned(self, most: int) -> RawMesh:
        """Return a cloud with at most `most` points, of which every k-th is kept; a mesh is returned as it is."""
        count = len(self.vertices)
        if self.polygons is not None or self.step > 1 or count <= most:
            return self
        step = -(-count // most)
        colours, labels = self.colours, None if self.labels is None else self.labels[::step]
        if colours is not None:
            colours = (colours[0][::step], colours[1][::step], colours[2][::step])
        return RawMesh(self.vertices[::step].copy(), None, colours, labels, count, step)
