"""Pinhole cameras given by a 3x4 projection matrix in KITTI's convention (P2): pixels = P [x y z 1], camera-0 frame in
metres."""

from __future__ import annotations

import math

import numpy as np


def camera_from_focal(focal: float, image_size: tuple[int, int]) -> np.ndarray:
    """Projection matrix (3, 4) of a camera with square pixels and the principal point in the middle of the image.

    Args:
        focal: focal length in pixels.
        image_size: (width, height), pixels.
    """
    return np.array([[focal, 0, image_size[0] / 2, 0], [0, focal, image_size[1] / 2, 0], [0, 0, 1, 0]], float)


def focal_from_field_of_view(degrees: float, width: int) -> float:
    """Focal length in pixels of a camera whose image of `width` pixels spans a horizontal field of view of so many
    degrees (0 to 180)."""
    return width / 2 / math.tan(math.radians(degrees) / 2)


def camera_offset(camera: np.ndarray) -> np.ndarray:
    """(2,) metres: how far x and y of the camera-0 frame lie from the camera that took the image (-P[0,3]/fu,
    -P[1,3]/fv)."""
    return np.array([-camera[0, 3] / camera[0, 0], -camera[1, 3] / camera[1, 1]])


def project(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Camera frame -> pixels, dividing by the third row: points (..., 3) metres -> (..., 2)."""
    homogeneous = points @ camera[:, :3].T + camera[:, 3]
    return homogeneous[..., :2] / homogeneous[..., 2:]


def project_at_depth(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Camera frame -> pixels, dividing by the point's own z as xinzhuma/monodle does: (..., 3) -> (..., 2).

    It differs from `project` by P[2, 3] (2.7 mm in KITTI) and is the exact inverse of `unproject`.
    """
    return (points @ camera[:2, :3].T + camera[:2, 3]) / points[..., 2:]


def unproject(pixels: np.ndarray, depth: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) and depth z (...) in metres -> points (..., 3) in the camera frame."""
    focal = np.array([camera[0, 0], camera[1, 1]])
    lateral = (pixels - camera[:2, 2]) * np.asarray(depth)[..., None] / focal + camera_offset(camera)
    return np.concatenate([lateral, np.asarray(depth)[..., None]], -1)


def ray_angle(u: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Angle of a pixel column's viewing ray about y, radians: rotation_y = alpha + ray_angle(u) for an object centred
    at u."""
    return np.arctan2(u - camera[0, 2], camera[0, 0])
