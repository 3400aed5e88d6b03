"""LAS files for tests: random points in a room, written in chunks."""

from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np


def write_las(
    path: Path, count: int, corner: tuple[float, float, float] = (0.0, 0.0, 0.0), brightest: int | None = 65535
) -> Path:
    """Write points that fill a box of 5 x 4 x 2.6 m as a LAS or LAZ file.

    The x of point k of `count` is 5 k / count metres from the corner, so that a test knows which points were kept.

    Args:
        path: the file; its suffix decides the format.
        count: number of points.
        corner: smallest coordinates, metres.
        brightest: largest value of a colour; None for a format without colours.
    """
    header = laspy.LasHeader(point_format=0 if brightest is None else 2, version="1.2")
    header.scales, header.offsets = np.full(3, 1e-4), np.floor(corner)
    random, chunk = np.random.default_rng(0), 1_000_000
    with laspy.open(path, "w", header=header) as file:
        for first in range(0, count, chunk):
            rows = np.arange(first, min(first + chunk, count))
            points = laspy.ScaleAwarePointRecord.zeros(len(rows), header=header)
            points.x = corner[0] + 5 * rows / count
            points.y = corner[1] + 4 * random.random(len(rows))
            points.z = corner[2] + 2.6 * random.random(len(rows))
            if brightest is not None:
                points.red, points.green = brightest * rows // count, np.full(len(rows), brightest)
            file.write_points(points)
    return path
