"""A drawn room for tests of pages: floor, walls and ceiling in plain colours, fronts inwards, and boxes of objects."""

from __future__ import annotations

import numpy as np

from g3d.visualize.room import Layer, Room, RoomObject, rgb, scene_corners

FLOOR, WALL, NEAR_WALL, CEILING = "#3c5ac8", "#f0e6d2", "#dc1e1e", "#e614dc"
SIZE = (6.0, 5.0, 2.6)
_STEPS = 12


def drawn_room(furniture: int = 24, ceiling: bool = True) -> Room:
    """Return a room with chairs in rows, one table, one lamp, and labels of floor, walls and ceiling.

    Args:
        furniture: number of chairs.
        ceiling: True for a room that is closed at the top.
    """
    x, y, z = SIZE
    sides = [  # origin, two directions whose cross product points into the room, and the colour
        ((0, 0, 0), (x, 0, 0), (0, y, 0), FLOOR),
        ((0, 0, 0), (0, 0, z), (x, 0, 0), NEAR_WALL),
        ((0, y, 0), (x, 0, 0), (0, 0, z), WALL),
        ((0, 0, 0), (0, y, 0), (0, 0, z), WALL),
        ((x, 0, 0), (0, 0, z), (0, y, 0), WALL),
        ((0, 0, z), (0, y, 0), (x, 0, 0), CEILING),
    ][: 6 if ceiling else 5]
    patches = [_patch(*(np.array(part, float) for part in side[:3])) for side in sides]
    count = (_STEPS + 1) ** 2
    vertices = np.concatenate([places for places, _ in patches]).astype(np.float32)
    faces = np.concatenate([corners + k * count for k, (_, corners) in enumerate(patches)]).astype(np.int32)
    colours = np.repeat(np.array([rgb(side[3]) for side in sides], np.uint8), count, axis=0)
    ids = np.repeat(np.arange(len(sides), dtype=np.int32), count)
    names = ("floor", "wall", "wall", "wall", "wall", "ceiling")
    objects = [_around(k, names[k], vertices[ids == k]) for k in range(len(sides))]
    places = [(0.6 + 0.62 * (k % 8), 0.7 + 1.1 * (k // 8), 0.45) for k in range(furniture)]
    things = [*(("chair", place) for place in places), ("table", (3, 4.4, 0.4)), ("lamp", (5.4, 4.4, 0.8))]
    for k, (name, place) in enumerate(things):
        size = (1.4, 0.6, 0.8) if name == "table" else (0.4, 0.4, 0.9)
        corners = scene_corners(np.array([place], float), np.array([size]), np.zeros(1))[0]
        objects.append(RoomObject(10 + k, name, corners, size))
    return Room("drawn", vertices, faces, {"colours": Layer(colours), "objects": Layer(ids=ids)}, objects)


def _patch(origin: np.ndarray, along: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of a rectangle divided into small squares."""
    shares = np.linspace(0, 1, _STEPS + 1)
    vertices = origin + shares[None, :, None] * along + shares[:, None, None] * up
    corner = (np.arange(_STEPS)[:, None] * (_STEPS + 1) + np.arange(_STEPS)).ravel()
    quads = np.column_stack([corner, corner + 1, corner + _STEPS + 2, corner + _STEPS + 1])
    return vertices.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _around(number: int, name: str, points: np.ndarray) -> RoomObject:
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    size = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2] - low[2]))
    return RoomObject(number, name, scene_corners((low + high)[None] / 2, np.array([size]), np.zeros(1))[0], size)
