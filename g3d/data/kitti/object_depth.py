"""Object-wise depth maps: every labelled object's 2D box filled with the depth of its centre, nearer objects in front.

The maps supervise the auxiliary depth head of arXiv 2401.01075. A map consists of a few rectangles, so only the
rectangles are stored and transferred; the published files contain 1.86 MB of float32 pixels per frame instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from g3d.data.types import CameraBoxes

MIN_DEPTH = 2.0
"""Minimum depth in metres; nearer objects are left out, as published. There is no maximum."""


@dataclass(frozen=True, eq=False)
class DepthRectangles:
    """N rectangles in the order in which they are painted, farthest first.

    Attributes:
        edges: (N, 4) int64, left, top, right, bottom in pixels; right and bottom are exclusive, and all may lie outside
            the image.
        depth: (N,) float32, metres.
    """

    edges: np.ndarray
    depth: np.ndarray


def depth_rectangles(objects: CameraBoxes, classes: Collection[str] | None = None) -> DepthRectangles:
    """Return the rectangles of an image's labels in `painting_order`; box edges are rounded half to even."""
    order = painting_order(objects, classes)
    edges = np.rint(objects.boxes2d[order].astype(np.float32)).astype(np.int64)
    return DepthRectangles(edges, objects.locations[order, 2].astype(np.float32))


def painting_order(objects: CameraBoxes, classes: Collection[str] | None = None) -> np.ndarray:
    """Return the indices (K,) int64 of the labels that are painted, farthest first.

    An object is painted if it has a difficulty level (or an unknown truncation, which the published rule accepts), a
    depth of at least 2 m, and a box of positive width and height.

    Args:
        objects: labels of the image.
        classes: the classes to paint; None for all.

    Source: make_obj_depth of mingyuShin/DDML-M3DOD.
    """
    boxes, depth = objects.boxes2d.astype(np.float32), objects.locations[:, 2].astype(np.float32)
    kept = has_level(objects) & (depth >= MIN_DEPTH) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if classes is not None:
        kept &= np.isin(objects.classes, list(classes))
    order = np.flatnonzero(kept)
    return order[np.argsort(-depth[order], kind="stable")]


def paint(rectangles: DepthRectangles, image_size: tuple[int, int]) -> np.ndarray:
    """Return the depth map (H, W) float32 in metres of an image of (width, height) pixels, 0 without an object."""
    return _paint(rectangles, np.arange(image_size[0]), np.arange(image_size[1]))


def paint_warped(
    rectangles: DepthRectangles,
    image_size: tuple[int, int],
    flip: bool,
    inverse: np.ndarray,
    resolution: tuple[int, int],
) -> np.ndarray:
    """Return the map of `paint`, mirrored if `flip`, then warped by nearest neighbour, without creating the full map.

    Args:
        rectangles: rectangles in the unmirrored image.
        image_size: width, height of the image.
        flip: mirror the image before warping.
        inverse: (2, 3) network pixels -> pixels of the (mirrored) image, no rotation.
        resolution: width, height of the result.

    Returns:
        (height, width) float32, equal to g3d.data.images.image.warp_depth of the (mirrored) map.
    """
    columns, rows = (
        _sources(inverse[axis, axis], inverse[axis, 2], resolution[axis], image_size[axis]) for axis in (0, 1)
    )
    if flip:
        columns = np.where(columns < 0, columns, image_size[0] - 1 - columns)
    return _paint(rectangles, columns, rows)


def has_level(objects: CameraBoxes) -> np.ndarray:
    """Return which objects the published loader does not label "UnKnown", (N,) bool.

    These objects have a box height of at least 25 pixels (both border rows count), a truncation of at most 0.5 and an
    occlusion of at most 2 (largely occluded), or a truncation of -1 (unknown).
    """
    boxes = objects.boxes2d.astype(np.float32).astype(np.float64)  # the published loader stores boxes as float32
    heights = boxes[:, 3] - boxes[:, 1] + 1
    hard = (heights >= 25) & (objects.truncated <= 0.5) & (objects.occluded <= 2)
    return hard | (objects.truncated == -1)


def _sources(scale: float, offset: float, count: int, size: int) -> np.ndarray:
    """Return the source pixel of each of `count` target pixels along one axis, -1 outside the source.

    Positions are accumulated step by step, as Pillow does.
    """
    positions = np.full(count, scale)
    positions[0] = offset + scale * 0.5
    positions = np.add.accumulate(positions)
    return np.where((positions >= 0) & (positions < size), np.floor(positions), -1).astype(np.int64)


def _paint(rectangles: DepthRectangles, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a map whose pixel (i, j) shows the source pixel (rows[i], columns[j]).

    Both sequences are monotonic where they are not -1.
    """
    depth_map = np.zeros((len(rows), len(columns)), np.float32)
    for (left, top, right, bottom), depth in zip(rectangles.edges.tolist(), rectangles.depth, strict=True):
        across, down = _span(columns, left, right), _span(rows, top, bottom)
        depth_map[down, across] = depth
    return depth_map


def _span(sources: np.ndarray, start: int, stop: int) -> slice:
    """Return the slice of a monotonic sequence whose values lie in [max(start, 0), stop)."""
    found = np.flatnonzero((sources >= max(start, 0)) & (sources < stop))
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)
