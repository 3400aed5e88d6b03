"""A user's own scans as the samples of a request, and a reader of their points for all supported formats."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from g3d.data.request import InferRequest, Queries
from g3d.data.scannet.arrays import align
from g3d.data.scannet.folder import ScanFiles, ScanFolder, read_scan
from g3d.data.scannet.mesh import MESH_SUFFIXES, SUFFIXES, Mesh, read_mesh
from g3d.data.scannet.other_formats import how_to_convert
from g3d.data.scannet.published_scenes import (
    ALIGNED_ENDING,
    columns_of,
    is_published,
    published_name,
    published_scenes,
    read_published_scene,
)
from g3d.data.scannet.raw import read_facts
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.data.scannet.upright import Fit, moved, placement
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError

log = logging.getLogger(__name__)

MOST_POINTS = 2_000_000
"""Points of a user's own cloud above which it is thinned."""
FEWEST_POINTS = 100
"""Points of a user's own cloud below which a network can find nothing."""
_GREY = 128
_RAW_MESH = "_vh_clean_2.ply"
_SHOWN = 4  # names of scenes in a message


class UserScenes(Queries):
    """The queries of a request about scenes; a system adds `read`, which returns its samples.

    Attributes:
        sources: the scenes of the request, with their frames (see `own_source`).

    Args:
        request: scenes and sentences.

    Raises:
        MissingDataError: a scene does not exist.
        InputError: two scenes have the same name, a user's own file cannot be used or is a cloud of fewer than 100
            points, or axes or a unit are stated of a ScanNet scene.
    """

    def __init__(self, request: InferRequest) -> None:
        for path in request.scenes:
            if not path.exists():
                raise MissingDataError(f"--scene {path}: no such file or folder")
        super().__init__([scene_name(path) for path in request.scenes], request.expressions, "--scene")
        self.sources = [own_source(path, request.fit) for path in request.scenes]


def own_source(given: Path, fit: Fit = Fit()) -> SceneSource:
    """Return the source of a scene, which states the frame of answers about it.

    - A user's own file: the frame of `g3d.data.scannet.upright.placement`, whose transform the source carries. Each
      correction is reported.
    - A raw scan or a prepared scene: the aligned frame. If no axis alignment is known, it is the scan's own frame,
      which is reported.
    - A published scene: the frame of the file.

    Raises:
        MissingDataError, InputError: see `UserScenes`.
    """
    path, name = one_scene(given), scene_name(given)
    if is_own_file(path):
        mesh = read_own_mesh(path)
        if len(mesh.vertices) < FEWEST_POINTS and not len(mesh.faces):
            raise InputError(
                f"scene {path}: {len(mesh.vertices)} points, expected at least {FEWEST_POINTS}",
                "a scan of a room has tens of thousands of points",
            )
        if mesh.colours is None:
            log.info("scene %s: the file has no colours: all points are grey", path)
        return SceneSource(str(given), name, "scene", placement(mesh, path, fit))
    if fit.stated:
        raise InputError(f"{fit.stated}: {path} is a ScanNet scene, whose axes and unit are known", "leave it away")
    if is_published(path):
        aligned, frame = columns_of(path) == "votenet" or path.name.endswith(ALIGNED_ENDING), "scene"
    elif (path / FILE).is_file():
        aligned, frame = read_scene(path, "alignment").alignment is not None, "aligned"
    elif not path.is_dir():
        raise _no_scene(path)
    else:
        facts = scan_files(path).facts
        aligned, frame = facts is not None and read_facts(facts).axis_alignment is not None, "aligned"
    if not aligned:
        log.warning("scene %s: no axis alignment is known: the scene is used as it is, in its own frame", path)
    return SceneSource(str(given), name, "aligned" if aligned and frame == "aligned" else "scene")


def scene_name(path: Path) -> str:
    """Return the name of the scene in a file or folder."""
    return path.resolve().name if path.is_dir() else published_name(path) or path.stem


