"""Place a user's own scan in the frame that networks expect: metres, z up, near the origin.

Files do not state their unit, and many have y up or coordinates of a national grid. The unit and the up axis are
decided from the scan by the rules of `_unit_of` and g3d/data/scannet/up_axis.py, unless the user states them. Every
correction is reported with the option that prevents it. Rotation, scale and offset form one transform, which answers
about the scan carry, so that they can be drawn again and returned to the file's own coordinates.

ScanNet's scenes in any form are never corrected: their frames are known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.scannet.mesh import Mesh, far_offset
from g3d.data.scannet.up_axis import Up, UpAxis, extent_of, find_up
from g3d.errors import InputError, did_you_mean

log = logging.getLogger(__name__)

AUTO = "auto"
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254}
"""Metres in a unit."""
_NAMES = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "ft": "feet", "in": "inches"}
TURNS: dict[Up, np.ndarray] = {
    "z": np.eye(3),
    "-z": np.diag([1.0, -1.0, -1.0]),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "x": np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "-x": np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]]),
}
"""Rotations (3, 3) that turn an axis of a file to +z."""
FILE_FRAME = "The frame is the file's own: no axis alignment is known."
"""Sentence for the reader about a scan that is not transformed."""
_GLTF = (".glb", ".gltf")
_READ_AS: dict[str, Up] = {"x": "x", "-x": "-x", "y": "z", "-y": "-z", "z": "-y", "-z": "y"}
"""Axes of a glTF file, and what they become when `read_mesh` turns the +Y up of glTF to +Z up."""
_LAS = (".las", ".laz")
_ROOM = (1.0, 60.0)  # metres: largest extent of a scanned room or floor
_HEIGHT = (1.8, 6.0)  # metres: height of a room
_LARGEST = 100.0  # a larger extent is hardly a room in metres
_FLAT = 1e-3  # ratio of the deviations across and along a plane


@dataclass(frozen=True)
class Fit:
    """The user's statement about the coordinates of a scan.

    Attributes:
        up: the axis of the file that points up ("x", "-x", "y", "-y", "z", "-z"), or "auto" to find it.
        unit: the unit of the file ("m", "cm", "mm", "ft", "in"), or "auto" to find it.

    Raises:
        InputError: another word.
    """

    up: str = AUTO
    unit: str = AUTO

    def __post_init__(self) -> None:
        for option, found, known in (("--up", self.up, (*TURNS, AUTO)), ("--unit", self.unit, (*UNITS, AUTO))):
            if found not in known:
                raise InputError(f"{option} {found}: expected {', '.join(known)}{did_you_mean(found, known)}")

    @property
    def stated(self) -> str | None:
        """The options that the user gave, for messages; None if there are none."""
        given = [f"{option} {value}" for option, value in (("--up", self.up), ("--unit", self.unit)) if value != AUTO]
        return " ".join(given) or None


def placement(mesh: Mesh, path: Path, fit: Fit = Fit()) -> np.ndarray:
    """Return the transform (4, 4) float64 from the coordinates of a file to metres with z up, and report it.

    The transform is a rotation by quarter turns, a scale, and a translation if the coordinates are so far from the
    origin that float32 loses precision. It is the identity for a file that is right as it is. A glTF file's coordinates
    are those that `read_mesh` returns, with z up.

    Args:
        mesh: the scan, as `read_mesh` returns it.
        path: its file, for messages; its suffix tells the conventions of the format.
        fit: the statement of the user.
    """
    points, kind = mesh.vertices.astype(np.float64), path.suffix.lower()
    plane = _is_flat(points)
    if plane:
        log.info("scene %s: all points lie in one plane", path)
    up = _up_of(points, mesh.faces, path, fit, plane)
    turned = points @ TURNS[up].T
    low, high = extent_of(turned, mesh.faces)
    extents = high - low
    unit = fit.unit if fit.unit != AUTO else _unit_of(extents, path, kind in _LAS)
    if unit != "m":
        found = (path, _NAMES[unit], _shown(extents), UNITS[unit])
        if fit.unit == AUTO:
            log.warning("scene %s: coordinates are %s (extent %s): scaled by %g; --unit m keeps them", *found)
        else:
            log.info("scene %s: coordinates are %s (extent %s): scaled by %g", *found)
    transform = translation(np.zeros(3))
    transform[:3, :3] = TURNS[up] * UNITS[unit]
    shift = np.zeros(3) if mesh.offset is None else transform[:3, :3] @ mesh.offset
    corners = turned.min(0) * UNITS[unit] + shift, turned.max(0) * UNITS[unit] + shift
    offset = far_offset(*corners)
    if offset is not None:
        transform[:3, 3] -= offset
        if mesh.offset is None:
            shown = ", ".join(f"{value:,.0f}" for value in offset)
            log.warning("scene %s: the offset (%s) is subtracted from all coordinates", path, shown)
    return transform


def moved(mesh: Mesh, transform: np.ndarray) -> np.ndarray:
    """Return the vertices (N, 3) float32 of a mesh after a transform (4, 4) of its file's coordinates.

    An offset that `read_mesh` subtracted is added in double precision before.
    """
    shift = transform[:3, 3] + (0 if mesh.offset is None else transform[:3, :3] @ mesh.offset)
    if np.array_equal(transform[:3, :3], np.eye(3)) and not np.any(shift):
        return mesh.vertices
    return (mesh.vertices @ transform[:3, :3].T + shift).astype(np.float32)


def translation(offset: np.ndarray) -> np.ndarray:
    """Return the transform (4, 4) float64 that adds an offset (3,)."""
    transform = np.eye(4)
    transform[:3, 3] = offset
    return transform


def about(transform: np.ndarray) -> str:
    """Return a sentence for the reader about a transform from `placement`."""
    scale = float(np.cbrt(abs(np.linalg.det(transform[:3, :3]))))
    done = []
    if not np.isclose(scale, 1):
        done.append(f"scaled by {scale:g} to metres")
    turn = transform[:3, :3] / scale if scale else np.eye(3)
    if not np.allclose(turn, np.eye(3)):
        done.append("turned so that z points up")
    if transform[:3, 3].any():
        done.append(f"moved by ({', '.join(f'{value:,.10g}' for value in transform[:3, 3])}) m")
    return f"The file's coordinates are {' and '.join(done)}." if done else FILE_FRAME


def _up_of(points: np.ndarray, faces: np.ndarray, path: Path, fit: Fit, plane: bool) -> Up:
    """Return the axis of the mesh that points up: as the user states, or z, or y if the scan shows it.

    LAS files have z up, as their standard says, and nothing can be said about a single plane.
    """
    gltf = path.suffix.lower() in _GLTF
    if fit.up != AUTO:
        stated = _READ_AS[fit.up] if gltf else fit.up
        return next(axis for axis in TURNS if axis == stated)
    if plane or path.suffix.lower() in _LAS:
        return "z"
    found: UpAxis = find_up(points, faces, "-y" if gltf else "y")
    named = next((own for own, read in _READ_AS.items() if read == found.axis), found.axis) if gltf else found.axis
    default = "y" if gltf else "z"
    if found.axis != "z" and gltf:
        log.warning("scene %s: the %s axis points up, not y as in glTF; --up y states the axis of glTF", path, named)
    elif found.axis != "z":
        log.warning("scene %s: the %s axis points up: turned so that z does; --up z prevents it", path, named)
    elif not found.clear:
        log.warning("scene %s: which axis points up is unclear: %s is taken; --up states another", path, default)
    return found.axis


def _unit_of(extents: np.ndarray, path: Path, surveyed: bool) -> str:
    """Return the unit of a scan with these extents along x, y and up: m, cm or mm.

    It is metres if the largest extent is at most 100. Of larger extents, it is millimetres or else centimetres if this
    makes the largest extent 1 to 60 m and the height 1.8 to 6 m. If neither does, an extent of 1,000 to 60,000 is
    millimetres, except in LAS files, which may be surveys of whole towns; other extents stay in metres.
    """
    largest, height = float(extents.max()), float(extents[2])
    if largest > _LARGEST:
        for unit in ("mm", "cm"):
            scale = UNITS[unit]
            if _ROOM[0] <= largest * scale <= _ROOM[1] and _HEIGHT[0] <= height * scale <= _HEIGHT[1]:
                return unit
        if not surveyed and _ROOM[0] <= largest * UNITS["mm"] <= _ROOM[1]:
            return "mm"
    if not _ROOM[0] <= largest <= _LARGEST:
        said = "scene %s: the extent %s is unusual for a room; metres are kept, --unit states another unit"
        log.warning(said, path, _shown(extents))
    return "m"


def _shown(extents: np.ndarray) -> str:
    """Return extents for a message, such as "5,210 x 3,480 x 2,610"."""
    return " x ".join(f"{extent:,.0f}" if 100 <= extent < 1e7 else f"{extent:.3g}" for extent in extents)


def _is_flat(points: np.ndarray) -> bool:
    """Return whether all points lie in one plane, in any direction."""
    some = points[:: -(-len(points) // 100_000)]
    spread = np.linalg.svd(np.cov((some - some.mean(0)).T, ddof=0), compute_uv=False) ** 0.5
    return bool(spread[2] <= _FLAT * spread[0])
