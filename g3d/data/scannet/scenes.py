"""Prepared indoor scenes: all arrays of a scan that the point-cloud systems read, in one file.

    <root>/<scene>/scene.safetensors        arrays by name, and the settings of the recipe

Both published lineages are derived from it: ScanRefer's and VoteNet's rows and boxes (g3d.data.scannet.arrays), and
SPFormer's and CFNet's superpoints and labels. Vertices are stored once: aligned vertices are computed from the raw ones
and the alignment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.scannet.arrays import SceneArrays, align
from g3d.errors import InputError, MissingDataError

FILE = "scene.safetensors"
SCHEMA = "g3d.scene/1"
_OPTIONAL = ("label_nyu40", "rows", "alignment")


@dataclass(frozen=True, eq=False)
class Scene:
    """A prepared scene in the raw frame (gravity +z, not axis-aligned), in metres.

    Attributes:
        name: `scene0000_00`, or a user's own name.
        vertices: (N, 3) float32.
        colours: (N, 3) uint8.
        normals: (N, 3) float32.
        faces: (F, 3) int32; F = 0 for a cloud.
        superpoints: (N,) int32, 0..S-1.
        object_nyu40: (N,) uint8, nyu40 id of the annotated object of each vertex, 0 = none.
        objects: (N,) int32, objectId, -1 = none.
        boxes: (K, 8) float64, all annotated objects: cx cy cz dx dy dz, nyu40 id, objectId; bounds in the raw frame.
        aligned_boxes: (K, 8) float64, bounds in the aligned frame.
        names: the annotation's labels by objectId.
        label_nyu40: (N,) uint8, nyu40 id from labels.ply, 0 = none; None if the scan has no labels.ply.
        rows: (n,) int32, the rows that ScanRefer's and VoteNet's forms keep; None keeps all.
        alignment: (4, 4) float64, raw -> aligned; None if the scan has none (test scans).
        annotated: whether objects are annotated.
        made_with: settings of the recipe that prepared the scene.
    """

    name: str
    vertices: np.ndarray
    colours: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    superpoints: np.ndarray
    object_nyu40: np.ndarray
    objects: np.ndarray
    boxes: np.ndarray
    aligned_boxes: np.ndarray
    names: Mapping[int, str] = field(default_factory=dict)
    label_nyu40: np.ndarray | None = None
    rows: np.ndarray | None = None
    alignment: np.ndarray | None = None
    annotated: bool = True
    made_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def aligned(self) -> np.ndarray:
        """Vertices (N, 3) float32 in the aligned frame; without an alignment, the raw vertices."""
        return self.vertices if self.alignment is None else align(self.vertices, self.alignment)

    def arrays(self) -> SceneArrays:
        """Return the scene's arrays for ScanRefer's lineage, from which its published forms are derived."""
        return SceneArrays(
            self.vertices,
            self.aligned,
            self.colours,
            self.normals,
            self.object_nyu40.astype(np.uint32),
            (self.objects + 1).astype(np.uint32),
            self.boxes,
            self.aligned_boxes,
            self.alignment,
        )


def write_scene(path: Path, scene: Scene) -> None:
    """Write a scene; equal scenes give equal bytes.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    arrays = {
        name: np.ascontiguousarray(getattr(scene, name)) for name in _array_names() if getattr(scene, name) is not None
    }
    about = {
        "schema": SCHEMA,
        "name": scene.name,
        "annotated": scene.annotated,
        "made_with": dict(scene.made_with),
        "names": {str(key): scene.names[key] for key in sorted(scene.names)},
    }
    with atomic_write(path) as file:
        file.write(save(dict(sorted(arrays.items())), {"about": json.dumps(about, sort_keys=True)}))


def read_scene(path: Path, *arrays: str) -> Scene:
    """Return a prepared scene.

    Args:
        path: the scene's folder or file.
        arrays: names of the Scene arrays to read; without names, all are read. Arrays that are not read are empty, or
            None if they are optional.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, or was written by another program or version.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise MissingDataError(f"{file}: no such prepared scene", "g3d prepare scannet makes it")
    with reading(file, hint="prepare the scene again"):
        with safe_open(file, framework="numpy") as opened:
            about = json.loads((opened.metadata() or {}).get("about", "{}"))
            if about.get("schema") != SCHEMA:
                raise InputError(
                    f"{file}: not a prepared scene of this version (found {about.get('schema')}, expected {SCHEMA})",
                    "prepare it again",
                )
            stored = set(opened.keys())
            found = {
                name: opened.get_tensor(name)
                for name in _array_names()
                if name in stored and (not arrays or name in arrays)
            }
        missing: dict[str, Any] = {
            name: None if name in _OPTIONAL else np.zeros(0) for name in _array_names() if name not in found
        }
        names = {int(key): value for key, value in about["names"].items()}
        return Scene(
            about["name"], **found, **missing, names=names, annotated=about["annotated"], made_with=about["made_with"]
        )


def _array_names() -> tuple[str, ...]:
    return (
        "vertices",
        "colours",
        "normals",
        "faces",
        "superpoints",
        "object_nyu40",
        "objects",
        "boxes",
        "aligned_boxes",
        *_OPTIONAL,
    )
