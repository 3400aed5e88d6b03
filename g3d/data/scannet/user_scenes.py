"""A user's own scans as the samples of a request, and a reader of their points for all supported formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g3d.data.request import InferRequest, Queries
from g3d.data.scannet.folder import ScanFolder, read_scan
from g3d.data.scannet.mesh import SUFFIXES, Mesh, read_mesh
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.data.types import SceneSource
from g3d.errors import MissingDataError


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
    return path.resolve().name if path.is_dir() else path.stem


def read_points(path: Path) -> Mesh:
    """Return the vertices of a scene in its own frame, with faces and colours if it has them.

    Args:
        path: mesh or cloud (see `read_mesh`), folder of a prepared scene, or folder of a raw ScanNet scan.

    Raises:
        MissingDataError: the path is not a scene.
        InputError: the scene cannot be used.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return read_mesh(path, lenient=True)
    if (path / FILE).is_file():
        scene = read_scene(path)
        return Mesh(np.asarray(scene.vertices), np.asarray(scene.colours), np.asarray(scene.faces), None)
    if path.is_dir():
        return read_scan(ScanFolder(path.resolve().parent).files(path.resolve().name)).mesh
    raise MissingDataError(
        f"scene {path}: no such scene",
        f"expected a mesh or cloud ({', '.join(SUFFIXES)}), a folder with {FILE}, or a raw scan's folder",
    )
