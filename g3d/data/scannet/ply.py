"""Reader of PLY files with any order of elements and properties: little endian, big endian or ASCII.

plyfile interprets the header and reads binary elements; elements whose lists have one length (triangles) are mapped
from the file without a loop in Python. ASCII elements are read here, because plyfile parses each of their faces with a
NumPy call. Declared counts are compared with the size of the file before anything is allocated.
"""

from __future__ import annotations

import io
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from plyfile import PlyData, PlyElement, PlyElementParseError, PlyHeaderParseError, PlyListProperty, PlyParseError

from g3d.data.scannet.raw_mesh import Polygons, RawMesh
from g3d.errors import InputError, MissingDataError

_LONGEST_LINE, _LONGEST_HEADER = 4096, 1 << 20  # bytes
_FACE_NAMES = ("vertex_indices", "vertex_index")
_LIST_LENGTHS = {"texcoord": 6}  # lengths of lists beside triangles; 3 is tried first for other lists


@dataclass(frozen=True, eq=False)
class PlyRows:
    """The rows of a PLY element.

    Attributes:
        count: number of rows.
        names: names of all properties, in file order.
        scalars: (count,) by property name, with the type of the header.
        lists: list properties by name.
    """

    count: int
    names: tuple[str, ...]
    scalars: dict[str, np.ndarray]
    lists: dict[str, Polygons]


@dataclass(frozen=True, eq=False)
class _Header:
    elements: list[PlyElement]  # types only: their counts are zero
    counts: list[int]
    ascii: bool
    plain: bool  # whether plyfile accepts the header as it is in the file
    text: str  # without comments, with the declared counts
    end: int  # byte after the header


def read_ply_mesh(path: Path) -> RawMesh:
    """Return the vertices, faces, colours and labels of a PLY file; see `read_ply` for errors."""
    elements = read_ply(path)
    rows = elements.get("vertex")
    if rows is None or rows.count == 0:
        return RawMesh(np.zeros((0, 3), np.float32))
    vertices = np.stack([_scalar(path, rows, name) for name in "xyz"], 1)
    red, green, blue = (rows.scalars.get(name) for name in ("red", "green", "blue"))
    colours = None if red is None or green is None or blue is None else (red, green, blue)
    return RawMesh(
        vertices if vertices.dtype.kind == "f" else vertices.astype(np.float64),
        _polygons(path, elements.get("face")),
        colours,
        rows.scalars.get("label"),
    )


