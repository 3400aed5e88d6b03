"""Triangle meshes in PLY files, read by property name: ScanNet's `_vh_clean_2.ply` and `.labels.ply`, and a user's own
scans.

Any order of elements and properties, extra ones, colours with or without alpha, little endian, big endian or ASCII. A
file without faces is a point cloud. ScanNet's 150 000 vertices take a few milliseconds: the elements are mapped as
records, no row is touched by Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from g3d.errors import InputError, MissingDataError

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_HEADER_END = re.compile(rb"(?:^|\n)end_header\r?\n")
_COUNT_OF = "count of "  # the field that holds the length of a list property; no PLY name has a space


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the frame of its file (ScanNet: raw, gravity +Z, not axis-aligned), metres.

    Attributes:
        vertices: (N, 3) float32, finite.
        colours: (N, 3) uint8, red green blue; None if the file has none.
        faces: (F, 3) int32, rows of `vertices`; F = 0 for a point cloud.
        labels: (N,) uint16, the `label` property of ScanNet's labels.ply (nyu40 id); None if the file has none.
    """

    vertices: np.ndarray
    colours: np.ndarray | None
    faces: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class _Property:
    name: str
    type: str
    count_type: str | None  # of a list


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


def read_mesh(path: str | Path) -> Mesh:
    """The mesh in a PLY file.

    Raises:
        MissingDataError: no such file.
        InputError: no PLY file or cut short; no vertices, a vertex that is not finite, colours that are no bytes,
            labels that are no integers of 16 bits, a face that is no triangle or names a vertex that does not exist.
    """
    elements = _read_elements(Path(path), ("vertex", "face"))
    if len(elements.get("vertex", ())) == 0:
        raise InputError(f"mesh {path}: no vertices")
    rows = elements["vertex"]
    return Mesh(
        _vertices(path, rows), _colours(path, rows), _faces(path, elements.get("face"), len(rows)), _labels(path, rows)
    )


def read_vertex_labels(path: str | Path, vertices: int) -> np.ndarray:
    """The `label` property alone: what a labels.ply adds to the mesh whose vertices it repeats in the same order.

    Args:
        path: a PLY file.
        vertices: how many vertices the mesh has.

    Returns:
        (N,) uint16, nyu40 ids.

    Raises:
        MissingDataError: no such file.
        InputError: as read_mesh; no property `label`; the labels of another mesh.
    """
    rows = _read_elements(Path(path), ("vertex",)).get("vertex", np.zeros(0, [("x", "f4")]))
    if len(rows) != vertices:
        raise InputError(
            f"labels {path}: {len(rows)} vertices, the mesh has {vertices}", hint="They belong to two different meshes."
        )
    labels = _labels(path, rows)
    if labels is None:
        raise InputError(f"labels {path}: no vertex property 'label' (found: {', '.join(rows.dtype.names or ())})")
    return labels


def _vertices(path: str | Path, rows: np.ndarray) -> np.ndarray:
    vertices = np.stack([_field(path, rows, name) for name in "xyz"], 1).astype(np.float32, copy=False)
    finite = np.isfinite(vertices)
    if not finite.all():
        broken = np.flatnonzero(~finite.all(1))
        raise InputError(
            f"mesh {path}: {len(broken)} vertices are not finite (first: vertex {broken[0]}, "
            f"{vertices[broken[0]].tolist()})"
        )
    return vertices


def _colours(path: str | Path, rows: np.ndarray) -> np.ndarray | None:
    names = ("red", "green", "blue")
    if not set(names) <= set(rows.dtype.names or ()):
        return None
    for name in names:
        if rows.dtype[name] != np.uint8:
            raise InputError(
                f"mesh {path}: vertex property {name} is {rows.dtype[name].name}, expected uchar (0 to 255)"
            )
    return np.stack([rows[name] for name in names], 1)


def _labels(path: str | Path, rows: np.ndarray) -> np.ndarray | None:
    if "label" not in (rows.dtype.names or ()):
        return None
    labels = rows["label"]
    if labels.dtype.kind not in "iu":
        raise InputError(f"mesh {path}: vertex property label is {labels.dtype.name}, expected an integer (nyu40 id)")
    outside = np.flatnonzero((labels < 0) | (labels > 65535))
    if len(outside):
        raise InputError(f"mesh {path}: label of vertex {outside[0]} is {labels[outside[0]]}, expected 0 to 65535")
    return labels.astype(np.uint16)


