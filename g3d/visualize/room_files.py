"""Write scenes as files for other programs: PLY (one mesh or cloud, one colouring) and GLB (also boxes and cameras)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from g3d.data.files import atomic_write
from g3d.geometry.boxes import EDGES
from g3d.visualize.room import Room, RoomObject, rgb

if TYPE_CHECKING:
    import trimesh

_BAR = 0.006  # metres: half the thickness of drawn edges
_CAMERA = "#f5a623"


def write_room_ply(path: Path, room: Room, layer: str, boxes: bool = False) -> Path:
    """Write a scene in the colours of one of its layers as PLY; with `boxes`, its boxes are added as thin bars.

    The scene's vertices come first, in their order; the vertices of the bars follow.
    """
    boxes = boxes and any(thing.corners is not None for thing in room.objects)
    surface = _surface_with_boxes(room, layer) if boxes else _surface(room, layer)
    with atomic_write(path) as file:
        surface.export(file, file_type="ply")
    return path


def write_room_glb(path: Path, room: Room, layer: str) -> Path:
    """Write a glTF scene: the surface in the colours of one layer, and boxes and cameras as thin bars.

    Every box is a node, named by its object's name, id and, if it has one, score. In glTF, y points up: the scene is
    rotated so that it is upright in viewers.
    """
    import trimesh

    scene = trimesh.Scene()
    scene.add_geometry(_surface(room, layer), node_name=room.name)
    for thing in room.objects:
        if thing.corners is not None:
            bars = _bar_mesh(_edges(thing.corners), thing.shown_colour)
            scene.add_geometry(bars, node_name=_node_name(thing))
    for camera in room.cameras:
        eye, rim = camera.corners[0], camera.corners[1:]
        ends = np.array([[eye, corner] for corner in rim] + [[rim[k], rim[(k + 1) % 4]] for k in range(4)])
        scene.add_geometry(_bar_mesh(ends, _CAMERA), node_name=f"camera {camera.name}")
    scene.apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]))
    with atomic_write(path) as file:
        scene.export(file, file_type="glb")
    return path


def _surface(room: Room, layer: str) -> trimesh.Trimesh | trimesh.PointCloud:
    import trimesh

    colours = _colours(room, layer)
    if room.faces is None:
        return trimesh.PointCloud(room.vertices, colors=colours)
    return trimesh.Trimesh(room.vertices, room.faces, vertex_colors=colours, process=False)


def _surface_with_boxes(room: Room, layer: str) -> trimesh.Trimesh:
    """Return surface and bars as one mesh; the points of a cloud are vertices without faces."""
    import trimesh

    vertices, colours = [room.vertices], [_colours(room, layer)]
    faces = [] if room.faces is None else [room.faces]
    for thing in room.objects:
        if thing.corners is not None:
            corners, triangles = _bars(_edges(thing.corners))
            faces.append(triangles + sum(map(len, vertices)))
            vertices.append(corners)
            colours.append(_even(thing.shown_colour, len(corners)))
    return trimesh.Trimesh(
        np.concatenate(vertices), np.concatenate(faces), vertex_colors=np.concatenate(colours), process=False
    )


def _colours(room: Room, layer: str) -> np.ndarray:
    """Return the RGBA colours of the vertices in one layer, (N, 4) uint8."""
    return np.c_[room.layers[layer].painted(), np.full(len(room.vertices), 255, np.uint8)]


def _even(colour: str, count: int) -> np.ndarray:
    return np.tile([*rgb(colour), 255], (count, 1)).astype(np.uint8)


def _edges(corners: np.ndarray) -> np.ndarray:
    return np.array([[corners[a], corners[b]] for a, b in EDGES])


def _node_name(thing: RoomObject) -> str:
    return f"{thing.name} {thing.id}" if thing.score is None else f"{thing.name} {thing.id} {thing.score:.2f}"


def _bar_mesh(ends: np.ndarray, colour: str) -> trimesh.Trimesh:
    import trimesh

    vertices, faces = _bars(ends)
    return trimesh.Trimesh(vertices, faces, vertex_colors=_even(colour, len(vertices)), process=False)


def _bars(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and triangles of thin square bars between pairs of points (E, 2, 3)."""
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
    return vertices.reshape(-1, 3), faces
