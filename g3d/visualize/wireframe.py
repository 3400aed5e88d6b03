"""Project 3D boxes into an image: edges and front face, clipped at the near plane and at the image's border.

All clipping is done in homogeneous pixels h = P [x y z 1] = (u w, v w, w), where the near plane and the four borders
are half-spaces. A box that extends behind the camera therefore loses only the invisible part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g3d.data.answers import CameraBoxes
from g3d.geometry.boxes import EDGES, FRONT_FACE, box_corners

NEAR = 0.1  # depth of the near plane at which boxes are clipped, metres
FACES = (FRONT_FACE, (2, 3, 7, 6), (0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 2, 3), (4, 5, 6, 7))


@dataclass(frozen=True, eq=False)
class Wireframe:
    """One projected box, in pixels; pixel centres are at integer coordinates.

    Attributes:
        edges: (E, 2, 2) float64, the parts of the 12 edges inside the view.
        hidden: (E,) bool, edges on the box's far side.
        front: (K, 2) float64, outline of the front face, K = 0 if it is outside the view.
        bounds: (4,) float64, x1 y1 x2 y2 around all edges.
    """

    edges: np.ndarray
    hidden: np.ndarray
    front: np.ndarray
    bounds: np.ndarray


def camera_centre(camera: np.ndarray) -> np.ndarray:
    """Return the centre of projection of a (3, 4) projection matrix: (3,) metres, camera frame."""
    return -np.linalg.solve(camera[:, :3], camera[:, 3])


def has_box3d(objects: CameraBoxes) -> np.ndarray:
    """Return which objects have a 3D box, (N,) bool. DontCare regions and labels without a box have sizes of -1
    and locations of -1000."""
    return (objects.sizes > 0).all(1) & (objects.locations[:, 2] > -999)


def distances(objects: CameraBoxes) -> np.ndarray:
    """Return the horizontal distances of objects from the camera frame's origin, (N,) metres."""
    return np.hypot(objects.locations[:, 0], objects.locations[:, 2])


def wireframes(
    objects: CameraBoxes, camera: np.ndarray, image_size: tuple[int, int], margin: float = 0.0
) -> list[Wireframe | None]:
    """Project N boxes; the result is None for a box outside the view.

    Args:
        objects: N objects in the camera frame.
        camera: (3, 4) projection matrix.
        image_size: (width, height), pixels.
        margin: width of the border around the image in which lines are kept, as a fraction of the image size.
    """
    corners = box_corners(objects.locations, objects.sizes, objects.rotation_y)
    planes = _half_spaces(image_size, margin)
    usable = has_box3d(objects)
    return [_wireframe(box, camera, planes) if use else None for box, use in zip(corners, usable, strict=True)]


def _wireframe(corners: np.ndarray, camera: np.ndarray, planes: np.ndarray) -> Wireframe | None:
    projected = corners @ camera[:, :3].T + camera[:, 3]
    seen = _faces_seen(corners, camera)
    pieces, hidden = [], []
    for a, b in EDGES:
        piece = _clip(projected[[a, b]], planes, closed=False)
        if len(piece) == 2:
            pieces.append(_pixels(piece))
            hidden.append(not any(seen[k] for k, face in enumerate(FACES) if a in face and b in face))
    if not pieces:
        return None
    edges = np.stack(pieces)
    front = _clip(projected[list(FRONT_FACE)], planes, closed=True)
    bounds = np.concatenate([edges.min((0, 1)), edges.max((0, 1))])
    return Wireframe(edges, np.array(hidden), _pixels(front), bounds)


def _faces_seen(corners: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return which faces point towards the camera, (6,) bool; all faces if the camera is inside the box."""
    eye = camera_centre(camera)
    faces = corners[np.array(FACES)]
    centres = faces.mean(1)
    outward = centres - corners.mean(0)
    seen = ((eye - centres) * outward).sum(1) > 0
    return seen if seen.any() else np.ones(6, bool)


def _half_spaces(image_size: tuple[int, int], margin: float) -> np.ndarray:
    """Return near plane, left, right, top and bottom as (5, 4) half-spaces with `planes[:, :3] @ h + planes[:, 3] >=
    0`."""
    width, height = image_size
    left, right = -0.5 - margin * width, width - 0.5 + margin * width
    top, bottom = -0.5 - margin * height, height - 0.5 + margin * height
    return np.array([[0, 0, 1, -NEAR], [1, 0, -left, 0], [-1, 0, right, 0], [0, 1, -top, 0], [0, -1, bottom, 0]], float)


def _clip(points: np.ndarray, planes: np.ndarray, closed: bool) -> np.ndarray:
    """Clip a polygon (closed) or a segment, (K, 3) homogeneous, at all half-spaces in turn (Sutherland and Hodgman)."""
    if (points @ planes[:, :3].T + planes[:, 3] >= 0).all():
        return points
    for plane in planes:
        inside = points @ plane[:3] + plane[3]
        kept: list[np.ndarray] = []
        for k, point in enumerate(points):
            if inside[k] >= 0:
                kept.append(point)
            following = (k + 1) % len(points)
            if (closed or following) and (inside[k] >= 0) != (inside[following] >= 0):
                share = inside[k] / (inside[k] - inside[following])
                kept.append(point + share * (points[following] - point))
        if not kept:
            return np.zeros((0, 3))
        points = np.stack(kept)
    return points


def _pixels(points: np.ndarray) -> np.ndarray:
    return points[:, :2] / points[:, 2:]
