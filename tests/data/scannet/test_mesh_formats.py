"""Meshes and clouds in formats other than PLY, and what a lenient reading converts, leaves out and logs."""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from support.drawn_mesh import COLOURS, FACES, SCANNET, VERTICES, ply

from g3d.data.scannet.mesh import read_mesh
from g3d.errors import InputError, MissingDataError

POINTS = np.array(VERTICES, np.float32)
OBJ = """# two quadrilaterals of different materials that share an edge; vertex 7 repeats vertex 1
mtllib room.mtl
o room
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 2 0 0
v 2 1 0
v 0 0 0
vt 0 0
vt 1 1
vn 0 0 1
usemtl red
f 1/1/1 2/2/1 3/1/1 4/2/1
g right
usemtl green
f -6//1 -3//1 \\
 -2//1 -5//1
"""


def drawn(path: Path, **options: object) -> Path:
    """The drawn mesh in the format of the suffix, written by trimesh."""
    alpha = np.full((4, 1), 255, np.uint8)
    mesh = trimesh.Trimesh(POINTS, FACES, process=False, vertex_colors=np.hstack([np.array(COLOURS, np.uint8), alpha]))
    mesh.export(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".obj", ".off", ".glb"])
def test_vertices_faces_and_colours_are_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    mesh = read_mesh(drawn(tmp_path / f"m{suffix}"))
    y_up = suffix == ".glb"
    vertices = np.stack([POINTS[:, 0], -POINTS[:, 2], POINTS[:, 1]], 1) if y_up else POINTS
    np.testing.assert_array_equal(mesh.vertices, vertices)
    np.testing.assert_array_equal(mesh.faces, FACES)
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)
    if suffix == ".off":
        assert mesh.colours is None
    else:
        np.testing.assert_array_equal(mesh.colours, COLOURS)


def test_materials_textures_and_groups_do_not_split_an_obj(tmp_path: Path) -> None:
    path = tmp_path / "m.obj"
    path.write_text(OBJ)
    mesh = read_mesh(path)
    assert mesh.vertices.shape == (7, 3)
    assert mesh.vertices[6].tolist() == mesh.vertices[0].tolist()
    assert sorted(map(sorted, mesh.faces.tolist())) == [[0, 1, 2], [0, 2, 3], [1, 2, 5], [1, 4, 5]]


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_equal_corners_of_an_stl_are_one_vertex(tmp_path: Path, kind: str) -> None:
    mesh = read_mesh(drawn(tmp_path / "m.stl", file_type=kind))
    np.testing.assert_array_equal(mesh.vertices, POINTS)  # in the order of their first use
    np.testing.assert_array_equal(mesh.faces, FACES)


