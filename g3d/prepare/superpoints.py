"""`g3d prepare superpoints`: segment meshes or point clouds into superpoints.

Meshes are segmented as ScanNet's Segmentator does, point clouds over each point's nearest neighbours. The file
<out>/superpoints/<name>/superpoints.safetensors holds `superpoints`, (N,) int32. If vertices were left out because they
are not finite, the file also holds `rows`, (N,) int64: the vertex of the mesh that each entry belongs to.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import save

from g3d.data.files import atomic_write
from g3d.data.scannet.folder import ScanFolder
from g3d.data.scannet.mesh import MESH_SUFFIXES, SUFFIXES, Mesh, read_mesh
from g3d.errors import InputError, MissingDataError
from g3d.ops.mesh_segments import mesh_segments
from g3d.ops.point_segments import point_segments
from g3d.prepare.runner import Item, Recipe

VERSION = 2
SUPERPOINTS = "superpoints"
FILE = "superpoints.safetensors"
_MESH = "_vh_clean_2.ply"


@dataclass(frozen=True)
class SuperpointSettings:
    """Settings of superpoints.

    Attributes:
        source: "mesh": segment over the edges of the mesh; "points": segment over each point's nearest neighbours and
            ignore faces; "auto": "mesh" if the file has faces, otherwise "points".
        threshold: how much normals may change within a superpoint; a larger value makes larger superpoints.
        min_vertices: superpoints with fewer vertices are merged with a neighbour.
        neighbours: number of nearest neighbours of each point; used only for point clouds.
        segs_json: also write ScanNet's <name>.<threshold>.segs.json (ids are root vertices).
    """

    source: Literal["auto", "mesh", "points"] = "auto"
    threshold: float = 0.01
    min_vertices: int = 20
    neighbours: int = 8
    segs_json: bool = False


def superpoint_items(data: Path, scenes: Sequence[str] = ()) -> list[Item]:
    """Return the meshes to segment as items: one file, the mesh files of a folder, or the scans of ScanNet's folder.

    Args:
        data: a file, a folder of files, or ScanNet's folder.
        scenes: names of the wanted files or scans of a folder; all if empty.

    Raises:
        MissingDataError: there is no such file or folder.
        InputError: two files of the folder have the same name and different formats.
    """
    if not data.exists():
        raise MissingDataError(
            f"--data {data}: no such file or folder",
            f"it names a mesh ({', '.join(SUFFIXES)}), a folder of meshes, or ScanNet's folder",
        )
    loose = _loose_meshes(data) if data.is_dir() else {data.stem: data}
    if loose:
        meshes = [(name, loose.get(name, data / f"{name}.ply")) for name in dict.fromkeys(scenes or loose)]
    else:
        folder = ScanFolder(data)
        meshes = [(name, folder.file(name, _MESH)) for name in dict.fromkeys(scenes or folder.scenes())]
    return [Item(name, (path,), path.stat().st_size // 3 if path.is_file() else 0) for name, path in meshes]


def _loose_meshes(folder: Path) -> dict[str, Path]:
    """Return the mesh files in a folder by their names without suffix.

    Raises:
        InputError: two files have the same name and different suffixes.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in MESH_SUFFIXES and not file.name.startswith("."):
            first = found.setdefault(file.stem, file)
            if first != file:
                raise InputError(
                    f"--data {folder}: {first.name} and {file.name} would be prepared under one name",
                    "Name one of the files with --data, or move one of them away.",
                )
    return found


def superpoint_recipe(settings: SuperpointSettings) -> Recipe:
    """Return the recipe that segments one mesh."""
    return Recipe("superpoints", VERSION, asdict(settings), functools.partial(_make, settings=settings))


def _make(item: Item, target: Path, settings: SuperpointSettings) -> Mapping[str, Any]:
    path = item.inputs[0]
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file")
    mesh = read_mesh(path, lenient=not path.name.endswith(_MESH))  # other files of a scan refer to vertex numbers
    source = ("mesh" if len(mesh.faces) else "points") if settings.source == "auto" else settings.source
    if source == "mesh" and not len(mesh.faces):
        raise InputError(f"{path}: the file has no faces", "--from points makes superpoints of a cloud")
    points = torch.from_numpy(mesh.vertices)
    thresholds: dict[str, Any] = {"threshold": settings.threshold, "min_vertices": settings.min_vertices}
    if source == "mesh":
        roots = mesh_segments(points, torch.from_numpy(mesh.faces), **thresholds, roots=True)
    else:
        roots = point_segments(points, settings.neighbours, **thresholds, roots=True)
    ids, dense = np.unique(roots.numpy(), return_inverse=True)
    about = {"source": source, **{key: str(value) for key, value in thresholds.items()}}
    with atomic_write(target / FILE) as file:
        arrays = {"superpoints": dense.reshape(-1).astype(np.int32)}
        file.write(save(arrays if mesh.rows is None else arrays | {"rows": mesh.rows}, about))
    if settings.segs_json:
        stem = path.stem
        content = {
            "params": {"kThresh": settings.threshold, "segMinVerts": settings.min_vertices},
            "sceneId": item.name,
            "segIndices": _segments(mesh, roots.numpy()).tolist(),
        }
        with atomic_write(target / f"{stem}.{settings.threshold:.6f}.segs.json") as file:
            file.write(json.dumps(content, separators=(",", ":")).encode())
    facts: dict[str, Any] = {"vertices": len(points), "superpoints": len(ids), "source": source}
    if mesh.rows is not None:
        facts["left_out"] = mesh.left_out
    if mesh.offset is not None:
        facts["offset"] = mesh.offset.tolist()
    return facts


def _segments(mesh: Mesh, roots: np.ndarray) -> np.ndarray:
    """Return the root vertex of every vertex of the file. A vertex that was left out is its own segment."""
    if mesh.rows is None:
        return roots
    segments = np.arange(len(mesh.rows) + mesh.left_out)
    segments[mesh.rows] = mesh.rows[roots]
    return segments