def _faces(path: str | Path, rows: np.ndarray | None, vertices: int) -> np.ndarray:
    if rows is None or len(rows) == 0:
        return np.zeros((0, 3), np.int32)
    name = "vertex_indices" if "vertex_indices" in (rows.dtype.names or ()) else "vertex_index"
    corners = _field(path, rows, name)
    if rows.dtype[name].base.kind not in "iu" or _COUNT_OF + name not in (rows.dtype.names or ()):
        raise InputError(f"mesh {path}: face property {name} is no list of integers")
    if corners.shape[1] != 3:
        raise InputError(
            f"mesh {path}: face 0 has {corners.shape[1]} corners, expected triangles",
            hint="Triangulate the mesh first.",
        )
    lowest, highest = corners.min(), corners.max()
    if lowest < 0 or highest >= vertices:
        face = int(np.flatnonzero(((corners < 0) | (corners >= vertices)).any(1))[0])
        raise InputError(
            f"mesh {path}: face {face} names vertices {corners[face].tolist()}, the mesh has vertices 0 to "
            f"{vertices - 1}"
        )
    return corners.astype(np.int32)


def _field(path: str | Path, rows: np.ndarray, name: str) -> np.ndarray:
    if name not in (rows.dtype.names or ()):
        found = ", ".join(n for n in rows.dtype.names or () if not n.startswith(_COUNT_OF))
        raise InputError(f"mesh {path}: property {name} is missing (found: {found})")
    return rows[name]


