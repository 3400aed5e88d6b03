"""Reader of mesh files other than PLY: OBJ, STL, OFF and glTF with trimesh."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.scannet.raw_mesh import Polygons, RawMesh
from g3d.errors import InputError

TRIMESH_SUFFIXES = (".obj", ".stl", ".off", ".glb", ".gltf")


def read_with_trimesh(path: Path) -> RawMesh:
    """Return the mesh or cloud in an OBJ, STL, OFF, GLB or glTF file.

    - Vertices keep the order of the file. STL stores three corners for every triangle: corners with equal coordinates
      become one vertex, in the order of their first use.
    - Polygons are triangles: trimesh splits larger faces, and sorts the faces of an OBJ or OFF file with mixed faces by
      their number of corners.
    - A glTF scene becomes one mesh: each node is placed by its transform, and +Y up (the glTF frame) becomes +Z up.
    - Colours of vertices are read, textures are not.

    Raises:
        InputError: trimesh cannot read the file, or glTF data are compressed or sparse.
    """
    kind = path.suffix.lower()[1:]
    content = path.read_bytes()
    source: Path | io.BytesIO = io.BytesIO(content)
    if kind == "obj":
        source = io.BytesIO(_only_geometry(content))
    elif kind in ("glb", "gltf"):
        _check_gltf(path, content)
        source = path  # a .gltf file names other files
    parts = _load(path, source, kind)
    vertices = np.concatenate([np.zeros((0, 3)), *(np.asarray(part.vertices, np.float64) for part in parts)])
    if kind in ("glb", "gltf"):
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [
        np.asarray(part.faces, np.int64) + start
        for part, start in zip(parts, starts, strict=False)
        if getattr(part, "faces", None) is not None
    ]
    triangles = np.concatenate([np.zeros((0, 3), np.int64), *faces])
    if kind == "stl":
        vertices, triangles = _joined(vertices, triangles)
    return RawMesh(vertices, Polygons.of_rows(triangles) if len(triangles) else None, _vertex_colours(parts))


def _load(path: Path, source: Path | io.BytesIO, kind: str) -> list[Any]:
    """Return the meshes and clouds of a file in the frame of its root, as trimesh's types."""
    import trimesh

    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # about NaN, which `read_mesh` handles
            loaded = trimesh.load(source, file_type=kind, process=False, maintain_order=True, skip_materials=True)
            parts = loaded.dump() if isinstance(loaded, trimesh.Scene) else [loaded]
    except Exception as error:  # a malformed file can raise anything in trimesh
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"mesh {path}: not a readable {kind.upper()} file ({type(error).__name__}: {reason})"
        ) from None
    return [part for part in parts if isinstance(part, trimesh.Trimesh | trimesh.PointCloud)]


def _only_geometry(content: bytes) -> bytes:
    """Return the vertex and face lines of an OBJ file.

    Materials, groups, texture coordinates and normals are removed, because they make trimesh split or duplicate
    vertices.
    """
    lines = (line.split() for line in content.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines())
    kept = (b" ".join(words) for words in lines if words and words[0] in (b"v", b"f"))
    return b"\n".join(re.sub(rb"/\S*", b"", line) if line[:1] == b"f" else line for line in kept) + b"\n"


def _check_gltf(path: Path, content: bytes) -> None:
    """Check that all accessors have stored data; trimesh would allocate the declared number of zeros for others."""
    try:
        if path.suffix.lower() == ".glb":
            if not content.startswith(b"glTF") or len(content) < 20:
                raise ValueError("it does not begin with the header of GLB")
            (size,) = struct.unpack_from("<I", content, 12)  # size of the first chunk, which contains the JSON
            content = content[20 : 20 + size]
        accessors = json.loads(content).get("accessors", [])
        empty = [k for k, accessor in enumerate(accessors) if "bufferView" not in accessor]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"mesh {path}: not a glTF file ({error})") from None
    if empty:
        raise InputError(
            f"mesh {path}: accessor {empty[0]} is compressed or sparse, expected plain buffers",
            "Export the scene without compression.",
        )


def _joined(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge corners with equal coordinates into one vertex, in the order of their first use."""
    rows = np.ascontiguousarray(vertices + 0.0)  # -0 becomes 0
    _, first, group = np.unique(rows.view(f"V{rows.itemsize * 3}"), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return vertices[first[order]], place[group.reshape(-1)][faces]


def _vertex_colours(parts: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the colours of the vertices; None unless every part has them."""
    found = []
    for part in parts:
        colours = part.visual.vertex_colors if part.visual.kind == "vertex" else np.zeros((0, 4))
        if np.shape(colours)[0] != len(part.vertices):
            return None
        found.append(np.asarray(colours, np.uint8)[:, :3])
    return tuple(np.concatenate(found).T) if found else None  # type: ignore[return-value]
