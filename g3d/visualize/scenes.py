"""Load indoor scenes for drawing: prepared scenes, raw scans, published scenes, or a user's own mesh or cloud."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from g3d.data.scannet.arrays import align, refer_instances
from g3d.data.scannet.folder import read_scan
from g3d.data.scannet.frames import open_frames
from g3d.data.scannet.labels import NYU40_NAMES
from g3d.data.scannet.mesh import SUFFIXES
from g3d.data.scannet.other_formats import how_to_convert
from g3d.data.scannet.published_scenes import is_published, read_published_scene
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.data.scannet.upright import FILE_FRAME, Fit, about, moved, placement
from g3d.data.scannet.user_scenes import is_own_file, one_scene, read_own_mesh, scan_files
from g3d.errors import InputError, MissingDataError, did_you_mean
from g3d.names import file_name
from g3d.visualize.room import CameraView, Layer, Room, RoomObject, camera_view
from g3d.visualize.room_files import write_room_glb, write_room_ply
from g3d.visualize.scene_page import write_room_page

Format = Literal["html", "ply", "glb"]
_GREY = 170
_MOST_CAMERAS = 60
_EXPECTED = f"expected a folder with {FILE}, a raw scan's folder, <scene>_vert.npy, or a mesh ({', '.join(SUFFIXES)})"


def draw_scene(
    path: Path,
    out: Path,
    formats: tuple[Format, ...] = ("html",),
    aligned: bool = True,
    frames: Path | None = None,
    layer: str | None = None,
    fit: Fit = Fit(),
) -> list[Path]:
    """Write a scene as a page, PLY or GLB; return the files.

    Args:
        path: a prepared scene's folder, a raw scan's folder (scans/scene0000_00), a mesh file (see `read_mesh`), the
            vertex file of a published scene (`<scene>_vert.npy`), or a folder that holds one of these.
        out: output folder.
        formats: formats to write.
        aligned: transform the scene to the axis-aligned frame if its alignment is known. The page states its frame.
        frames: a recording (.sens) or folder of frames, whose cameras are drawn.
        layer: the colouring of PLY and GLB; None: the first layer.
        fit: the statement about the axes and the unit of a user's own file, which is drawn in metres with z up.

    Raises:
        MissingDataError, InputError: there is nothing to draw at `path`, the layer does not exist, or axes or a unit
            are stated of a ScanNet scene.
        EnvironmentProblem: the files cannot be written.
    """
    room = load_room(path, aligned, frames, fit)
    layer = layer or next(iter(room.layers))
    if layer not in room.layers:
        raise InputError(f"--layer {layer}: this scene has {', '.join(room.layers)}{did_you_mean(layer, room.layers)}")
    written = []
    for form in formats:
        file = out / f"{file_name(room.name)}.{form}"
        if form == "html":
            written.append(write_room_page(file, room))
        else:
            written.append((write_room_ply if form == "ply" else write_room_glb)(file, room, layer))
    return written


def check_scene(path: Path, named: str) -> None:
    """Check that a scene's path exists.

    Args:
        path: see `draw_scene`.
        named: name of the scene in the error message.

    Raises:
        MissingDataError: the path does not exist.
    """
    if not path.exists():
        raise MissingDataError(f"{named}: not found at {path}", _EXPECTED)


def load_room(
    path: Path, aligned: bool = True, frames: Path | None = None, placed: Fit | np.ndarray | None = None
) -> Room:
    """Load the scene at a path for drawing; the other arguments are those of `draw_scene`.

    Args:
        placed: for a user's own file: the statement about its axes and unit, by which it is corrected; the transform
            (4, 4) of its coordinates that was decided before; or None for the coordinates of the file.
    """
    path, in_place = one_scene(path), None
    transform = None
    if is_own_file(path):
        room, in_place, transform = _mesh_room(path, placed)
        alignment = None
    elif isinstance(placed, Fit) and placed.stated and path.exists():
        raise InputError(f"{placed.stated}: {path} is a ScanNet scene, whose axes and unit are known", "leave it away")
    elif (path / FILE).is_file():
        room, alignment = _prepared_room(path)
    elif is_published(path):
        room, in_place = _published_room(path)
        alignment = None
    elif path.is_dir():
        room, alignment = _raw_room(path)
    elif path.exists():
        raise InputError(f"--scene {path}: is no scene", how_to_convert(path) or _EXPECTED)
    else:
        raise MissingDataError(f"--scene {path}: no such scene", _EXPECTED)
    turned = alignment if aligned else None
    if in_place is not None:
        frame = in_place
    elif alignment is None:
        frame = FILE_FRAME
    else:
        frame = (
            "Axis alignment is applied." if aligned else "Axis alignment is not applied: this is the scan's raw frame."
        )
    cameras = _cameras(frames, transform) if frames is not None else []
    return _turned(replace(room, cameras=cameras, notes=[frame, *room.notes]), turned)


def _turned(room: Room, alignment: np.ndarray | None) -> Room:
    """Return the scene in the aligned frame, with the axis-aligned box of each object's transformed vertices."""
    vertices = room.vertices if alignment is None else align(room.vertices, alignment)
    ids = room.layers["objects"].ids if "objects" in room.layers else None
    objects = []
    for thing in room.objects:
        inside = vertices[ids == thing.id] if ids is not None else vertices[:0]
        if len(inside):
            low, high = inside.min(0).astype(float), inside.max(0).astype(float)
            size = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2] - low[2]))
            objects.append(replace(thing, corners=_corners(low, high), size=size))
        else:
            objects.append(thing)
    cameras = room.cameras if alignment is None else [_moved_camera(camera, alignment) for camera in room.cameras]
    return replace(room, vertices=vertices, objects=objects, cameras=cameras)


