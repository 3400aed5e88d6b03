"""PLY meshes are read by property name in any layout, and refused with one line if they cannot be used."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.drawn_mesh import COLOURS, FACES, SCANNET, VALUES, VERTICES, ply

from g3d.data.scannet.mesh import read_mesh, read_vertex_labels
from g3d.errors import InputError, MissingDataError


def check(path: Path) -> None:
    mesh = read_mesh(path)
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces.dtype == np.int32
    assert np.array_equal(mesh.vertices, np.array(VERTICES, np.float32))
    assert np.array_equal(mesh.faces, FACES)
    if mesh.colours is not None:
        assert mesh.colours.dtype == np.uint8
        assert np.array_equal(mesh.colours, COLOURS)


@pytest.mark.parametrize("format", ["binary_little_endian", "binary_big_endian", "ascii"])
@pytest.mark.parametrize(
    "properties",
    [
        SCANNET,
        SCANNET[:-1],  # without alpha
        (*SCANNET, "float quality"),  # an extra property
        ("uchar blue", "double z", "float y", "float x", "float quality", "uchar green", "uchar red"),  # any order
    ],
)
def test_properties_are_found_by_name(tmp_path: Path, format: str, properties: tuple[str, ...]) -> None:
    check(ply(tmp_path / "m.ply", properties, format=format))


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_faces_may_come_first_and_be_called_vertex_index(tmp_path: Path, format: str) -> None:
    check(ply(tmp_path / "m.ply", faces_as="list uchar int vertex_index", faces_first=True, format=format))
    check(ply(tmp_path / "m.ply", faces_as="list uchar uint vertex_indices", format=format))


def test_without_colours_labels_or_faces(tmp_path: Path) -> None:
    mesh = read_mesh(ply(tmp_path / "m.ply", SCANNET[:3], faces=[]))
    assert mesh.colours is None
    assert mesh.labels is None
    assert mesh.faces.shape == (0, 3)


def test_lines_of_the_header_may_end_with_crlf(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply")
    head, end, body = path.read_bytes().partition(b"end_header\n")
    path.write_bytes((head + end).replace(b"\n", b"\r\n") + body)
    check(path)


def test_labels_are_read_alone(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply", (*SCANNET, "ushort label"))
    assert read_vertex_labels(path, 4).tolist() == VALUES["label"]
    assert read_mesh(path).labels is not None
    with pytest.raises(InputError, match="4 vertices, the mesh has 5"):
        read_vertex_labels(path, 5)
    with pytest.raises(InputError, match="no vertex property 'label'"):
        read_vertex_labels(ply(path), 4)
    with pytest.raises(InputError, match="label of vertex 1 is -3"):
        read_vertex_labels(ply(path, (*SCANNET, "short label"), values={"label": [1, -3, 5, 6]}), 4)


@pytest.mark.parametrize("format", ["binary_little_endian", "binary_big_endian", "ascii"])
@pytest.mark.parametrize("corner", [4, -1])
def test_an_index_beyond_the_vertices_names_the_face(tmp_path: Path, format: str, corner: int) -> None:
    path = ply(tmp_path / "m.ply", faces=[(0, 1, 2), (2, 1, corner)], format=format)
    with pytest.raises(InputError, match=rf"face 1 names vertices \[2, 1, {corner}\], the mesh has vertices 0 to 3"):
        read_mesh(path)


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_a_file_cut_short_says_where(tmp_path: Path, format: str) -> None:
    whole = ply(tmp_path / "m.ply", format=format).read_bytes()
    body = whole.index(b"end_header\n") + len(b"end_header\n")
    path = tmp_path / "cut.ply"
    path.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="cut short: 1 of 2 rows of element face"):
        read_mesh(path)
    path.write_bytes(whole[:body])
    with pytest.raises(InputError, match="cut short: 0 of 4 rows of element vertex"):
        read_mesh(path)
    path.write_bytes(whole[: body - 20])
    with pytest.raises(InputError, match="no end_header"):
        read_mesh(path)


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ([(0, 1, 2, 3), (0, 1, 2, 3)], "face 0 has 4 corners"),
        ([(0, 1, 2), (0, 1, 2, 3), (0, 1, 2)], "face 1 has a list of 4 numbers in vertex_indices"),
    ],
)
def test_faces_that_are_no_triangles_are_refused(tmp_path: Path, format: str, faces: list, message: str) -> None:
    if format == "ascii" and len(faces) == 3:
        faces = [*faces[:2], (0, 1, 2)]
    with pytest.raises(InputError, match=message):
        read_mesh(ply(tmp_path / "m.ply", faces=faces, format=format))


def test_vertices_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply", values={"y": [0.0, float("nan"), float("inf"), 1.0]})
    with pytest.raises(InputError, match=r"2 vertices are not finite .first: vertex 1"):
        read_mesh(path)


def test_an_empty_mesh_is_refused(tmp_path: Path) -> None:
    empty = {name: [] for name in VALUES}
    with pytest.raises(InputError, match="no vertices"):
        read_mesh(ply(tmp_path / "m.ply", faces=[], values=empty))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ((b"ply\n", b"obj\n"), "does not begin with ply"),
        ((b"format binary_little_endian 1.0\n", b""), "no format line"),
        ((b"format binary_little_endian 1.0\n", b"format binary_middle_endian 1.0\n"), "header line 2"),
        ((b"float y", b"float v"), "property y is missing .found: x, v, z, red"),
        ((b"float y", b"float x"), "vertex has two properties x"),
        ((b"float y", b"half y"), "header line 6 is 'property half y'"),
        ((b"element vertex 4", b"element vertex -4"), "header line 4"),
        ((b"vertex_indices", b"corner_indices"), "property vertex_index is missing"),
        ((b"list uchar int", b"list uchar float"), "no list of integers"),
        ((b"uchar red", b"char red"), "red is int8, expected uchar"),
    ],
)
def test_a_wrong_header_says_what_is_wrong(tmp_path: Path, edit: tuple[bytes, bytes], message: str) -> None:
    path = ply(tmp_path / "m.ply")
    path.write_bytes(path.read_bytes().replace(*edit))
    with pytest.raises(InputError, match=message):
        read_mesh(path)


def test_ascii_numbers_must_be_numbers_of_their_type(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply", format="ascii")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"255 254 253", b"255 254 300"))
    with pytest.raises(InputError, match="vertex property blue holds numbers that are no uint8"):
        read_mesh(path)
    path.write_bytes(whole.replace(b"255 254 253", b"255 green 253"))
    with pytest.raises(InputError, match="element vertex"):
        read_mesh(path)


def test_a_missing_file_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        read_mesh(tmp_path / "m.ply")


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
@pytest.mark.parametrize("element", ["vertex 4", "face 2"])
def test_a_count_beyond_the_file_is_refused_before_allocation(tmp_path: Path, format: str, element: str) -> None:
    path = ply(tmp_path / "m.ply", format=format)
    name = element.split()[0]
    path.write_bytes(path.read_bytes().replace(f"element {element}".encode(), f"element {name} 1000000000".encode()))
    tracemalloc.start()
    with pytest.raises(InputError, match=f"cut short: [0-9]+ of 1000000000 rows of element {name} are there"):
        read_mesh(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_element_without_properties_has_no_rows(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply")
    path.write_bytes(path.read_bytes().replace(b"element vertex", b"element nothing 1000000000\nelement vertex"))
    with pytest.raises(InputError, match="element nothing has 1000000000 rows and no properties"):
        read_mesh(path)


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_a_list_longer_than_the_file_is_refused(tmp_path: Path, format: str) -> None:
    path = ply(tmp_path / "m.ply", faces_as="list uint int vertex_indices", format=format)
    content = path.read_bytes()
    if format == "ascii":
        path.write_bytes(content.replace(b"\n3 0 1 2", b"\n4294967295 0 1 2"))
        message = "element face: row 0 has 4 numbers, expected 4294967296"
    else:
        path.write_bytes(content[:-26] + b"\xff" * 26)
        message = "cut short: 0 of 2 rows of element face"
    with pytest.raises(InputError, match=message):
        read_mesh(path)


def test_one_long_word_does_not_widen_the_other_numbers(tmp_path: Path) -> None:
    rows, digits = 20_000, 100_000
    body = "0 0 0\n" * (rows - 1) + "0 0 0." + "1" * digits + "\n"
    path = tmp_path / "m.ply"
    path.write_text(
        f"ply\nformat ascii 1.0\nelement vertex {rows}\nproperty float x\nproperty float y\nproperty float z\n"
        f"end_header\n{body}"
    )
    tracemalloc.start()
    assert read_mesh(path).vertices[-1, 2] == np.float32(1 / 9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20  # strings of one width would need 6 GB


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_headers_with_umlauts_blank_lines_and_late_object_information(tmp_path: Path, format: str) -> None:
    path = ply(tmp_path / "m.ply", format=format)
    head, end, body = path.read_bytes().partition(b"end_header\n")
    extra = "comment Gerät\n\nobj_info num_cols 4\n".encode()
    path.write_bytes(head + extra + end + body)
    check(path)


def test_lists_beside_the_corners_are_skipped(tmp_path: Path) -> None:
    path = ply(tmp_path / "m.ply", format="ascii")
    declared, used = b"property list uchar int vertex_indices\n", b"property list uchar float texcoord\n"
    content = path.read_bytes().replace(declared, used + declared)
    path.write_bytes(content.replace(b"\n3 0 1 2\n3 2 1 3", b"\n6 0 0 0 1 1 1 3 0 1 2\n2 0 0 3 2 1 3"))
    check(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"3 0 1", "cut short: 1 of 2 rows of element face"),
        (b"3 0 1\n3 0 1 2", "row 1 has 3 numbers, expected 4"),
        (b"3 0 1 2 3", "row 1 has 5 numbers, expected 4"),
        (b"nan 0 1 2", "element face: cannot convert float NaN"),
        (b"-1 0 1 2", "row 1 has a list of -1 numbers"),
        (b"3 0 1 1.5", "face property vertex_indices holds numbers that are no int32"),
    ],
)
def test_a_face_in_text_says_what_is_wrong(tmp_path: Path, row: bytes, message: str) -> None:
    path = ply(tmp_path / "m.ply", format="ascii")
    path.write_bytes(path.read_bytes().replace(b"3 2 1 3", row))
    with pytest.raises(InputError, match=message):
        read_mesh(path)
