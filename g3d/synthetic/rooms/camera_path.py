"""The path of a camera through a room: someone who walks from place to place and looks around, mostly at furniture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g3d.synthetic.rooms.room_types import Room

_CLOSE = 1.1  # metres
_STOPS_TURN = 6  # directions in which each place is looked around


@dataclass(frozen=True)
class DepthCamera:
    """The depth camera of ScanNet's sensor: focal length and principal point in pixels of a picture of 640 x 480.

    Attributes:
        size: width and height, pixels.
        focal: focal length, pixels.
        centre: principal point, pixels, counted from the centre of the first pixel.
        far: largest distance that it measures, metres.
    """

    size: tuple[int, int] = (640, 480)
    focal: float = 577.59
    centre: tuple[float, float] = (319.5, 239.5)
    far: float = 4.5

    def matrix(self, size: tuple[int, int]) -> np.ndarray:
        """(4, 4) float64: the intrinsics for a picture of another size, which shows the same."""
        scale = np.array([size[0] / self.size[0], size[1] / self.size[1]])
        centre = (np.array(self.centre) + 0.5) * scale - 0.5
        matrix = np.eye(4)
        matrix[0, 0], matrix[1, 1] = self.focal * scale
        matrix[:2, 2] = centre
        return matrix


def camera_path(room: Room, rng: np.random.Generator, count: int) -> np.ndarray:
    """Poses along a walk through a room.

    Args:
        room: the room.
        rng: source of all randomness.
        count: number of poses.

    Returns:
        (count, 4, 4) float64, camera to room frame; x right, y down, z forward.
    """
    stops = _walk(room.places)
    angles = np.arange(len(stops) * _STOPS_TURN)
    key_places = np.repeat(stops, _STOPS_TURN, 0)
    key_yaw = angles * 2 * np.pi / _STOPS_TURN + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.15, len(angles))
    key_yaw = np.array(
        [_away_from_walls(yaw, place, room.size) for yaw, place in zip(key_yaw, key_places, strict=True)]
    )
    key_pitch = rng.uniform(-0.8, 0.06, len(angles))
    key_height = np.repeat(rng.uniform(1.3, 1.65, len(stops)), _STOPS_TURN)
    at = np.linspace(0, len(angles) - 1, count)
    places = np.stack([np.interp(at, angles, key_places[:, axis]) for axis in range(2)], 1)
    yaw, pitch, height = (np.interp(at, angles, key) for key in (key_yaw, key_pitch, key_height))
    poses = np.zeros((count, 4, 4))
    for k in range(count):
        forward = np.array([np.cos(pitch[k]) * np.cos(yaw[k]), np.cos(pitch[k]) * np.sin(yaw[k]), np.sin(pitch[k])])
        right = np.array([np.sin(yaw[k]), -np.cos(yaw[k]), 0.0])
        poses[k, :3, 0], poses[k, :3, 1], poses[k, :3, 2] = right, np.cross(forward, right), forward
        poses[k, :3, 3] = (*places[k], min(height[k], room.size[2] - 0.3))
        poses[k, 3, 3] = 1
    return poses


def _away_from_walls(yaw: float, place: np.ndarray, size: tuple[float, float, float]) -> float:
    """The yaw, or the opposite one where a wall is closer than _CLOSE: nobody records a bare wall at arm's length."""
    ahead = []
    for axis, slope in enumerate((np.cos(yaw), np.sin(yaw))):
        room = size[axis] - place[axis] if slope > 0 else place[axis]
        ahead.append(room / max(abs(slope), 1e-9))
    return yaw + np.pi if min(ahead) < _CLOSE else yaw


def _walk(places: np.ndarray) -> np.ndarray:
    """The places in the order of a walk: always on to the nearest one that was not visited."""
    left = list(range(1, len(places)))
    order = [0]
    while left:
        apart = [float(np.hypot(*(places[k] - places[order[-1]]))) for k in left]
        order.append(left.pop(int(np.argmin(apart))))
    return places[order]
