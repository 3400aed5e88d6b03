"""Triangle meshes and point clouds: ScanNet's `_vh_clean_2.ply` and `.labels.ply`, and a user's own scans in PLY, OBJ,
STL, OFF, GLB, glTF, XYZ, TXT, NPZ, LAS or LAZ files.

A file of a data set is read exactly, because other files refer to its vertices by index. A user's own file may be read
leniently: content that the systems cannot use is converted or left out, and logged.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.scannet.mesh_formats import TRIMESH_SUFFIXES, read_with_trimesh
from g3d.data.scannet.other_formats import how_to_convert
from g3d.data.scannet.ply import read_ply, read_ply_mesh
from g3d.data.scannet.point_formats import LAS_SUFFIXES, POINT_SUFFIXES, read_las, read_npz, read_point_list
from g3d.data.scannet.raw_mesh import Polygons, RawMesh
from g3d.errors import InputError, MissingDataError

log = logging.getLogger(__name__)

SUFFIXES = (".ply", *TRIMESH_SUFFIXES, *POINT_SUFFIXES, ".npz", *LAS_SUFFIXES)
"""Lower-case suffixes of the files that `read_mesh` reads."""
MESH_SUFFIXES = (".ply", *TRIMESH_SUFFIXES, ".xyz", *LAS_SUFFIXES)
"""Suffixes that are always a mesh or cloud; a .txt or .npz file may contain something else."""
_FAR = 16  # distance from the origin, in extents of the mesh, at which float32 loses 4 of its 24 bits
Say = Callable[..., None]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the frame of its file (ScanNet: raw, gravity +Z, not axis-aligned), metres.

    Attributes:
        vertices: (N, 3) float32, finite.
        colours: (N, 3) uint8, red green blue; None if the file has none.
        faces: (F, 3) int32, indices of `vertices`; F = 0 for a point cloud.
        labels: (N,) uint16, the `label` property of ScanNet's labels.ply (nyu40 id); None if the file has none.
        offset: (3,) float64 that was subtracted from the coordinates of the file; None if nothing was.
        rows: (N,) int64, index of each vertex in the file; None if all were kept.
        left_out: number of vertices of the file that were left out, because they are not finite or the cloud was
            thinned.
    """

    vertices: np.ndarray
    colours: np.ndarray | None
    faces: np.ndarray
    labels: np.ndarray | None
    offset: np.ndarray | None = None
    rows: np.ndarray | None = None
    left_out: int = 0

    def spread(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask of the vertices (N,) bool as a mask of all vertices of the file, as answers state it."""
        if self.rows is None:
            return mask
        whole = np.zeros(len(self.vertices) + self.left_out, bool)
        whole[self.rows] = mask
        return whole


def read_mesh(path: str | Path, lenient: bool = False, most: int | None = None, level: int = logging.WARNING) -> Mesh:
    """Read a mesh or point cloud; the suffix decides the format.

    Args:
        path: a file with one of `SUFFIXES`.
        lenient: convert or leave out content that the systems cannot use, and log it, instead of raising. Faces with
            more than three corners are split; faces with fewer are left out. Vertices that are not finite are left out
            with their faces. Colours as fractions of 0 to 1, as whole numbers of 0 to 255 in a floating or unsigned
            type, and of 16 bits are converted; other colours that are not bytes, and labels that do not fit in uint16,
            are ignored. An offset is subtracted from coordinates that float32 cannot hold.
        most: largest number of points of a cloud; of larger clouds every k-th point is kept, and the log states both
            counts. Meshes, and clouds without this number, are read whole.
        level: level of the log lines about conversions; logging.DEBUG suits a file that was reported before.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the format is unknown, the file is damaged, there are no vertices, or a face names a vertex that
            does not exist. Unless `lenient`, also for all content that `lenient` converts or leaves out.
        EnvironmentProblem: the package that reads LAS or LAZ is not installed.
    """
    path = Path(path)
    raw = _read_raw(path, most)
    if len(raw.vertices) == 0:
        raise InputError(f"mesh {path}: no vertices")
    say = functools.partial(log.log, level)
    total = len(raw.vertices) if raw.total is None else raw.total
    if raw.step > 1:
        counts = (f"{total:,}", f"{len(raw.vertices):,}", raw.step)
        say("mesh %s: %s points are thinned to %s: one in %d is kept", path, *counts)
    faces = _triangles(path, raw.polygons, len(raw.vertices), lenient, say)
    finite = np.isfinite(raw.vertices).all(1)
    if not finite.all() and not lenient:
        first = int(np.argmin(finite))
        raise InputError(
            f"mesh {path}: {np.count_nonzero(~finite)} vertices are not finite (first: vertex {first}, "
            f"{raw.vertices[first].tolist()})"
        )
    if not finite.any():
        raise InputError(f"mesh {path}: none of the {len(finite)} vertices is finite")
    colours, labels, vertices = _colours(path, raw, lenient, say), _labels(path, raw.labels, lenient, say), raw.vertices
    rows = np.arange(len(finite)) * raw.step if raw.step > 1 else None
    if not finite.all():
        whole = finite[faces].all(1)
        say(
            "mesh %s: %d of %d vertices are not finite: they are left out, with the %d faces that use them",
            *(path, np.count_nonzero(~finite), len(finite), np.count_nonzero(~whole)),
        )
        faces = (np.cumsum(finite, dtype=np.int32) - 1)[faces[whole]].reshape(-1, 3)
        rows = np.flatnonzero(finite) * raw.step
        vertices = vertices[finite]
        colours, labels = (None if values is None else values[finite] for values in (colours, labels))
    vertices, offset = _single(path, vertices, lenient, say)
    return Mesh(vertices, colours, faces, labels, offset, rows, total - len(vertices))


def read_vertex_labels(path: str | Path, vertices: int) -> np.ndarray:
    """Read the `label` property of a labels.ply file, which repeats the vertices of a mesh in the same order.

    Args:
        path: a PLY file.
        vertices: number of vertices of the mesh.

    Returns:
        (N,) uint16, nyu40 ids.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, has another number of vertices, or has no property `label` of integers from 0
            to 65535.
    """
    rows = read_ply(Path(path)).get("vertex")
    count = 0 if rows is None else rows.count
    if rows is None or count != vertices:
        raise InputError(
            f"labels {path}: {count} vertices, the mesh has {vertices}", hint="They belong to two different meshes."
        )
    labels = _labels(path, rows.scalars.get("label"), False, log.warning)
    if labels is None:
        raise InputError(f"labels {path}: no vertex property 'label' (found: {', '.join(rows.names)})")
    return labels


def _read_raw(path: Path, most: int | None) -> RawMesh:
    raw = _read_format(path, most)
    return raw if most is None else raw.thinned(most)


def _read_format(path: Path, most: int | None) -> RawMesh:
    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingDataError(f"mesh {path}: no such file")
    try:
        if suffix == ".ply":
            return read_ply_mesh(path)
        if suffix in TRIMESH_SUFFIXES:
            return read_with_trimesh(path)
        if suffix in POINT_SUFFIXES:
            return read_point_list(path)
        if suffix == ".npz":
            return read_npz(path)
        if suffix in LAS_SUFFIXES:
            return read_las(path, most)
    except OSError as error:
        raise InputError(f"mesh {path}: cannot be read: {error.strerror or error}") from None
    raise InputError(
        f"mesh {path}: unknown format {suffix or 'without suffix'}, expected {', '.join(SUFFIXES)}",
        how_to_convert(path),
    )


def _triangles(path: Path, polygons: Polygons | None, vertices: int, lenient: bool, say: Say) -> np.ndarray:
    """Return the triangles (F, 3) int32 of the polygons."""
    if polygons is None:
        return np.zeros((0, 3), np.int32)
    if not lenient:
        _check_triangles(path, polygons)
    faces = polygons.triangles()
    large, small = np.count_nonzero(polygons.sizes > 3), np.count_nonzero(polygons.sizes < 3)
    if large or small:
        say(
            "mesh %s: %d faces of more than three corners are split into triangles, %d of fewer are left out",
            *(path, large, small),
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= vertices):
        outside = (polygons.corners < 0) | (polygons.corners >= vertices)
        face = int(np.searchsorted(np.cumsum(polygons.sizes), np.argmax(outside), side="right"))
        raise InputError(
            f"mesh {path}: face {face} names vertices {polygons.face(face).tolist()}, the mesh has vertices 0 to "
            f"{vertices - 1}"
        )
    return faces.astype(np.int32)


def _check_triangles(path: Path, polygons: Polygons) -> None:
    sizes, hint = polygons.sizes, "Triangulate the mesh first."
    if (different := sizes != sizes[0]).any():
        face = int(np.argmax(different))
        raise InputError(
            f"mesh {path}: face {face} has a list of {sizes[face]} numbers in vertex_indices, face 0 one of "
            f"{sizes[0]}; expected triangles",
            hint,
        )
    if sizes[0] != 3:
        raise InputError(f"mesh {path}: face 0 has {sizes[0]} corners, expected triangles", hint)


def far_offset(low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """Return the offset (3,) float64 to subtract from coordinates that lie so far away that float32 loses 4 of its 24
    bits: the centre in whole units. It is None if the coordinates are near enough.

    Args:
        low: (3,) float64, the smallest coordinates.
        high: (3,) float64, the largest coordinates.
    """
    offset = np.round((low + high) / 2)
    near = max(-low.min(), high.max()) <= _FAR * (high - low).max()
    return None if near or not offset.any() else offset


def _single(path: Path, vertices: np.ndarray, lenient: bool, say: Say) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the vertices as float32, and the offset that was subtracted in float64 to keep their precision.

    The offset is the centre in whole units, so that the subtraction is exact and a user can add it again without loss.
    """
    with np.errstate(over="ignore"):
        single = vertices.astype(np.float32, copy=False)
    if vertices.dtype == np.float32 or np.array_equal(single, vertices):
        return single, None
    low, high = vertices.min(0).astype(np.float64), vertices.max(0).astype(np.float64)
    offset = far_offset(low, high)
    if offset is None:
        if not np.isfinite(single).all():
            raise InputError(f"mesh {path}: coordinates from {low.min():g} to {high.max():g} do not fit in float32")
        return single, None
    if not lenient:
        raise InputError(
            f"mesh {path}: coordinates near {offset.tolist()} lose their precision in float32",
            "Subtract this offset from the mesh and from the camera poses.",
        )
    say(
        "mesh %s: the offset (%.0f, %.0f, %.0f) is subtracted from all coordinates, which float32 cannot hold",
        *(path, *offset),
    )
    return (vertices - offset).astype(np.float32), offset


def _colours(path: Path, raw: RawMesh, lenient: bool, say: Say) -> np.ndarray | None:
    """Return the colours (N, 3) uint8, or None if they are missing or ignored."""
    if raw.colours is None:
        return None
    for name, channel in zip(("red", "green", "blue"), raw.colours, strict=True):
        if channel.dtype != np.uint8 and not lenient:
            raise InputError(f"mesh {path}: vertex property {name} is {channel.dtype.name}, expected uchar (0 to 255)")
    colours = np.stack(raw.colours, 1)
    if colours.dtype == np.uint8:
        return colours
    known = np.nan_to_num(colours, nan=0, posinf=0, neginf=0)
    low, high = known.min(initial=0), known.max(initial=0)
    if low >= 0 and high <= 1 and colours.dtype.kind == "f":
        say("mesh %s: colours are fractions of 0 to 1: multiplied by 255", path)
        return np.round(255 * known).astype(np.uint8)
    if low >= 0 and high <= 255 and colours.dtype.kind in "uf" and (known == np.round(known)).all():
        return known.astype(np.uint8)
    if colours.dtype == np.uint16:
        say("mesh %s: colours have 16 bits: the upper 8 are used", path)
        return (known >> 8).astype(np.uint8)
    say("mesh %s: colours are ignored: expected uchar (0 to 255) or float (0 to 1)", path)
    return None


def _labels(path: str | Path, labels: np.ndarray | None, lenient: bool, say: Say) -> np.ndarray | None:
    """Return the labels (N,) uint16, or None if they are missing or ignored."""
    if labels is None:
        return None
    if labels.dtype.kind not in "iu":
        problem = f"vertex property label is {labels.dtype.name}, expected an integer (nyu40 id)"
    elif len(outside := np.flatnonzero((labels < 0) | (labels > 65535))):
        problem = f"label of vertex {outside[0]} is {labels[outside[0]]}, expected 0 to 65535"
    else:
        return labels.astype(np.uint16)
    if not lenient:
        raise InputError(f"mesh {path}: {problem}")
    say("mesh %s: labels are ignored: %s", path, problem)
    return None
