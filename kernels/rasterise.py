"""Rasterisation of triangles on a CPU: projection with near-plane clipping, z-buffer, coverage and extent.

A pixel's coordinates are those of its centre, as in KITTI. All kernels share one coverage rule: a sample belongs to a
triangle if its centre is between the crossings of its row with the triangle's edges, the left one inclusive, the right
one exclusive. Neighbours that share an edge therefore leave no gap and no overlap. Depth is stored as its inverse,
which is linear on the screen: larger is nearer, 0 is empty.

Shapes: T triangles in space, M triangles on the screen (clipping turns one triangle into up to two); frames as in
    g3d/geometry/cameras.py.
"""

from __future__ import annotations

import math

import numpy as np

from g3d.kernels.compiled import kernel, part

NOTHING = -1


@kernel(error_model="numpy")
def project(triangles: np.ndarray, camera: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Clip triangles at the near plane and project them.

    Args:
        triangles: (T, 3, 3) float64, corners in the camera frame, metres.
        camera: (3, 4) float64 projection matrix.
        near: smallest depth that is kept, metres, > 0.

    Returns:
        (M, 3, 3) float64: u, v in pixels and inverse depth of each corner; (M,) int32: the index of the source
        triangle.
    """
    screen = np.empty((2 * len(triangles), 3, 3))
    source = np.empty(2 * len(triangles), np.int32)
    count = 0
    corner = np.empty((3, 3))  # homogeneous pixels of the triangle's corners
    clipped = np.empty((4, 3))
    for t in range(len(triangles)):
        for k in range(3):
            x, y, z = triangles[t, k, 0], triangles[t, k, 1], triangles[t, k, 2]
            for row in range(3):
                corner[k, row] = camera[row, 0] * x + camera[row, 1] * y + camera[row, 2] * z + camera[row, 3]
        kept = 0
        for k in range(3):
            following = (k + 1) % 3
            if corner[k, 2] >= near:
                clipped[kept] = corner[k]
                kept += 1
            if (corner[k, 2] >= near) != (corner[following, 2] >= near):
                along = (near - corner[k, 2]) / (corner[following, 2] - corner[k, 2])
                clipped[kept, 0] = corner[k, 0] + along * (corner[following, 0] - corner[k, 0])
                clipped[kept, 1] = corner[k, 1] + along * (corner[following, 1] - corner[k, 1])
                clipped[kept, 2] = near
                kept += 1
        for fan in range(2, kept):
            for slot, k in enumerate((0, fan - 1, fan)):
                screen[count, slot, 2] = 1.0 / clipped[k, 2]
                screen[count, slot, 0] = clipped[k, 0] * screen[count, slot, 2]
                screen[count, slot, 1] = clipped[k, 1] * screen[count, slot, 2]
            source[count] = t
            count += 1
    return screen[:count], source[:count]


@part(error_model="numpy")
def _outline(triangle: np.ndarray) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return the corners from top to bottom, x0 y0 x1 y1 x2 y2, and dx/dy of the edges 0-2, 0-1, 1-2.

    Edges run from top to bottom, so that both triangles at an edge compute the same crossings.
    """
    x0, y0, x1, y1, x2, y2 = (
        triangle[0, 0],
        triangle[0, 1],
        triangle[1, 0],
        triangle[1, 1],
        triangle[2, 0],
        triangle[2, 1],
    )
    if y1 < y0:
        x0, y0, x1, y1 = x1, y1, x0, y0
    if y2 < y1:
        x1, y1, x2, y2 = x2, y2, x1, y1
    if y1 < y0:
        x0, y0, x1, y1 = x1, y1, x0, y0
    return x0, y0, x1, y1, x2, y2, (x2 - x0) / (y2 - y0), (x1 - x0) / (y1 - y0), (x2 - x1) / (y2 - y1)


@part(error_model="numpy")
def _between(low: float, high: float, first: float, step: float, count: int) -> tuple[int, int]:
    """Return the range [start, stop) of the `count` samples at first + step * k that are in [low, high)."""
    last = first + step * (count - 1)
    if high <= first or low > last or not low < high:
        return 0, 0
    start = 0 if low <= first else math.ceil((low - first) / step)
    stop = count if high > last else math.ceil((high - first) / step)
    return start, stop


@part(error_model="numpy")
def _crossings(
    outline: tuple[float, float, float, float, float, float, float, float, float], y: float
) -> tuple[float, float]:
    """Return the left and right crossings of the outline with the horizontal line at y, within the triangle's range."""
    x0, y0, x1, y1, _, _, whole, upper, lower = outline
    a = x0 + (y - y0) * whole
    b = x0 + (y - y0) * upper if y < y1 else x1 + (y - y1) * lower
    return min(a, b), max(a, b)


@kernel(error_model="numpy")
def draw(screen: np.ndarray, source: np.ndarray, samples: int, inverse_depth: np.ndarray, index: np.ndarray) -> None:
    """Update the z-buffer with the nearest triangle at every sample; at equal depth the first triangle wins.

    Args:
        screen, source: as `project` returns them.
        samples: samples along each side of a pixel.
        inverse_depth: (H * samples, W * samples) float32, initially zeros, updated.
        index: the same shape, int32, initially `NOTHING`, updated with `source`.
    """
    height, width = index.shape
    step = 1.0 / samples
    first = 0.5 * step - 0.5
    for m in range(len(screen)):
        triangle = screen[m]
        if (
            max(triangle[0, 0], triangle[1, 0], triangle[2, 0]) < first
            or min(triangle[0, 0], triangle[1, 0], triangle[2, 0]) > first + step * width
        ):
            continue
        ux, uy, uw = triangle[1, 0] - triangle[0, 0], triangle[1, 1] - triangle[0, 1], triangle[1, 2] - triangle[0, 2]
        vx, vy, vw = triangle[2, 0] - triangle[0, 0], triangle[2, 1] - triangle[0, 1], triangle[2, 2] - triangle[0, 2]
        area = ux * vy - uy * vx
        if area == 0.0:
            continue
        slope_x, slope_y = (uw * vy - vw * uy) / area, (vw * ux - uw * vx) / area
        outline = _outline(triangle)
        start_row, stop_row = _between(outline[1], outline[5], first, step, height)
        for row in range(start_row, stop_row):
            y = first + step * row
            left, right = _crossings(outline, y)
            start, stop = _between(left, right, first, step, width)
            at_zero = triangle[0, 2] + slope_y * (y - triangle[0, 1]) + slope_x * (first - triangle[0, 0])
            for column in range(start, stop):
                value = np.float32(at_zero + slope_x * step * column)
                if value > inverse_depth[row, column]:
                    inverse_depth[row, column] = value
                    index[row, column] = source[m]


@kernel(error_model="numpy")
def cover(
    screen: np.ndarray, first: tuple[float, float], step: tuple[float, float], mask: np.ndarray, bit: int
) -> None:
    """Set `bit` in a uint8 mask wherever any triangle covers the sample at `first` + `step` * (column, row), without a
    depth test."""
    height, width = mask.shape
    for m in range(len(screen)):
        outline = _outline(screen[m])
        start_row, stop_row = _between(outline[1], outline[5], first[1], step[1], height)
        for row in range(start_row, stop_row):
            left, right = _crossings(outline, first[1] + step[1] * row)
            start, stop = _between(left, right, first[0], step[0], width)
            for column in range(start, stop):
                mask[row, column] |= bit


@kernel(error_model="numpy")
def extent(screen: np.ndarray, window: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return the exact extent (left, top, right, bottom) of the part of the triangles inside the window; left > right
    if there is none."""
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    polygon, clipped = np.empty((8, 2)), np.empty((8, 2))
    for m in range(len(screen)):
        size = 3
        polygon[:3] = screen[m, :, :2]
        for side in range(4):  # left, top, right, bottom
            axis, sign = side % 2, (1.0 if side < 2 else -1.0)
            kept = 0
            for k in range(size):
                following = (k + 1) % size
                inside, next_inside = (
                    sign * (polygon[k, axis] - window[side]),
                    sign * (polygon[following, axis] - window[side]),
                )
                if inside >= 0:
                    clipped[kept] = polygon[k]
                    kept += 1
                if (inside >= 0) != (next_inside >= 0):
                    other = 1 - axis
                    clipped[kept, axis] = window[side]
                    clipped[kept, other] = polygon[k, other] + inside / (inside - next_inside) * (
                        polygon[following, other] - polygon[k, other]
                    )
                    kept += 1
            polygon[:kept] = clipped[:kept]
            size = kept
        for k in range(size):
            left, right = min(left, polygon[k, 0]), max(right, polygon[k, 0])
            top, bottom = min(top, polygon[k, 1]), max(bottom, polygon[k, 1])
    return left, top, right, bottom


def reference(
    triangles: np.ndarray, camera: np.ndarray, image_size: tuple[int, int], samples: int = 1, near: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Intersect the rays of all samples with all triangles (Cramer's rule); shares no code with the kernels.

    Returns:
        (H * samples, W * samples) float64 inverse depth and int64 index of the nearest triangle. Memory is proportional
        to T * W * samples.
    """
    centre = np.linalg.solve(camera[:, :3], -camera[:, 3])
    edges = np.stack([triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]], 1)
    columns, rows = ((np.arange(n * samples) + 0.5) / samples - 0.5 for n in image_size)
    inverse_depth, index = np.zeros((len(rows), len(columns))), np.full((len(rows), len(columns)), NOTHING)
    for r, v in enumerate(rows):
        # Rays are scaled so that their parameter is the third homogeneous coordinate, the depth that the kernels store.
        rays = np.linalg.solve(camera[:, :3], np.stack([columns, np.full_like(columns, v), np.ones_like(columns)])).T
        across = np.cross(rays[None], edges[:, None, 1])
        determinant = (across * edges[:, None, 0]).sum(-1)
        offset = centre - triangles[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            first = (across * offset[:, None]).sum(-1) / determinant
            turned = np.cross(offset, edges[:, 0])
            second = (rays[None] * turned[:, None]).sum(-1) / determinant
            depth = (edges[:, 1] * turned).sum(-1)[:, None] / determinant
        hit = (first >= 0) & (second >= 0) & (first + second <= 1) & (depth > near)
        nearness = np.where(hit, 1 / np.where(hit, depth, 1), 0)
        best = nearness.argmax(0)
        inverse_depth[r] = nearness[best, np.arange(len(columns))]
        index[r] = np.where(inverse_depth[r] > 0, best, NOTHING)
    return inverse_depth, index