def _corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return (8, 3) corners in the order of g3d.geometry.boxes: around the bottom, then around the top."""
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    return np.array([[(low, high)[x][0], (low, high)[y][1], (low, high)[z][2]] for z in (0, 1) for x, y in ring])


def _mesh_room(path: Path, placed: Fit | np.ndarray | None) -> tuple[Room, str, np.ndarray | None]:
    """Return the scene in a user's own file, a sentence about its frame, and the transform from the file's frame."""
    mesh = read_own_mesh(path, reported=isinstance(placed, np.ndarray))
    frame = FILE_FRAME
    transform = placement(mesh, path, placed) if isinstance(placed, Fit) else placed
    if transform is not None:
        mesh, frame = replace(mesh, vertices=moved(mesh, transform), offset=None), about(transform)
    layers = {"colours": Layer(_colours(mesh.colours, len(mesh.vertices)))}
    if mesh.labels is not None:
        layers["labels"] = _classes(mesh.labels)
    notes = [] if mesh.offset is None else [f"{mesh.offset.tolist()} is subtracted from the file's coordinates."]
    if mesh.colours is None:
        notes.append("The file has no colours.")
    if mesh.left_out:
        notes.append(f"{mesh.left_out:,} of the file's {mesh.left_out + len(mesh.vertices):,} points are left out.")
    faces = mesh.faces if len(mesh.faces) else None
    room = Room(
        *(path.stem, mesh.vertices, faces, layers),
        notes=notes,
        offset=mesh.offset,
        rows=mesh.rows,
        left_out=mesh.left_out,
    )
    return room, frame, transform


def _prepared_room(path: Path) -> tuple[Room, np.ndarray | None]:
    scene = read_scene(path)
    layers = {"colours": Layer(scene.colours)}
    if scene.annotated:
        layers |= {"objects": Layer(ids=scene.objects), "classes": _classes(scene.object_nyu40)}
    layers["superpoints"] = Layer(ids=scene.superpoints)
    objects = [RoomObject(number, name) for number, name in sorted(scene.names.items())]
    notes = [] if scene.annotated else ["The scan is not annotated."]
    return Room(
        scene.name, scene.vertices, scene.faces if len(scene.faces) else None, layers, objects, (), notes
    ), scene.alignment


def _published_room(path: Path) -> tuple[Room, str]:
    """Return the scene in a published vertex file, and a sentence about its frame."""
    scene = read_published_scene(path)
    layers, objects = {"colours": Layer(scene.colours)}, []
    if scene.instances is not None:
        layers["objects"] = Layer(ids=(scene.instances - 1).astype(np.int32))
        if scene.nyu40 is not None:
            numbers, first = np.unique(scene.instances, return_index=True)
            named = zip(numbers.tolist(), scene.nyu40[first].tolist(), strict=True)
            objects = [RoomObject(number - 1, NYU40_NAMES[nyu40]) for number, nyu40 in named if number]
    if scene.nyu40 is not None:
        layers["classes"] = _classes(scene.nyu40)
    notes = [] if scene.instances is not None else ["The labels of the scene are not there."]
    frame = "The file is in the aligned frame." if scene.aligned else "The file is in the scan's raw frame."
    return Room(scene.name, scene.vertices, None, layers, objects, (), notes), frame


def _raw_room(path: Path) -> tuple[Room, np.ndarray | None]:
    scan = read_scan(scan_files(path))
    mesh = scan.mesh
    layers = {"colours": Layer(_colours(mesh.colours, len(mesh.vertices)))}
    objects: list[RoomObject] = []
    if scan.segments is not None:
        if scan.aggregation is not None:
            layers["objects"] = Layer(ids=refer_instances(scan.segments, scan.aggregation).astype(np.int32))
            objects = [RoomObject(group.object_id, group.label) for group in scan.aggregation.groups]
        _, segments = np.unique(scan.segments, return_inverse=True)
        layers["segments"] = Layer(ids=segments.reshape(-1).astype(np.int32))
    if scan.labels is not None:
        layers["classes"] = _classes(scan.labels)
    notes = [] if scan.aggregation is not None else ["The scan is not annotated."]
    room = Room(scan.scene, mesh.vertices, mesh.faces if len(mesh.faces) else None, layers, objects, (), notes)
    return room, scan.alignment


def _colours(colours: np.ndarray | None, count: int) -> np.ndarray:
    return np.full((count, 3), _GREY, np.uint8) if colours is None else colours


def _classes(nyu40: np.ndarray) -> Layer:
    return Layer(ids=nyu40.astype(np.int32) - 1, names={k - 1: name for k, name in enumerate(NYU40_NAMES) if k})


def _moved_camera(camera: CameraView, transform: np.ndarray) -> CameraView:
    return CameraView(camera.name, camera.corners @ transform[:3, :3].T + transform[:3, 3])


def _cameras(frames: Path, transform: np.ndarray | None) -> list[CameraView]:
    """Return at most `_MOST_CAMERAS` evenly spaced cameras of a recording after a transform (4, 4), without frames that
    have no pose."""
    with open_frames(frames) as source:
        chosen = [source.frame(index) for index in range(0, len(source), max(1, -(-len(source) // _MOST_CAMERAS)))]
        views = []
        for frame in chosen:
            if frame.has_pose and frame.colour_intrinsics is not None:
                size = (round(2 * frame.colour_intrinsics[0, 2]), round(2 * frame.colour_intrinsics[1, 2]))
                views.append(
                    camera_view(frame.name, frame.pose.astype(float), frame.colour_intrinsics, size, reach=0.25)
                )
    return views if transform is None else [_moved_camera(view, transform) for view in views]