def read_ply(path: Path) -> dict[str, PlyRows]:
    """Return the elements of a PLY file by name.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not a PLY file, is cut short, or contains something other than its header declares.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(path, file)
            _check_size(path, header, path.stat().st_size - header.end)
            if header.ascii:
                lines = io.TextIOWrapper(file, encoding="latin-1")
                return {
                    element.name: _ascii_rows(path, element, count, lines)
                    for element, count in zip(header.elements, header.counts, strict=True)
                }
            return {element.name: _binary_rows(element) for element in _binary_elements(path, header, file)}
    except FileNotFoundError:
        raise MissingDataError(f"mesh {path}: no such file") from None
    except OSError as error:
        raise InputError(f"mesh {path}: cannot be read: {error.strerror or error}") from None


def _scalar(path: Path, rows: PlyRows, name: str) -> np.ndarray:
    if name not in rows.scalars:
        raise InputError(f"mesh {path}: property {name} is missing (found: {', '.join(rows.names)})")
    return rows.scalars[name]


def _polygons(path: Path, rows: PlyRows | None) -> Polygons | None:
    if rows is None or rows.count == 0:
        return None
    name = next((name for name in _FACE_NAMES if name in rows.names), None)
    if name is None:
        raise InputError(f"mesh {path}: property {_FACE_NAMES[1]} is missing (found: {', '.join(rows.names)})")
    if name not in rows.lists or rows.lists[name].corners.dtype.kind not in "iu":
        raise InputError(f"mesh {path}: face property {name} is no list of integers")
    return rows.lists[name]


def _read_header(path: Path, file: BinaryIO) -> _Header:
    content = file.readline(_LONGEST_LINE)
    if not content.startswith(b"ply"):
        raise InputError(f"mesh {path}: not a PLY file (it does not begin with ply)")
    line = content
    while line.rstrip(b"\r\n") != b"end_header":
        line = file.readline(_LONGEST_LINE)
        content += line
        if not line or len(content) > _LONGEST_HEADER:
            raise InputError(f"mesh {path}: not a PLY file (no end_header line)")
    lines = content.decode("latin-1").splitlines()
    counts, kept = _check_lines(path, lines)
    try:
        types = PlyData.read(io.BytesIO("\n".join(kept).encode("latin-1") + b"\n"))
    except PlyHeaderParseError as error:
        _refuse_line(path, int(error.line), lines[int(error.line) - 1])
    except (PlyParseError, ValueError) as error:  # a name that is not ASCII, two elements with one name
        raise InputError(f"mesh {path}: not a PLY file (header: {error})") from None
    declared = iter(counts)
    text = "\n".join(line.replace(" 0", f" {next(declared)}") if line.startswith("element ") else line for line in kept)
    return _Header(list(types), counts, types.text, _is_plain(content, lines), text + "\n", len(content))


def _check_lines(path: Path, lines: list[str]) -> tuple[list[int], list[str]]:
    """Return the declared counts, and the lines of the header with empty comments and counts of zero.

    These lines are a complete PLY file, which plyfile checks without reading any row.
    """
    counts: list[int] = []
    kept = ["ply"]
    element, names = "", set[str]()
    for number, line in enumerate(lines[1:], 2):
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                kept.append("comment")
            case ["element", element, count] if count.isdecimal():
                counts.append(int(count))
                names = set()
                kept.append(f"element {element} 0")
            case ["element", *_] | ["property", "list", "float" | "float32" | "double" | "float64", *_]:
                _refuse_line(path, number, line)
            case ["property", *_, name] if name in names:
                raise InputError(f"mesh {path}: header line {number}: {element} has two properties {name}")
            case ["property", *_, name]:
                names.add(name)
                kept.append(line.strip())
            case _:
                kept.append(line.strip())
    if not any(line.startswith("format") for line in kept):
        raise InputError(f"mesh {path}: the header has no format line")
    return counts, kept


def _is_plain(content: bytes, lines: list[str]) -> bool:
    """Return whether plyfile accepts a header as it is: ASCII, one kind of line ending, no blank line, no obj_info."""
    ends = content.count(b"\r\n")
    return (
        content.isascii()
        and ends in (0, len(lines))
        and content.count(b"\r") == ends
        and not any(line.isspace() or not line or line.lstrip().startswith("obj_info") for line in lines)
    )


def _refuse_line(path: Path, number: int, line: str) -> NoReturn:
    raise InputError(f"mesh {path}: header line {number} is '{line.strip()[:80]}', expected a line of PLY 1.0")


def _check_size(path: Path, header: _Header, left: int) -> None:
    """Check that the rest of the file can contain the declared counts, even if all lists are empty."""
    for element, count in zip(header.elements, header.counts, strict=True):
        if count and not element.properties:
            raise InputError(f"mesh {path}: element {element.name} has {count} rows and no properties")
        if header.ascii:
            least, spare = 2 * len(element.properties), 1  # a digit and a space each; the last line may have no end
        else:
            least, spare = sum(np.dtype(_first_type(prop)).itemsize for prop in element.properties), 0
        if count * least > left + spare:
            _refuse_cut(path, element.name, count, (left + spare) // least)
        left -= count * least


def _first_type(prop: PlyListProperty) -> str:
    return prop.list_dtype()[0] if isinstance(prop, PlyListProperty) else prop.dtype()


def _refuse_cut(path: Path, element: str, count: int, whole: int) -> NoReturn:
    raise InputError(f"mesh {path}: the file is cut short: {whole} of {count} rows of element {element} are there")


def _binary_elements(path: Path, header: _Header, file: BinaryIO) -> PlyData:
    """Return all elements: try lists with the length of a triangle, then of a quadrilateral, then of any length."""
    lists = {
        element.name: [prop.name for prop in element.properties if isinstance(prop, PlyListProperty)]
        for element in header.elements
    }
    source: str | io.BytesIO = str(path)
    if not header.plain:
        file.seek(header.end)
        source = io.BytesIO(header.text.encode("latin-1") + file.read())
    for corners in (3, 4) if header.plain else ():
        known = {
            element: {name: _LIST_LENGTHS.get(name, 3) * corners // 3 for name in names}
            for element, names in lists.items()
        }
        try:
            return PlyData.read(source, known_list_len=known)
        except PlyElementParseError as error:
            if not lists[error.element.name]:
                _refuse_rows(path, error)
    try:
        return PlyData.read(source)
    except PlyElementParseError as error:
        _refuse_rows(path, error)
    except MemoryError:
        raise InputError(f"mesh {path}: a list declares more numbers than the file can hold") from None


def _refuse_rows(path: Path, error: PlyElementParseError) -> NoReturn:
    if error.message == "early end-of-file":
        _refuse_cut(path, error.element.name, error.element.count, int(error.row))
    raise InputError(f"mesh {path}: {error}") from None


def _binary_rows(element: PlyElement) -> PlyRows:
    scalars, lists = {}, {}
    for prop in element.properties:
        values = element.data[prop.name]
        if isinstance(prop, PlyListProperty):
            lists[prop.name] = Polygons.of_lists(values) if values.dtype == object else Polygons.of_rows(values)
        else:
            scalars[prop.name] = values
    return PlyRows(element.count, tuple(prop.name for prop in element.properties), scalars, lists)


def _ascii_rows(path: Path, element: PlyElement, count: int, lines: Iterator[str]) -> PlyRows:
    """Return the rows of an ASCII element, one per line."""
    names = tuple(prop.name for prop in element.properties)
    try:
        if any(isinstance(prop, PlyListProperty) for prop in element.properties):
            scalars, lists = _ascii_lists(path, element, count, lines)
        else:
            scalars, lists = dict(zip(names, _ascii_table(path, element, count, lines), strict=True)), {}
    except (ValueError, OverflowError) as error:
        raise InputError(f"mesh {path}: element {element.name}: {str(error).split(';')[0]}") from None
    for prop in element.properties:
        if isinstance(prop, PlyListProperty):
            corners = _typed(path, element, prop.name, lists[prop.name].corners, prop.list_dtype()[1])
            lists[prop.name] = Polygons(corners, lists[prop.name].sizes)
        else:
            scalars[prop.name] = _typed(path, element, prop.name, scalars[prop.name], prop.dtype())
    return PlyRows(count, names, scalars, lists)


def _ascii_table(path: Path, element: PlyElement, count: int, lines: Iterator[str]) -> np.ndarray:
    """Return the values (properties, count) float64 of an element without lists."""
    width = len(element.properties)
    if count == 0:
        return np.zeros((width, 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data")
        full = (line for line in lines if not line.isspace())
        table = np.loadtxt(full, np.float64, comments=None, max_rows=count, ndmin=2)
    if len(table) < count:
        _refuse_cut(path, element.name, count, len(table))
    if table.shape[1] != width:
        raise ValueError(f"rows of {table.shape[1]} numbers, expected {width}")
    return table.T


def _ascii_lists(
    path: Path, element: PlyElement, count: int, lines: Iterator[str]
) -> tuple[dict[str, np.ndarray], dict[str, Polygons]]:
    """Return the scalars and lists of an element as float64."""
    values = {prop.name: array("d") for prop in element.properties}
    sizes = {prop.name: array("q") for prop in element.properties if isinstance(prop, PlyListProperty)}
    for row in range(count):
        numbers = list(map(float, next((line for line in lines if not line.isspace()), "").split()))
        at = 0
        for prop in element.properties:
            length = 1
            if prop.name in sizes and at < len(numbers):
                length = int(numbers[at])
                if not 0 <= length == numbers[at]:
                    raise ValueError(f"row {row} has a list of {numbers[at]:g} numbers")
                sizes[prop.name].append(length)
                at += 1
            values[prop.name].extend(numbers[at : at + length])
            at += length
        if at > len(numbers):
            if next((line for line in lines if not line.isspace()), None) is None:
                _refuse_cut(path, element.name, count, row)
            raise ValueError(f"row {row} has {len(numbers)} numbers, expected {at}")
        if at < len(numbers):
            raise ValueError(f"row {row} has {len(numbers)} numbers, expected {at}")
    flat = {name: np.frombuffer(numbers, np.float64) for name, numbers in values.items()}
    lists = {name: Polygons(flat[name], np.frombuffer(lengths, np.int64)) for name, lengths in sizes.items()}
    return {name: numbers for name, numbers in flat.items() if name not in lists}, lists


def _typed(path: Path, element: PlyElement, name: str, values: np.ndarray, type_: str) -> np.ndarray:
    """Return numbers in the type that the header declares; raise InputError if an integer type cannot hold them."""
    with np.errstate(invalid="ignore", over="ignore"):
        typed = values.astype(type_)
    if typed.dtype.kind in "iu" and (typed != values).any():
        raise InputError(f"mesh {path}: {element.name} property {name} holds numbers that are no {typed.dtype.name}")
    return typed
