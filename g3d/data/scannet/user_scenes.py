"""A user's own scans as the samples of a request, and a reader of their points for all supported formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g3d.data.request import InferRequest, Queries
from g3d.data.scannet.folder import ScanFolder, read_scan
from g3d.data.scannet.mesh import MESH_SUFFIXES, SUFFIXES, Mesh, read_mesh
from g3d.data.scannet.published_scenes import is_published, published_name, published_scenes, read_published_scene
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError

_RAW_MESH = "_vh_clean_2.ply"
_SHOWN = 4  # names of scenes in a message


class UserScenes(Queries):
    """The queries of a request about scenes; a system adds `read`, which returns its samples.

    Attributes:
        sources: the scenes of the request.

    Args:
        request: scenes and sentences.

    Raises:
        MissingDataError: a scene does not exist.
        InputError: two scenes have the same name.
    """

    def __init__(self, request: InferRequest) -> None:
        for path in request.scenes:
            if not path.exists():
                raise MissingDataError(f"--scene {path}: no such file or folder")
        self.sources = [SceneSource(str(path), scene_name(path)) for path in request.scenes]
        super().__init__([source.name for source in self.sources], request.expressions, "--scene")


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


def read_points(path: Path) -> Mesh:
    """Return the vertices of a scene in its own frame, with faces and colours if it has them.

    Args:
        path: mesh or cloud (see `read_mesh`), folder of a prepared scene, folder of a raw ScanNet scan, vertex file of
            a published scene (`<scene>_vert.npy`), or a folder that holds one of these.

    Raises:
        MissingDataError: the path is not a scene.
        InputError: the scene cannot be used.
    """
    path = one_scene(path)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return read_mesh(path, lenient=True)
    if (path / FILE).is_file():
        scene = read_scene(path)
        return Mesh(np.asarray(scene.vertices), np.asarray(scene.colours), np.asarray(scene.faces), None)
    if is_published(path):
        points = read_published_scene(path)
        return Mesh(points.vertices, points.colours, np.zeros((0, 3), np.int32), None)
    if path.is_dir():
        return read_scan(ScanFolder(path.resolve().parent).files(path.resolve().name)).mesh
    raise MissingDataError(
        f"scene {path}: no such scene",
        f"expected a mesh or cloud ({', '.join(SUFFIXES)}), <scene>_vert.npy, a folder with {FILE}, or a raw scan's "
        "folder",
    )
