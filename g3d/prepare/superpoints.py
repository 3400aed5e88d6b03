"""`g3d prepare superpoints`: meshes or clouds -> superpoints: <out>/superpoints/<name>/superpoints.safetensors.

Meshes are segmented as ScanNet's Segmentator does, clouds over each point's nearest neighbours.
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
from g3d.data.scannet.mesh import read_mesh
from g3d.errors import InputError, MissingDataError
from g3d.ops.mesh_segments import mesh_segments
from g3d.ops.point_segments import point_segments
from g3d.prepare.runner import Item, Recipe

VERSION = 1
SUPERPOINTS = "superpoints"
FILE = "superpoints.safetensors"
_MESH = "_vh_clean_2.ply"


@dataclass(frozen=True)
class SuperpointSettings:
    """How superpoints are made.

    Attributes:
        source: "mesh": over its edges; "points": over each point's nearest neighbours, faces are not looked at; "auto":
            by what there is.
        threshold: how much normals may change within one; larger makes larger superpoints.
        min_vertices: smaller ones join a neighbour.
        neighbours: for clouds.
        segs_json: also write ScanNet's <name>.<threshold>.segs.json (ids are root vertices).
    """

    source: Literal["auto", "mesh", "points"] = "auto"
    threshold: float = 0.01
    min_vertices: int = 20
    neighbours: int = 8
    segs_json: bool = False


def superpoint_items(data: Path, scenes: Sequence[str] = ()) -> list[Item]:
    """The meshes to segment: a .ply file, a folder of .ply files, or ScanNet's folder.

    Raises:
        MissingDataError: there is none.
    """
    if not data.exists():
        raise MissingDataError(
            f"--data {data}: no such file or folder", "it names a .ply file, a folder of them, or ScanNet's folder"
        )
    loose = sorted(data.glob("*.ply")) if data.is_dir() else [data]
    if loose:
        if scenes:
            loose = [loose[0].with_name(f"{scene}.ply") for scene in dict.fromkeys(scenes)]
        meshes = [(file.stem, file) for file in loose]
    else:
        folder = ScanFolder(data)
        meshes = [(name, folder.file(name, _MESH)) for name in dict.fromkeys(scenes or folder.scenes())]
    return [Item(name, (path,), path.stat().st_size // 3 if path.is_file() else 0) for name, path in meshes]


def superpoint_recipe(settings: SuperpointSettings) -> Recipe:
    """How they are segmented."""
    return Recipe("superpoints", VERSION, asdict(settings), functools.partial(_make, settings=settings))


def _make(item: Item, target: Path, settings: SuperpointSettings) -> Mapping[str, Any]:
    path = item.inputs[0]
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file")
    mesh = read_mesh(path)
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
        file.write(save({"superpoints": dense.reshape(-1).astype(np.int32)}, about))
    if settings.segs_json:
        stem = path.name.removesuffix(".ply")
        content = {
            "params": {"kThresh": settings.threshold, "segMinVerts": settings.min_vertices},
            "sceneId": item.name,
            "segIndices": roots.tolist(),
        }
        with atomic_write(target / f"{stem}.{settings.threshold:.6f}.segs.json") as file:
            file.write(json.dumps(content, separators=(",", ":")).encode())
    return {"vertices": len(points), "superpoints": len(ids), "source": source}
