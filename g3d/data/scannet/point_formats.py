"""Readers of point clouds: text files, NumPy archives (NPZ), and LAS and LAZ with the extra `las`."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from g3d.data.boundary import reading
from g3d.data.scannet.raw_mesh import Polygons, RawMesh
from g3d.errors import EnvironmentProblem, InputError

if TYPE_CHECKING:
    import laspy

POINT_SUFFIXES = (".xyz", ".txt")
LAS_SUFFIXES = (".las", ".laz")
_COMMENTS = ("#", "//")
_POSITIONS = ("points", "xyz", "coords", "vertices", "positions")
_COLOURS = ("colors", "colours", "rgb", "color", "colour")
_FACES = ("faces", "triangles")
_CHUNK = 1_000_000  # LAS points in memory at a time, beside those that are kept


def read_point_list(path: Path) -> RawMesh:
    """Return the cloud in a text file with one point per line: x y z, and red green blue if there are six columns.

    Columns are separated by spaces, tabs, commas or semicolons. Lines that begin with # or // are comments. A first
    line of one integer (the number of points) or of column names is skipped. Columns four to six are colours if they
    hold integers of 0 to 255, or fractions of 0 to 1 that are not vectors of length 1; other columns (intensity,
    normals) are not read.

    Raises:
        InputError: a line has another number of columns than the others, fewer than three, or a word that is no number.
    """
    with path.open(encoding="latin-1") as file:
        rows = ((number, line) for number, line in enumerate(file) if not line.isspace())
        number, first = next(((k, line) for k, line in rows if not line.lstrip().startswith(_COMMENTS)), (0, ""))
    separator = next((mark for mark in ",;" if mark in first), None)
    words = [word for word in first.split(separator) if word.strip()]
    title = len(words) == 1 or not any(_is_number(word) for word in words)
    try:
        with warnings.catch_warnings(), path.open(encoding="latin-1") as file:
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            table = np.loadtxt(file, np.float64, _COMMENTS, separator, skiprows=number + title, ndmin=2)
    except ValueError as error:
        raise InputError(f"mesh {path}: {str(error).split(';')[0]}", "expected one point a line: x y z") from None
    if table.size and table.shape[1] < 3:
        raise InputError(f"mesh {path}: {table.shape[1]} columns, expected x y z")
    vertices, others = (table[:, :3], table[:, 3:]) if table.size else (np.zeros((0, 3)), np.zeros((0, 0)))
    if others.shape[1] == 3 and (others >= 0).all():
        if not 0 < others.max(initial=0) <= 1 and (others <= 255).all() and (others == np.round(others)).all():
            return RawMesh(vertices, colours=tuple(others.astype(np.uint8).T))  # type: ignore[arg-type]
        unit = np.abs(np.linalg.norm(others, axis=1) - 1) < 1e-3
        if (others <= 1).all() and not unit.all():
            return RawMesh(vertices, colours=tuple(others.T))  # type: ignore[arg-type]
    return RawMesh(vertices)


def read_npz(path: Path) -> RawMesh:
    """Return the cloud or mesh in a NumPy archive.

    The positions are an array (N, 3) named points, xyz, coords, vertices or positions. Colours are columns four to six
    of this array, or an array (N, 3) named colors, colours or rgb. Triangles (F, 3), if any, are named faces or
    triangles. Upper and lower case are equal.

    Raises:
        InputError: the file is no archive, no array is named for positions, or an array has another shape or type.
    """
    with reading(path, "mesh", problem="not a readable NPZ file"):
        if path.is_file() and not zipfile.is_zipfile(path):
            raise InputError("not a NumPy archive", "np.savez('scan.npz', points=xyz, colors=rgb) writes one")
        with np.load(path, allow_pickle=False) as archive:
            names = {name.lower(): name for name in reversed(archive.files)}
            place, given, corners = (
                next((names[known] for known in choices if known in names), None)
                for choices in (_POSITIONS, _COLOURS, _FACES)
            )
            if place is None:
                found = ", ".join(archive.files[:8]) or "nothing"
                raise InputError(f"found the arrays {found}; expected positions named {' or '.join(_POSITIONS)}")
            points = _rows(archive[place], place)
            colours = points[:, 3:6] if points.shape[1] >= 6 else None
            if given is not None:
                colours = _rows(archive[given], given)[:, :3]
                if len(colours) != len(points):
                    found = f"{given} has {len(colours)} rows"
                    raise InputError(f"{found}, expected {len(points)}, one for each row of {place}")
            polygons = None if corners is None else _npz_faces(archive[corners], corners)
    vertices = points[:, :3]
    if vertices.dtype not in (np.float32, np.float64):
        vertices = vertices.astype(np.float32 if vertices.dtype == np.float16 else np.float64)
    if colours is None:
        return RawMesh(vertices, polygons)
    if colours.dtype.kind == "i" and colours.min(initial=0) >= 0 and colours.max(initial=0) <= 255:
        colours = colours.astype(np.uint8)
    return RawMesh(vertices, polygons, (colours[:, 0], colours[:, 1], colours[:, 2]))


def _npz_faces(array: np.ndarray, name: str) -> Polygons | None:
    """Return the triangles in an array, None if it has no rows; raise InputError if it holds none."""
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
        raise InputError(f"{name} is {array.dtype} of shape {array.shape}, expected integers of shape (F, 3)")
    return Polygons.of_rows(array.astype(np.int64)) if len(array) else None


def _rows(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of numbers (N, 3 or more); raise InputError if it is none."""
    turned = array.ndim == 2 and len(array) == 3 and array.shape[1] > 9  # (3, N)
    if array.ndim != 2 or array.shape[1] < 3 or turned or array.dtype.kind not in "fiu":
        raise InputError(f"{name} is {array.dtype} of shape {array.shape}, expected numbers of shape (N, 3)")
    return array


