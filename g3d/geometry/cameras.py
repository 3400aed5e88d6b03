"""Pinhole cameras given by a 3x4 projection matrix in KITTI's convention (P2).

The convention is pixels = P [x y z 1], with points in the camera-0 frame in metres.
"""

from __future__ import annotations

import math

import numpy as np


def camera_from_focal(focal: float, image_size: tuple[int, int]) -> np.ndarray:
    """Return the projection matrix (3, 4) of a camera with square pixels and the principal point in the image centre.

    Args:
        focal: focal length in pixels.
        image_size: (width, height), pixels.
    """
    return np.array([[focal, 0, image_size[0] / 2, 0], [0, focal, image_size[1] / 2, 0], [0, 0, 1, 0]], float)


def focal_from_field_of_view(degrees: float, width: int) -> float:
    """Return the focal length in pixels of a camera with a given horizontal field of view.

    Args:
        degrees: horizontal field of view, 0 to 180 degrees.
        width: width of the image in pixels.
    """
    return width / 2 / math.tan(math.radians(degrees) / 2)


def camera_offset(camera: np.ndarray) -> np.ndarray:
    """Return (2,) metres: x and y in the camera-0 frame of the camera that took the image (-P[0,3]/fu, -P[1,3]/fv)."""
    return np.array([-camera[0, 3] / camera[0, 0], -camera[1, 3] / camera[1, 1]])


def project(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Project points (..., 3) in the camera frame, metres, to pixels (..., 2), dividing by the third row of P."""
    homogeneous = points @ camera[:, :3].T + camera[:, 3]
    return homogeneous[..., :2] / homogeneous[..., 2:]


def project_at_depth(points: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Project points (..., 3) to pixels (..., 2), dividing by the point's own z as xinzhuma/monodle does.

    The divisor differs from that of `project` by P[2, 3] (2.7 mm in KITTI). This function is the exact inverse of
    `unproject`.
    """
    return (points @ camera[:2, :3].T + camera[:2, 3]) / points[..., 2:]


def unproject(pixels: np.ndarray, depth: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return points (..., 3) in the camera frame from pixels (..., 2) and depth z (...) in metres."""
    focal = np.array([camera[0, 0], camera[1, 1]])
    lateral = (pixels - camera[:2, 2]) * np.asarray(depth)[..., None] / focal + camera_offset(camera)
    return np.concatenate([lateral, np.asarray(depth)[..., None]], -1)


def ray_angle(u: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return the angle about y of a pixel column's viewing ray, radians.

    For an object centred at u, rotation_y = alpha + ray_angle(u).
    """
    return np.arctan2(u - camera[0, 2], camera[0, 0])
