"""3D boxes; yaw, corner order and box centres are defined only here.

Camera frame: x right, y down, z forward, metres. A box is (location, size, rotation_y): the centre of its bottom face,
(height, width, length), and the yaw about y. At rotation_y = 0 the length lies along +x; positive yaw turns +x towards
-z: R_y = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]. The observation angle is alpha = rotation_y - atan2(x, z), except
for the camera's offset.
"""

from __future__ import annotations

import numpy as np

# Edges of the corners below: bottom ring, top ring, uprights. Corners 0, 1, 5, 4 are the front face (+length).
EDGES = (
    tuple((k, (k + 1) % 4) for k in range(4))
    + tuple((k + 4, (k + 1) % 4 + 4) for k in range(4))
    + tuple((k, k + 4) for k in range(4))
)
FRONT_FACE = (0, 1, 5, 4)


def wrap_angle(angle: np.ndarray | float) -> np.ndarray:
    """Return angles shifted by whole turns into [-pi, pi)."""
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi


def box_corners(locations: np.ndarray, sizes: np.ndarray, rotation_y: np.ndarray) -> np.ndarray:
    """Return the corners of N boxes.

    Args:
        locations: (N, 3) bottom centres, camera frame, metres.
        sizes: (N, 3) height, width, length, metres.
        rotation_y: (N,) radians.

    Returns:
        (N, 8, 3), camera frame: 0-3 the bottom ring at (+l+w, +l-w, -l-w, -l+w) / 2, 4-7 the same above (y - height).
    """
    height, width, length = (np.asarray(sizes, float)[:, k, None] for k in range(3))
    along = length / 2 * np.array([1, 1, -1, -1] * 2)
    across = width / 2 * np.array([1, -1, -1, 1] * 2)
    up = -height * np.array([0] * 4 + [1] * 4)
    cos, sin = np.cos(rotation_y)[:, None], np.sin(rotation_y)[:, None]
    corners = np.stack([cos * along + sin * across, up, -sin * along + cos * across], -1)
    return corners + np.asarray(locations, float)[:, None]


def scene_box_corners(centers: np.ndarray, sizes: np.ndarray, yaws: np.ndarray) -> np.ndarray:
    """Return the corners of N boxes of a scene, in the order of ScanRefer's files.

    Args:
        centers: (N, 3) scene frame (z up), metres.
        sizes: (N, 3) extents along the box's own x, y and z, metres.
        yaws: (N,) turn about z from +x towards +y, radians.

    Returns:
        (N, 8, 3) float64: the upper face at x + + - -, y + - - +, then the lower face in the same order.
    """
    signs = np.array([[x, y, z] for z in (1, -1) for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1))], float)
    x, y, z = np.moveaxis(signs * np.asarray(sizes, float)[:, None] / 2, -1, 0)
    cos, sin = np.cos(yaws)[:, None], np.sin(yaws)[:, None]
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], -1) + np.asarray(centers, float)[:, None]