def read_las(path: Path, most: int | None = None) -> RawMesh:
    """Return the cloud in a LAS or LAZ file: positions in double precision, and colours as bytes.

    The file is read in chunks of a million points. LAS stores colours in 16 bits; files whose colours are all below 256
    contain bytes. Points without any colour (all zero, as scanners without camera write) have none.

    Args:
        path: the file.
        most: largest number of points to keep; of larger files every k-th point is kept, from the first. None: all.

    Raises:
        EnvironmentProblem: laspy, or its decoder of LAZ, is not installed.
        InputError: the file is damaged or cut short.
    """
    try:
        import laspy
    except ImportError:
        raise EnvironmentProblem(f"mesh {path}: LAS needs the package laspy", "pip install 'g3d[las]'") from None
    if path.suffix.lower() == ".laz" and not laspy.LazBackend.detect_available():
        raise EnvironmentProblem(f"mesh {path}: LAZ needs the package lazrs", "pip install 'g3d[las]'")
    what = path.suffix[1:].upper()
    with reading(path, "mesh", problem=f"not a readable {what} file"), laspy.open(path) as file:
        total = file.header.point_count
        step = 1 if most is None or total <= most else -(-total // most)
        positions, colours, first = [np.zeros((0, 3))], [], 0
        for chunk in file.chunk_iterator(_CHUNK):
            kept = chunk[(-first) % step :: step]
            positions.append(np.stack([kept.x, kept.y, kept.z], 1))
            colours.append(_las_colours(kept))
            first += len(chunk)
        if first != total:
            raise InputError(f"cut short: {first} points, the header declares {total}")
    painted = [colour for colour in colours if colour is not None]
    channels = _las_bytes(np.concatenate(painted)) if painted else None
    return RawMesh(np.concatenate(positions), colours=channels, total=total, step=step)


def _las_colours(points: laspy.ScaleAwarePointRecord) -> np.ndarray | None:
    """Return the colours (N, 3) uint16 of some points, None if their format has none."""
    if "red" not in points.point_format.dimension_names:
        return None
    return np.stack([points.red, points.green, points.blue], 1)


def _las_bytes(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return colours of 16 bits as three arrays (N,) uint8, None if all are zero."""
    largest = colours.max(initial=0)
    scaled = (colours >> 8 if largest > 255 else colours).astype(np.uint8)
    return (scaled[:, 0], scaled[:, 1], scaled[:, 2]) if largest else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
