"""Units, axes and offsets of a user's own scans are found, reported and corrected, or taken as the user states them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import paths
from support.own_rooms import own_room, y_up

from g3d.data.scannet.mesh import Mesh, read_mesh
from g3d.data.scannet.up_axis import find_up
from g3d.data.scannet.upright import TURNS, UNITS, Fit, about, moved, placement, translation
from g3d.errors import InputError

ROOM = own_room()
NO_FACES = np.zeros((0, 3), np.int32)
REAL_SCAN = paths.REAL / "scannet" / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.ply"


def mesh_of(vertices: np.ndarray, faces: np.ndarray | None = None) -> Mesh:
    """The room with these vertices, as it is read from a file of single precision."""
    return Mesh(vertices.astype(np.float32), ROOM.colours, ROOM.triangles if faces is None else faces, None)


def corrected(mesh: Mesh, name: str = "room.ply", fit: Fit = Fit()) -> np.ndarray:
    return moved(mesh, placement(mesh, Path(name), fit))


@pytest.mark.parametrize("faces", [ROOM.triangles, NO_FACES], ids=["mesh", "cloud"])
@pytest.mark.parametrize("degrees", [0, 20, 45, 80])
def test_a_room_that_is_right_is_left_alone(
    faces: np.ndarray, degrees: float, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = mesh_of(own_room(degrees).vertices, faces)
    transform = placement(mesh, Path("room.ply"))
    np.testing.assert_array_equal(transform, np.eye(4))
    assert moved(mesh, transform) is mesh.vertices
    assert caplog.text == ""


@pytest.mark.parametrize("faces", [ROOM.triangles, NO_FACES], ids=["mesh", "cloud"])
@pytest.mark.parametrize("degrees", [20, 45, 80])
def test_y_up_is_found_and_turned(faces: np.ndarray, degrees: float, caplog: pytest.LogCaptureFixture) -> None:
    vertices = own_room(degrees).vertices
    np.testing.assert_allclose(corrected(mesh_of(y_up(vertices), faces)), vertices, atol=1e-6)
    assert "room.ply: the y axis points up: turned so that z does; --up z prevents it" in caplog.text
    np.testing.assert_allclose(corrected(mesh_of(-y_up(vertices) * [-1, 1, 1], faces)), vertices, atol=1e-6)
    assert "the -y axis points up" in caplog.text


def test_a_room_along_the_axes_with_y_up_is_found_by_height_weight_and_openness() -> None:
    vertices = own_room(0).vertices
    assert find_up(y_up(vertices), ROOM.triangles).axis == "y"
    assert find_up(vertices, ROOM.triangles).axis == "z"


@pytest.mark.skipif(not REAL_SCAN.exists(), reason="the real scan is not here")
def test_a_real_scan_is_found_in_both_frames() -> None:
    scan = read_mesh(REAL_SCAN)
    vertices = scan.vertices.astype(np.float64)
    for faces in (scan.faces, NO_FACES):
        assert [find_up(v, faces).axis for v in (vertices, y_up(vertices))] == ["z", "y"]


def test_an_unclear_axis_is_said_and_z_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (5_000, 3)) * [5, 2.6, 4]  # a filled box: only its height speaks
    np.testing.assert_allclose(corrected(mesh_of(points, NO_FACES)), points, atol=1e-6)
    assert "which axis points up is unclear: z is taken; --up states another" in caplog.text


@pytest.mark.parametrize(("unit", "name"), [("mm", "millimetres"), ("cm", "centimetres")])
@pytest.mark.parametrize("faces", [ROOM.triangles, NO_FACES], ids=["mesh", "cloud"])
def test_millimetres_and_centimetres_are_found(
    unit: str, name: str, faces: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    stored = ROOM.vertices / UNITS[unit]
    np.testing.assert_allclose(corrected(mesh_of(stored, faces)), ROOM.vertices, atol=1e-5)
    assert f"room.ply: coordinates are {name} (extent " in caplog.text
    assert f"scaled by {UNITS[unit]:g}; --unit m keeps them" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(corrected(mesh_of(stored, faces), fit=Fit(unit="m")), stored.astype(np.float32))
    assert "coordinates are" not in caplog.text


def test_the_extent_of_millimetres_is_reported_with_its_height_last(caplog: pytest.LogCaptureFixture) -> None:
    corrected(mesh_of(y_up(own_room(0).vertices) * 1000))
    assert "(extent 5,000 x 4,000 x 2,600): scaled by 0.001" in caplog.text


@pytest.mark.parametrize(
    ("size", "name", "scale"),
    [
        ((5, 4, 2.6), "room.ply", 1),
        ((70, 40, 9), "floor.ply", 1),  # a floor of a building
        ((500, 500, 60), "town.las", 1),
        ((1200, 900, 60), "town.las", 1),
        ((5000, 4000, 2600), "room.las", 0.001),
        ((1500, 700, 750), "table.ply", 0.001),
        ((1200, 800, 250), "hall.ply", 0.01),  # 2.5 m high in centimetres, 0.25 m in millimetres
        ((30_000, 20_000, 9_000), "house.ply", 0.001),
        ((0.5, 0.4, 0.3), "thing.ply", 1),
        ((500, 400, 60), "unclear.ply", 1),
    ],
)
def test_the_unit_follows_from_extent_and_height(
    size: tuple, name: str, scale: float, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = mesh_of(own_room(0).vertices / (5.0, 4.0, 2.6) * size)
    assert placement(mesh, Path(name))[0, 0] == pytest.approx(scale)
    usual = 1 <= max(size) * scale <= 100
    assert ("is unusual for a room; metres are kept, --unit states another unit" in caplog.text) != usual


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("up", TURNS)
def test_stated_axes_and_units_are_taken(unit: str, up: str) -> None:
    stored = ROOM.vertices @ TURNS[up] / UNITS[unit]  # type: ignore[index]
    axis, sign = "xyz".index(up[-1]), -1 if up[0] == "-" else 1
    height = sign * stored[:, axis] * UNITS[unit]
    found = corrected(mesh_of(stored), fit=Fit(up, unit))
    np.testing.assert_allclose(found[:, 2], height, atol=1e-5)
    np.testing.assert_allclose(found, ROOM.vertices, atol=1e-5)
    assert np.linalg.det(TURNS[up]) == 1  # type: ignore[index]


def test_a_large_offset_in_double_precision_is_part_of_the_transform(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = y_up(ROOM.vertices) * 1000 + [452_345_000, 312_000, 5_411_948_000]
    np.savez(tmp_path / "room.npz", points=stored, faces=ROOM.triangles)
    mesh = read_mesh(tmp_path / "room.npz", lenient=True)
    transform = placement(mesh, tmp_path / "room.npz")
    found = moved(mesh, transform).astype(np.float64)
    np.testing.assert_allclose(found - found[0], ROOM.vertices - ROOM.vertices[0], atol=2e-6)
    assert np.abs(found).max() < 6
    back = (found - transform[:3, 3]) @ np.linalg.inv(transform[:3, :3]).T
    np.testing.assert_allclose(back, stored, rtol=0, atol=2e-3)  # millimetres
    assert "is subtracted from all coordinates" in caplog.text
    assert about(transform).startswith(
        "The file's coordinates are scaled by 0.001 to metres and turned so that z points up and moved by ("
    )


def test_a_large_offset_in_single_precision_is_subtracted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    found = corrected(mesh_of(ROOM.vertices + np.array([40_000.0, 50_000, 0])))
    assert np.abs(found).max() < 6
    assert "the offset (" in caplog.text


def test_one_plane_is_said_and_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "g3d")
    wall = np.random.default_rng(0).uniform(0, 3, (2_000, 3)) * [1, 0, 1]
    mesh = mesh_of(wall, NO_FACES)
    np.testing.assert_array_equal(placement(mesh, Path("wall.xyz")), np.eye(4))
    assert "wall.xyz: all points lie in one plane" in caplog.text


def test_stray_points_of_a_cloud_do_not_change_its_unit() -> None:
    points = ROOM.vertices.copy()
    points[::1000] *= 400
    assert placement(mesh_of(points, NO_FACES), Path("room.xyz"))[0, 0] == 1


@pytest.mark.parametrize("word", ["up", "Z", "--x", ""])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(InputError, match=rf"--up {word}: expected z, -z, y, -y, x, -x, auto"):
        Fit(up=word)
    with pytest.raises(InputError, match=rf"--unit {word}: expected m, cm, mm, ft, in, auto"):
        Fit(unit=word)


def test_a_transform_is_described() -> None:
    assert about(np.eye(4)) == "The frame is the file's own: no axis alignment is known."
    assert (
        about(translation(np.array([-4.0, 0, 1234567]))) == "The file's coordinates are moved by (-4, 0, 1,234,567) m."
    )
