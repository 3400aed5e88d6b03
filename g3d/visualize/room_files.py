"""Rooms as files for other programs: PLY (one mesh or cloud, one colouring) and GLB (boxes and cameras too)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from g3d.data.files import atomic_write
from g3d.geometry.boxes import EDGES
from g3d.visualize.room import Room, colour_of, rgb

if TYPE_CHECKING:
    import trimesh

_BAR = 0.006  # metres: half the thickness of drawn edges
_CAMERA = "#f5a623"


def write_room_ply(path: Path, room: Room, layer: str) -> Path:
    """Write the room in the colours of one of its layers."""
    with atomic_write(path) as file:
        _surface(room, layer).export(file, file_type="ply")
    return path


def write_room_glb(path: Path, room: Room, layer: str) -> Path:
    """Write a glTF scene: the surface in the colours of one layer, and boxes and cameras as thin bars, each a node with
    its name.

    glTF's y points up: the whole is turned so that the room stands in viewers.
    """
    import trimesh

    scene = trimesh.Scene()
    scene.add_geometry(_surface(room, layer), node_name=room.name)
    for thing in room.objects:
        if thing.corners is not None:
            ends = np.array([[thing.corners[a], thing.corners[b]] for a, b in EDGES])
            scene.add_geometry(_bars(ends, colour_of(thing.id)), node_name=f"{thing.name} {thing.id}")
    for camera in room.cameras:
        eye, rim = camera.corners[0], camera.corners[1:]
        ends = np.array([[eye, corner] for corner in rim] + [[rim[k], rim[(k + 1) % 4]] for k in range(4)])
        scene.add_geometry(_bars(ends, _CAMERA), node_name=f"camera {camera.name}")
    scene.apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]))
    with atomic_write(path) as file:
        scene.export(file, file_type="glb")
    return path


def _surface(room: Room, layer: str) -> trimesh.Trimesh | trimesh.PointCloud:
    import trimesh

    colours = np.c_[room.layers[layer].painted(), np.full(len(room.vertices), 255, np.uint8)]
    if room.faces is None:
        return trimesh.PointCloud(room.vertices, colors=colours)
    return trimesh.Trimesh(room.vertices, room.faces, vertex_colors=colours, process=False)


def _bars(ends: np.ndarray, colour: str) -> trimesh.Trimesh:
    """Thin square bars between pairs of points (E, 2, 3)."""
    import trimesh

    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = along / np.maximum(length, 1e-9)
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0, 1]], [[1.0, 0, 0]])
    first = np.cross(along, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    rim = np.stack([first + second, first - second, -first - second, second - first], 1) * _BAR
    vertices = np.concatenate([ends[:, :1] + rim, ends[:, 1:] + rim], 1)
    quads = [(k, (k + 1) % 4, (k + 1) % 4 + 4, k + 4) for k in range(4)] + [(3, 2, 1, 0), (4, 5, 6, 7)]
    triangles = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    faces = (triangles[None] + 8 * np.arange(len(ends))[:, None, None]).reshape(-1, 3)
    colours = np.tile([*rgb(colour), 255], (len(ends) * 8, 1)).astype(np.uint8)
    return trimesh.Trimesh(vertices.reshape(-1, 3), faces, vertex_colors=colours, process=False)