def test_nodes_of_a_gltf_scene_are_placed_and_joined(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    for height in (0.0, 5.0):
        scene.add_geometry(triangle, transform=trimesh.transformations.translation_matrix([0, height, 0]))
    scene.add_geometry(trimesh.PointCloud(np.full((2, 3), 7.0)))
    scene.export(tmp_path / "m.glb")
    mesh = read_mesh(tmp_path / "m.glb")
    found = sorted(map(tuple, mesh.vertices.tolist()))
    assert found == sorted([(0, 0, 0), (1, 0, 0), (0, 0, 1), (0, 0, 5), (1, 0, 5), (0, 0, 6), *[(7, -7, 7)] * 2])
    corners = mesh.vertices[mesh.faces]
    assert corners.shape == (2, 3, 3)
    assert sorted(corners[:, :, 2].min(1).tolist()) == [0, 5]


def test_scaled_nodes_of_a_glb_are_placed(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    scale, move = np.diag([1000.0, 1000, 1000, 1]), trimesh.transformations.translation_matrix([1.0, 2, 3])
    scene.graph.update(frame_to="scaled", frame_from="world", matrix=move @ scale)
    scene.add_geometry(
        trimesh.Trimesh(POINTS / 1000, FACES, process=False), parent_node_name="scaled", transform=np.diag([1, 2, 1, 1])
    )
    scene.export(tmp_path / "m.glb")
    stored = POINTS * [1, 2, 1] + [1, 2, 3]
    np.testing.assert_allclose(
        read_mesh(tmp_path / "m.glb").vertices, np.stack([stored[:, 0], -stored[:, 2], stored[:, 1]], 1), atol=1e-5
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_glb_is_one_line(tmp_path: Path, share: float) -> None:
    content = drawn(tmp_path / "m.glb").read_bytes()
    (tmp_path / "m.glb").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"m\.glb: not a (glTF|readable GLB) file") as caught:
        read_mesh(tmp_path / "m.glb", lenient=True)
    assert "\n" not in caught.value.message


def test_an_obj_without_its_material_file_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.obj").write_text(OBJ)
    assert not (tmp_path / "room.mtl").exists()
    mesh = read_mesh(tmp_path / "m.obj", lenient=True)
    assert mesh.vertices.shape == (7, 3)
    assert mesh.colours is None
    assert caplog.text == ""


def test_a_gltf_names_its_buffers(tmp_path: Path) -> None:
    mesh = trimesh.Trimesh(POINTS, FACES, process=False)
    for name, content in trimesh.Scene(mesh).export(file_type="gltf").items():
        (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read_mesh(tmp_path / "model.gltf").faces, FACES)


def test_a_gltf_accessor_without_data_is_refused(tmp_path: Path) -> None:
    content = drawn(tmp_path / "m.glb").read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    tree = json.loads(content[20 : 20 + size])
    del tree["accessors"][1]["bufferView"]
    tree["accessors"][1]["count"] = 10**9
    text = json.dumps(tree).encode()
    path = tmp_path / "zeros.glb"
    path.write_bytes(content[:12] + struct.pack("<I", len(text)) + content[16:20] + text + content[20 + size :])
    with pytest.raises(InputError, match="accessor 1 is compressed or sparse"):
        read_mesh(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "not a readable OBJ file"),
        ("m.obj", b"", "no vertices"),
        ("m.off", b"OFF\n1000000000 0 0\n0 0 0\n", "not a readable OFF file"),
        ("m.glb", b"glTF", "not a glTF file"),
        ("m.gltf", b"[]", "not a glTF file"),
        ("m.stl", b"solid nothing\n", "no vertices"),
        ("m.fbx", b"", r"unknown format .fbx, expected .ply, .obj"),
        ("m", b"", "unknown format without suffix"),
        ("m.xyz", b"0 0 0\n1 1\n", "the number of columns changed from 3 to 2 at row 2"),
        ("m.xyz", b"0 0 0 \x10\n", "could not convert string"),
        ("m.txt", b"0 0\n1 1\n", "2 columns, expected x y z"),
        ("m.txt", b"only words\n", "no vertices"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_mesh(path, lenient=True)
    assert "\n" not in caught.value.message


def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        read_mesh(tmp_path / "m.obj")
    (tmp_path / "m.obj").mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_mesh(tmp_path / "m.obj")


@pytest.mark.parametrize(
    ("text", "colours"),
    [
        ("0 0 0.5\n1 0 0.25\n", None),
        ("# room\n\n// scanner 3\n2\n0\t0\t0.5\n1\t0\t0.25", None),
        ("X,Y,Z\n0,0,0.5\n1,0,0.25\n", None),
        ("0;0;0.5;77\n1;0;0.25;78\n", None),
        ("x y z r g b\n0 0 0.5 0 128 255\n1 0 0.25 1 2 3\n", [[0, 128, 255], [1, 2, 3]]),
        ("0 0 0.5 0 0 1\n1 0 0.25 0 0.6 -0.8\n", None),  # normals
        ("0 0 0.5 0 0 256\n1 0 0.25 0 0 0\n", None),
    ],
)
def test_lists_of_points(tmp_path: Path, text: str, colours: list | None) -> None:
    path = tmp_path / "m.xyz"
    path.write_text(text)
    mesh = read_mesh(path)
    assert mesh.vertices.tolist() == [[0, 0, 0.5], [1, 0, 0.25]]
    assert mesh.faces.shape == (0, 3)
    assert (mesh.colours if mesh.colours is None else mesh.colours.tolist()) == colours


def test_polygons_are_split_around_their_first_corner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faces = [(0, 1, 3, 2), (2, 1), (1, 2, 3), (0, 1, 2, 3, 1)]
    expected = [(0, 1, 3), (0, 3, 2), (1, 2, 3), (0, 1, 2), (0, 2, 3), (0, 3, 1)]
    for format in ("binary_little_endian", "binary_big_endian", "ascii"):
        mesh = read_mesh(ply(tmp_path / "m.ply", faces=faces, format=format), lenient=True)
        assert list(map(tuple, mesh.faces.tolist())) == expected
        assert "2 faces of more than three corners are split into triangles, 1 of fewer are left out" in caplog.text
        caplog.clear()
    with pytest.raises(InputError, match=r"face 3 names vertices \[0, 1, 2, 9\], the mesh has vertices 0 to 3"):
        read_mesh(ply(tmp_path / "m.ply", faces=[*faces[:3], (0, 1, 2, 9)]), lenient=True)


def test_vertices_that_are_not_finite_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = {"y": [0.0, float("inf"), 1.0, 1.0]}
    path = ply(tmp_path / "m.ply", (*SCANNET, "ushort label"), [(0, 1, 2), (3, 2, 0)], values=values)
    mesh = read_mesh(path, lenient=True)
    assert "1 of 4 vertices are not finite: they are left out, with the 1 faces that use them" in caplog.text
    assert mesh.vertices[:, 0].tolist() == [0, 0, 1]
    assert mesh.faces.tolist() == [[2, 1, 0]]
    assert mesh.labels is not None
    assert mesh.labels.tolist() == [1, 50, 40]
    assert mesh.colours is not None
    assert mesh.colours.tolist() == [list(COLOURS[k]) for k in (0, 2, 3)]
    assert mesh.rows is not None
    assert (mesh.rows.tolist(), mesh.left_out) == ([0, 2, 3], 1)
    with pytest.raises(InputError, match="none of the 4 vertices is finite"):
        read_mesh(ply(path, values={"y": [float("nan")] * 4}), lenient=True)


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0, 0.1], [0, 128, 255, 26]), ([0.0, 0.5, 2.0, 0.1], None)]
)
def test_colours_as_fractions_are_converted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: list, expected: list | None
) -> None:
    properties = (*SCANNET[:3], "float red", "float green", "float blue")
    path = ply(tmp_path / "m.ply", properties, values=dict.fromkeys(("red", "green", "blue"), values))
    mesh = read_mesh(path, lenient=True)
    if expected is None:
        assert mesh.colours is None
        assert "colours are ignored" in caplog.text
    else:
        assert mesh.colours is not None
        assert mesh.colours.tolist() == [[value] * 3 for value in expected]
    with pytest.raises(InputError, match="red is float32, expected uchar"):
        read_mesh(path)