def one_scene(path: Path) -> Path:
    """Return the path of the one scene that a path means.

    Args:
        path: a file, the folder of a prepared scene or of a raw ScanNet scan, or a folder that holds one of these, one
            mesh or one published scene (`<scene>_vert.npy`).

    Returns:
        The scene in the folder; the path itself if it is a scene, or holds nothing that is known.

    Raises:
        InputError: the folder holds several scenes.
    """
    if not path.is_dir() or _is_scene(path):
        return path
    entries = sorted(path.iterdir())
    meshes = [e for e in entries if e.suffix.lower() in MESH_SUFFIXES and not e.name.endswith(".labels.ply")]
    found = [*published_scenes(path).values(), *meshes, *(entry for entry in entries if _is_scene(entry))]
    if len(found) > 1:
        names = ", ".join(scene_name(scene) for scene in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise InputError(
            f"scene {path}: the folder holds {len(found)} scenes ({names}), expected one",
            f"name one of them: {found[0]}",
        )
    return found[0] if found else path


def _is_scene(folder: Path) -> bool:
    """Return whether a path is the folder of a prepared scene or of a raw scan."""
    return (folder / FILE).is_file() or (folder / f"{folder.resolve().name}{_RAW_MESH}").is_file()


def is_own_file(path: Path) -> bool:
    """Return whether a path is a mesh or cloud of the user's own, in a format that `read_mesh` reads."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read_own_mesh(path: Path, reported: bool = False) -> Mesh:
    """Return a user's own mesh or cloud in the coordinates of its file; clouds of more than two million points are
    thinned.

    Args:
        path: the file.
        reported: whether its faults were reported before; they are then logged for debugging only.

    Raises:
        MissingDataError, InputError, EnvironmentProblem: see `read_mesh`.
    """
    return read_mesh(path, lenient=True, most=MOST_POINTS, level=logging.DEBUG if reported else logging.WARNING)


def read_points(scene: Path | SceneSource) -> Mesh:
    """Return the vertices of a scene with colours, and with faces if it has them.

    Args:
        scene: the source of a scene, whose vertices are returned in its frame and after its transform; or a path, whose
            vertices are returned in the frame of its file. The path of either is a mesh or cloud (see `read_mesh`), the
            folder of a prepared scene or of a raw ScanNet scan, the vertex file of a published scene
            (`<scene>_vert.npy`), or a folder that holds one of these. A file without colours is grey.

    Raises:
        MissingDataError: the path is not a scene.
        InputError: the scene cannot be used.
    """
    source = SceneSource(str(scene), scene_name(scene)) if isinstance(scene, Path) else scene
    if source.path is None:
        raise InputError(f"scene {source.name}: expected a path")
    path, aligned = one_scene(Path(source.path)), source.frame == "aligned"
    if is_own_file(path):
        mesh = read_own_mesh(path, reported=source.transform is not None)
        if mesh.colours is None:
            mesh = replace(mesh, colours=np.full(mesh.vertices.shape, _GREY, np.uint8))
        return mesh if source.transform is None else replace(mesh, vertices=moved(mesh, source.transform), offset=None)
    if (path / FILE).is_file():
        prepared = read_scene(path)
        vertices = prepared.aligned if aligned else np.asarray(prepared.vertices)
        return Mesh(vertices, np.asarray(prepared.colours), np.asarray(prepared.faces), None)
    if is_published(path):
        points = read_published_scene(path)
        return Mesh(points.vertices, points.colours, np.zeros((0, 3), np.int32), None)
    if path.is_dir():
        scan = read_scan(scan_files(path))
        if not aligned or scan.alignment is None:
            return scan.mesh
        return replace(scan.mesh, vertices=align(scan.mesh.vertices, scan.alignment))
    raise _no_scene(path)


def scan_files(path: Path) -> ScanFiles:
    """Return the files of the raw scan in a folder.

    Raises:
        MissingDataError: the folder holds no file of a scan with its name, or the scan's mesh is missing.
    """
    if not any(entry.name.startswith(path.resolve().name) for entry in path.iterdir()):
        raise _no_scene(path)
    return ScanFolder(path.resolve().parent).files(path.resolve().name)


def _no_scene(path: Path) -> InputError | MissingDataError:
    """Return the error for a path that is no scene."""
    if path.is_file():
        return InputError(f"scene {path}: unknown format, expected {', '.join(SUFFIXES)}", how_to_convert(path))
    return MissingDataError(
        f"scene {path}: {'the folder holds no scene' if path.is_dir() else 'no such scene'}",
        f"expected a mesh or cloud ({', '.join(SUFFIXES)}), <scene>_vert.npy, a folder with {FILE}, or a raw scan's "
        "folder",
    )