def _read_elements(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The wanted elements as records, by name; what comes after the last wanted one is not looked at."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"mesh {path}: no such file") from None
    except OSError as error:
        raise InputError(f"mesh {path}: cannot be read: {error.strerror or error}") from None
    order, elements, body = _parse_header(path, content)
    reader = _AsciiBody(path, content[body:]) if order == "=" else _BinaryBody(path, content, body, order)
    found = {}
    last = max((k for k, element in enumerate(elements) if element.name in wanted), default=-1)
    for element in elements[: last + 1]:
        rows = reader.rows(element)
        if element.name in wanted:
            found[element.name] = rows
    return found


def _parse_header(path: Path, content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("=" for ASCII), elements in file order, and where the first one begins."""
    end = _HEADER_END.search(content)
    if not content.startswith(b"ply") or end is None:
        reason = "no end_header line" if content.startswith(b"ply") else "it does not begin with ply"
        raise InputError(f"mesh {path}: not a PLY file ({reason})")
    order, elements = None, []
    for number, line in enumerate(content[: end.start() + 1].decode("latin-1").splitlines()[1:], 2):
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", ("ascii" | "binary_little_endian" | "binary_big_endian") as name, "1.0"] if order is None:
                order = _ORDERS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(_Element(name, int(count), ()))
            case ["property", type_, name] if type_ in _TYPES and elements:
                elements[-1] = _extended(path, number, elements[-1], _Property(name, _TYPES[type_], None))
            case ["property", "list", count_type, type_, name] if (
                type_ in _TYPES and _TYPES.get(count_type, "f")[0] != "f" and elements
            ):
                elements[-1] = _extended(path, number, elements[-1], _Property(name, _TYPES[type_], _TYPES[count_type]))
            case _:
                raise InputError(
                    f"mesh {path}: header line {number} is '{line.strip()[:80]}', expected a line of PLY 1.0"
                )
    if order is None:
        raise InputError(f"mesh {path}: the header has no format line")
    return order, elements, end.end()


def _extended(path: Path, line: int, element: _Element, new: _Property) -> _Element:
    if any(new.name == old.name for old in element.properties):
        raise InputError(f"mesh {path}: header line {line}: {element.name} has two properties {new.name}")
    return _Element(element.name, element.count, (*element.properties, new))


class _BinaryBody:
    """Elements one after the other as records of a fixed size: lists have the length of their element's first."""

    def __init__(self, path: Path, content: bytes, begin: int, order: str) -> None:
        self._path, self._content, self._at, self._order = path, content, begin, order

    def rows(self, element: _Element) -> np.ndarray:
        layout = self._layout(element)
        if self._at + element.count * layout.itemsize > len(self._content):
            _cut(self._path, element, (len(self._content) - self._at) // max(layout.itemsize, 1))
        rows = np.frombuffer(self._content, layout, element.count, self._at)
        _check_lists(self._path, element, rows)
        self._at += element.count * layout.itemsize
        return rows

    def _layout(self, element: _Element) -> np.dtype:
        fields: list[tuple] = []
        size = 0
        for prop in element.properties:
            if prop.count_type is None:
                fields.append((prop.name, self._order + prop.type))
            else:
                count_type = np.dtype(self._order + prop.count_type)
                if self._at + size + count_type.itemsize > len(self._content) and element.count:
                    _cut(self._path, element, 0)
                length = int(np.frombuffer(self._content, count_type, 1, self._at + size)[0]) if element.count else 0
                fields += [
                    (_COUNT_OF + prop.name, count_type),
                    (prop.name, self._order + prop.type, (_sane(self._path, element, length),)),
                ]
            size = np.dtype(fields).itemsize
        return np.dtype(fields)


class _AsciiBody:
    """The same of numbers in text."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._words, self._at = path, content.split(), 0

    def rows(self, element: _Element) -> np.ndarray:
        fields: list[tuple] = []
        width = 0
        for prop in element.properties:
            if prop.count_type is not None:
                word = self._words[self._at + width : self._at + width + 1] if element.count else [b"0"]
                if not word:
                    _cut(self._path, element, 0)
                length = _sane(self._path, element, int(word[0]) if word[0].isdigit() else -1)
                fields.append((_COUNT_OF + prop.name, prop.count_type))
                fields.append((prop.name, prop.type, (length,)))
                width += 1 + length
            else:
                fields.append((prop.name, prop.type))
                width += 1
        words = self._words[self._at : self._at + element.count * width]
        if len(words) < element.count * width:
            _cut(self._path, element, len(words) // width)
        self._at += len(words)
        return self._records(element, np.dtype(fields), words, width)

    def _records(self, element: _Element, layout: np.dtype, words: list[bytes], width: int) -> np.ndarray:
        try:
            numbers = np.array(words, "S").astype(np.float64).reshape(element.count, width)
        except ValueError as error:
            raise InputError(f"mesh {self._path}: element {element.name}: {error}") from None
        rows = np.zeros(element.count, layout)
        column = 0
        for name in layout.names or ():
            shape = layout[name].shape
            values = numbers[:, column : column + shape[0]] if shape else numbers[:, column]
            column += shape[0] if shape else 1
            with np.errstate(invalid="ignore"):
                rows[name] = values
            if name.startswith(_COUNT_OF):
                _check_lists(self._path, element, rows, (name,))
            if layout[name].base.kind in "iu" and (rows[name] != values).any():
                raise InputError(
                    f"mesh {self._path}: {element.name} property {name} holds numbers that are no "
                    f"{layout[name].base.name}"
                )
        return rows


def _sane(path: Path, element: _Element, length: int) -> int:
    if not 0 <= length <= 1024:
        raise InputError(f"mesh {path}: {element.name} 0 has a list of {length} numbers")
    return length


def _check_lists(path: Path, element: _Element, rows: np.ndarray, names: tuple[str, ...] | None = None) -> None:
    for name in names or rows.dtype.names or ():
        if name.startswith(_COUNT_OF) and len(rows) and (different := rows[name] != rows[name][0]).any():
            row = int(np.argmax(different))
            raise InputError(
                f"mesh {path}: {element.name} {row} has a list of {rows[name][row]} numbers in "
                f"{name.removeprefix(_COUNT_OF)}, "
                f"{element.name} 0 one of {rows[name][0]}; expected triangles",
                hint="Triangulate the mesh first.",
            )


def _cut(path: Path, element: _Element, whole: int) -> NoReturn:
    raise InputError(
        f"mesh {path}: the file is cut short: {whole} of {element.count} rows of element {element.name} are there"
    )