def test_labels_of_another_type_are_ignored_leniently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = ply(tmp_path / "m.ply", (*SCANNET, "float label"))
    assert read_mesh(path, lenient=True).labels is None
    assert "labels are ignored: vertex property label is float32" in caplog.text
    with pytest.raises(InputError, match="label is float32"):
        read_mesh(path)


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_an_offset_keeps_the_precision_of_coordinates_far_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, format: str
) -> None:
    shift = np.array([452_345.0, 5_411_948.0, 312.0])
    values = {axis: (POINTS[:, k].astype(float) + shift[k] + 0.001).tolist() for k, axis in enumerate("xyz")}
    path = ply(tmp_path / "m.ply", ("double x", "double y", "double z"), values=values, format=format)
    mesh = read_mesh(path, lenient=True)
    assert mesh.offset is not None
    assert mesh.offset.dtype == np.float64
    np.testing.assert_array_equal(mesh.offset, np.round(mesh.offset))
    np.testing.assert_allclose(mesh.vertices + mesh.offset, POINTS + shift + 0.001, rtol=0, atol=1e-6)
    assert f"the offset ({mesh.offset[0]:.0f}, {mesh.offset[1]:.0f}, {mesh.offset[2]:.0f}) is subtracted" in caplog.text
    with pytest.raises(InputError, match="lose their precision in float32"):
        read_mesh(path)


@pytest.mark.parametrize("number", ["float", "double"])
def test_coordinates_that_float32_holds_are_not_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: str
) -> None:
    values = {axis: (POINTS[:, k] + 4096).tolist() for k, axis in enumerate("xyz")}
    mesh = read_mesh(ply(tmp_path / "m.ply", tuple(f"{number} {axis}" for axis in "xyz"), values=values), lenient=True)
    np.testing.assert_array_equal(mesh.vertices, POINTS + 4096)
    assert mesh.offset is None
    assert caplog.text == ""


def test_coordinates_near_the_origin_are_rounded(tmp_path: Path) -> None:
    values = {axis: (POINTS[:, k].astype(float) + 0.1).tolist() for k, axis in enumerate("xyz")}
    path = ply(tmp_path / "m.ply", ("double x", "double y", "double z"), values=values)
    for lenient in (False, True):
        mesh = read_mesh(path, lenient)
        np.testing.assert_array_equal(mesh.vertices, np.stack(list(values.values()), 1).astype(np.float32))
        assert mesh.offset is None


def test_a_lenient_reading_of_a_good_file_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "g3d")
    path = ply(tmp_path / "m.ply")
    exact, lenient = read_mesh(path), read_mesh(path, lenient=True)
    np.testing.assert_array_equal(exact.vertices, lenient.vertices)
    assert (lenient.rows, lenient.offset, lenient.left_out) == (None, None, 0)
    assert caplog.text == ""
