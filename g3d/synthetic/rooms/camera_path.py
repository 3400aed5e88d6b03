"""The path of a camera through a room: someone who walks from place to place and looks around, mostly at furniture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g3d.synthetic.rooms.layout import SHELL
from g3d.synthetic.rooms.room_types import Room

_CLOSE, _EYE = 1.1, 1.4  # metres
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
    walls, tall = np.array(room.size[:2]), tall_things(room)
    key_yaw = np.array([_open_view(yaw, place, walls, tall) for yaw, place in zip(key_yaw, key_places, strict=True)])
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


def _open_view(yaw: float, place: np.ndarray, walls: np.ndarray, tall: np.ndarray) -> float:
    """The yaw, or one turned from it where a wall or a tall thing is closer than _CLOSE: nobody records those at arm's
    length. Where everything is close, the turn with the longest view."""
    best, longest = yaw, 0.0
    for share in (0, 1, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75):
        turn = yaw + np.pi * share
        view = free_view(turn, place, walls, tall)
        if view >= _CLOSE:
            return turn
        if view > longest:
            best, longest = turn, view
    return best


def free_view(yaw: float, place: np.ndarray, walls: np.ndarray, tall: np.ndarray) -> float:
    """Metres from a place (2,) in the direction of a yaw to the walls (2,), which begin at 0, or a box (K, 2, 2)."""
    slope = np.array([np.cos(yaw), np.sin(yaw)])
    slope[np.abs(slope) < 1e-9] = 1e-9
    nearest = np.maximum(-place / slope, (walls - place) / slope).min()
    ends = (tall - place) / slope
    enter, leave = ends.min(1).max(1), ends.max(1).min(1)
    return float(min(nearest, enter[(enter > 0) & (enter < leave)].min(initial=np.inf)))


def tall_things(room: Room) -> np.ndarray:
    """(K, 2, 2) float64: lowest and highest x and y of the things that reach across eye height."""
    boxes = np.array([placed.bounds for placed in room.objects[SHELL:]]).reshape(-1, 2, 3)
    return boxes[(boxes[:, 0, 2] <= _EYE) & (boxes[:, 1, 2] >= _EYE), :, :2]


def _walk(places: np.ndarray) -> np.ndarray:
    """The places in the order of a walk: always on to the nearest one that was not visited."""
    left = list(range(1, len(places)))
    order = [0]
    while left:
        apart = [float(np.hypot(*(places[k] - places[order[-1]]))) for k in left]
        order.append(left.pop(int(np.argmin(apart))))
    return places[order]
