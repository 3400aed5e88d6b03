"""A floor and a wall that share no vertex: a mesh of two superpoints, in any of the ways in which users store one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.drawn_mesh import ply

CELLS = 24


def vertices() -> np.ndarray:
    """Return (N, 3) float64, metres: a grid on the floor, then one on the wall, 5 cm apart."""
    first, second = (axis.ravel() * 0.05 for axis in np.mgrid[: CELLS + 1, : CELLS + 1])
    zero = np.zeros_like(first)
    return np.concatenate([np.stack([first, second, zero], 1), np.stack([first, zero - 0.05, second + 0.05], 1)])


def quads() -> list[tuple[int, ...]]:
    """Return the cells of both grids as faces of four corners."""
    row = CELLS + 1
    return [
        (a, a + row, a + row + 1, a + 1)
        for plane in range(2)
        for a in (plane * row * row + k * row + j for k in range(CELLS) for j in range(CELLS))
    ]


def triangles() -> list[tuple[int, ...]]:
    """Return the same cells as triangles, split at their first corner."""
    return [t for a, b, c, d in quads() for t in ((a, b, c), (a, c, d))]


def write_planes(
    path: Path,
    number: str = "float",
    colour: str | None = None,
    faces: list[tuple[int, ...]] | None = None,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    broken: tuple[int, ...] = (),
    format: str = "binary_little_endian",
) -> Path:
    """Write the mesh as a PLY file.

    Args:
        number: type of the coordinates.
        colour: type of the colours; None for none.
        faces: triangles by default.
        offset: added to the coordinates.
        broken: vertices whose y is NaN.
    """
    points = vertices() + offset
    points[list(broken), 1] = np.nan
    values = {axis: points[:, k].tolist() for k, axis in enumerate("xyz")}
    colours = [0.5 if colour == "float" else 128] * len(points)
    names = () if colour is None else ("red", "green", "blue")
    properties = (*(f"{number} {axis}" for axis in "xyz"), *(f"{colour} {name}" for name in names))
    return ply(
        path, properties, triangles() if faces is None else faces, format, values=values | dict.fromkeys(names, colours)
    )
