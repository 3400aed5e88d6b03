"""Clouds in NPZ, LAS, LAZ and text files, thinning of large ones, and advice on formats that are not read."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.las_files import write_las

from g3d.data.scannet.mesh import read_mesh
from g3d.errors import EnvironmentProblem, InputError

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.uniform(0, 5, (20, 3))
BYTES = RANDOM.integers(0, 256, (20, 3))


@pytest.mark.parametrize("name", ["points", "xyz", "coords", "vertices", "XYZ"])
@pytest.mark.parametrize("number", ["f4", "f8"])
def test_npz_positions_are_found_by_name(tmp_path: Path, name: str, number: str) -> None:
    np.savez(tmp_path / "room.npz", **{name: POINTS.astype(number), "intensity": np.ones(20)})
    mesh = read_mesh(tmp_path / "room.npz")
    np.testing.assert_array_equal(mesh.vertices, POINTS.astype(np.float32))
    assert (mesh.colours, len(mesh.faces)) == (None, 0)


@pytest.mark.parametrize("colours", ["colors", "colours", "rgb"])
@pytest.mark.parametrize("stored", [BYTES.astype(np.uint8), BYTES, BYTES.astype(np.float32), BYTES / 255])
def test_npz_colours_of_any_type_become_bytes(tmp_path: Path, colours: str, stored: np.ndarray) -> None:
    np.savez_compressed(tmp_path / "room.npz", xyz=POINTS, faces=[[0, 1, 2]], **{colours: stored})
    mesh = read_mesh(tmp_path / "room.npz", lenient=True)
    np.testing.assert_array_equal(mesh.colours, BYTES)
    assert mesh.faces.tolist() == [[0, 1, 2]]


def test_npz_columns_four_to_six_are_colours(tmp_path: Path) -> None:
    np.savez(tmp_path / "room.npz", points=np.hstack([POINTS, BYTES, POINTS]))
    mesh = read_mesh(tmp_path / "room.npz", lenient=True)
    np.testing.assert_array_equal(mesh.vertices, POINTS.astype(np.float32))
    np.testing.assert_array_equal(mesh.colours, BYTES)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"cloud": POINTS, "colors": BYTES}, r"found the arrays cloud, colors; expected positions named points or xyz"),
        ({}, "found the arrays nothing; expected positions named"),
        ({"points": POINTS.T}, r"points is float64 of shape \(3, 20\), expected numbers of shape \(N, 3\)"),
        ({"points": POINTS[:, :2]}, r"points is float64 of shape \(20, 2\), expected numbers of shape \(N, 3\)"),
        ({"points": POINTS.astype(str)}, r"points is <U\d+ of shape"),
        ({"points": POINTS, "rgb": BYTES[:7]}, "rgb has 7 rows, expected 20, one for each row of points"),
        ({"points": POINTS, "faces": POINTS}, r"faces is float64 of shape \(20, 3\), expected integers"),
        ({"points": POINTS, "faces": [[0, 1, 20]]}, r"face 0 names vertices \[0, 1, 20\]"),
        ({"points": np.zeros((0, 3))}, "no vertices"),
    ],
)
def test_an_npz_that_cannot_be_used_is_one_line(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "room.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_mesh(tmp_path / "room.npz", lenient=True)
    assert "\n" not in caught.value.message
    assert str(tmp_path / "room.npz") in caught.value.message


def test_a_damaged_npz_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "room.npz", points=POINTS)
    whole = (tmp_path / "room.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"\x93NUMPY", whole.replace(b"points.npy", b"points.nqy")):
        (tmp_path / "room.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"room\.npz: ") as caught:
            read_mesh(tmp_path / "room.npz", lenient=True)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("suffix", [".las", ".laz", ".LAS"])
def test_las_keeps_double_coordinates_and_scales_colours(tmp_path: Path, suffix: str) -> None:
    corner = (452_345.0, 5_411_948.0, 312.0)
    mesh = read_mesh(write_las(tmp_path / f"room{suffix}", 500, corner), lenient=True)
    assert mesh.offset is not None
    expected = corner[0] + 5 * np.arange(500) / 500
    np.testing.assert_allclose(mesh.vertices[:, 0] + mesh.offset[0], expected, rtol=0, atol=6e-5)
    assert mesh.colours is not None
    assert mesh.colours[:, 0].tolist() == [65535 * k // 500 // 256 for k in range(500)]
    assert mesh.colours[:, 1:].tolist() == [[255, 0]] * 500


@pytest.mark.parametrize(("brightest", "green"), [(255, 255), (0, None), (None, None)])
def test_las_colours_may_be_bytes_or_missing(tmp_path: Path, brightest: int | None, green: int | None) -> None:
    colours = read_mesh(write_las(tmp_path / "room.las", 50, brightest=brightest)).colours
    assert (None if colours is None else colours[0, 1]) == green


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_a_large_las_is_thinned_in_chunks_and_reported(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("g3d.data.scannet.point_formats._CHUNK", 700)  # not a multiple of the step
    path = write_las(tmp_path / f"room{suffix}", 10_000)
    mesh = read_mesh(path, lenient=True, most=3_000)
    assert "10,000 points are thinned to 2,500: one in 4 is kept" in caplog.text
    assert mesh.rows is not None
    assert mesh.rows.tolist() == list(range(0, 10_000, 4))
    assert mesh.left_out == 7_500
    np.testing.assert_array_equal(mesh.vertices, read_mesh(path).vertices[mesh.rows])
    np.testing.assert_array_equal(mesh.vertices, read_mesh(path, lenient=True, most=3_000).vertices)


@pytest.mark.slow
def test_ten_million_points_are_thinned_in_bounded_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_las(tmp_path / "room.las", 10_000_000)
    tracemalloc.start()
    try:
        mesh = read_mesh(path, lenient=True, most=2_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "10,000,000 points are thinned to 2,000,000" in caplog.text
    assert mesh.vertices.shape == (2_000_000, 3)
    assert peak < 260e6, f"{peak / 1e6:.0f} MB"  # all points would be 240 MB in double precision, and 60 MB of colours


def test_a_large_cloud_of_another_format_is_thinned_and_a_mesh_is_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "room.npz", points=POINTS, colors=BYTES)
    mesh = read_mesh(tmp_path / "room.npz", lenient=True, most=8)
    assert mesh.rows is not None
    assert (mesh.rows.tolist(), mesh.left_out) == ([0, 3, 6, 9, 12, 15, 18], 13)
    np.testing.assert_array_equal(mesh.colours, BYTES[::3])
    np.savez(tmp_path / "room.npz", points=POINTS, faces=[[0, 1, 2]])
    assert len(read_mesh(tmp_path / "room.npz", lenient=True, most=8).vertices) == 20


def test_thinned_points_that_are_not_finite_keep_their_rows(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[6] = np.nan
    np.savez(tmp_path / "room.npz", points=points)
    mesh = read_mesh(tmp_path / "room.npz", lenient=True, most=8)
    assert mesh.rows is not None
    assert (mesh.rows.tolist(), mesh.left_out) == ([0, 3, 9, 12, 15, 18], 14)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_a_damaged_las_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = write_las(tmp_path / f"room{suffix}", 20_000)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"LASF", b"no scan"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"room\{suffix}: ") as caught:
            read_mesh(path, lenient=True)
        assert "\n" not in caught.value.message


def test_las_without_laspy_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_las(tmp_path / "room.las", 5)
    monkeypatch.setitem(sys.modules, "laspy", None)
    with pytest.raises(EnvironmentProblem, match="LAS needs the package laspy") as caught:
        read_mesh(path)
    assert caught.value.hint == "pip install 'g3d[las]'"


def test_text_colours_as_fractions_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "room.xyz"
    np.savetxt(path, np.hstack([POINTS, BYTES / 255]))
    np.testing.assert_array_equal(read_mesh(path, lenient=True).colours, BYTES)
    normals = np.abs(POINTS) / np.linalg.norm(POINTS, axis=1, keepdims=True)
    np.savetxt(path, np.hstack([POINTS, normals]))
    assert read_mesh(path, lenient=True).colours is None


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("room.fbx", "Blender"),
        ("room.DAE", "Blender"),
        ("room.e57", "CloudCompare"),
        ("room.pcd", "pcl_pcd2ply"),
        ("room.usdz", "Blender"),
        ("room.ifc", "IfcConvert"),
        ("room.blend", "Blender"),
        ("room.3ds", "Blender"),
        ("room.pts", "CloudCompare"),
    ],
)
def test_other_formats_are_refused_with_a_way_to_convert_them(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"unknown format \.\w+, expected \.ply, \.obj") as caught:
        read_mesh(tmp_path / name)
    assert caught.value.hint is not None
    assert advice in caught.value.hint
    assert "\n" not in caught.value.hint
