"""A user's own scenes: which scene a path means, in which frame it is read, and one clear line for bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.own_rooms import own_room, y_up
from support.scans import ALIGNMENT, draw_scans
from support.verbs import g3d

from g3d.data.request import InferRequest
from g3d.data.scannet.upright import Fit
from g3d.data.scannet.user_scenes import FEWEST_POINTS, UserScenes, one_scene, own_source, read_points, scene_name
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError

ROOM = own_room()


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}_vert.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 5, (9, 6)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two raw scans, prepared under g3d/; read only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 2)
    assert g3d("prepare", "scannet", "--data", str(root))[0] == 0
    return root


def test_a_published_scene_is_read_from_its_file_or_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "scene0000_00")
    assert scene_name(path) == "scene0000_00"
    for given in (path, tmp_path):
        assert one_scene(given) == path
        mesh = read_points(given)
        assert np.array_equal(mesh.vertices, np.load(path)[:, :3])
        assert mesh.colours is not None
        assert len(mesh.faces) == 0


@pytest.mark.parametrize("place", ["scans/scene0000_00", "g3d/scenes/scene0000_00"])
def test_the_folder_of_a_scene_is_that_scene(raw: Path, place: str) -> None:
    assert one_scene(raw / place) == raw / place
    assert len(read_points(raw / place).vertices) > 1000


@pytest.mark.parametrize("place", ["scans", "g3d/scenes"])
def test_a_folder_of_several_scene_folders_is_one_line(raw: Path, place: str) -> None:
    with pytest.raises(InputError, match=r"holds 2 scenes \(scene0000_00, scene0001_00\), expected one") as error:
        read_points(raw / place)
    assert str(raw / place / "scene0000_00") in str(error.value.hint)


def test_a_folder_of_several_files_is_one_line(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, f"scene000{number}_00")
    for name in ("room.xyz", "hall.xyz"):
        (tmp_path / name).write_text("0 0 0\n1 1 1\n")
    with pytest.raises(InputError, match=r"holds 6 scenes \(scene0000_00, .*, \.\.\.\), expected one") as error:
        read_points(tmp_path)
    assert "\n" not in error.value.message


def test_a_folder_with_one_mesh_means_this_mesh(raw: Path, tmp_path: Path) -> None:
    for kind in ("_vh_clean_2.ply", "_vh_clean_2.labels.ply"):
        content = (raw / "scans" / "scene0000_00" / f"scene0000_00{kind}").read_bytes()
        (tmp_path / f"other{kind}").write_bytes(content)
    assert one_scene(tmp_path) == tmp_path / "other_vh_clean_2.ply"


def test_a_folder_without_a_scene_is_missing_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(MissingDataError, match=r"the folder holds no scene"):
        read_points(tmp_path)
    with pytest.raises(MissingDataError, match="no such scene"):
        read_points(tmp_path / "notes.doc")


def test_queries_are_named_after_published_scenes(tmp_path: Path) -> None:
    path = write(tmp_path, "scene0000_00")
    assert UserScenes(InferRequest(scenes=(path,))).ids == ["scene0000_00"]


def test_a_source_is_read_after_its_transform(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = ROOM.write(tmp_path / "room.ply", y_up(ROOM.vertices) * 1000)
    (source,) = UserScenes(InferRequest(scenes=(path,))).sources
    assert (source.path, source.name, source.frame) == (str(path), "room", "scene")
    assert source.transform is not None
    assert "the y axis points up" in caplog.text
    assert "coordinates are millimetres" in caplog.text
    caplog.clear()
    mesh = read_points(source)
    np.testing.assert_allclose(mesh.vertices, ROOM.vertices, atol=1e-5)
    np.testing.assert_array_equal(mesh.colours, ROOM.colours)
    assert caplog.text == ""  # it was reported before
    np.testing.assert_allclose(read_points(path).vertices, y_up(ROOM.vertices) * 1000, rtol=1e-6, atol=1e-3)
    stated = own_source(path, Fit("y", "cm"))
    np.testing.assert_allclose(read_points(stated).vertices, ROOM.vertices * 10, atol=1e-4)


def test_faults_of_a_file_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = ROOM.vertices.copy()
    points[7] = np.nan
    np.savez(tmp_path / "room.npz", points=points, rgb=ROOM.colours / 255)
    source = own_source(tmp_path / "room.npz")
    for words in ("1 of ", "vertices are not finite: they are left out", "colours are fractions of 0 to 1"):
        assert words in caplog.text
    caplog.clear()
    mesh = read_points(source)
    assert caplog.text == ""
    assert mesh.left_out == 1
    kept = np.arange(len(points)) != 7
    np.testing.assert_array_equal(mesh.colours, ROOM.colours[kept])
    np.testing.assert_array_equal(mesh.spread(np.ones(len(mesh.vertices), bool)), kept)


def test_missing_colours_are_grey_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "g3d")
    np.savez(tmp_path / "room.npz", points=ROOM.vertices)
    mesh = read_points(own_source(tmp_path / "room.npz"))
    assert "the file has no colours: all points are grey" in caplog.text
    assert mesh.colours is not None
    assert (mesh.colours == mesh.colours[0, 0]).all()


def test_too_few_points_are_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "room.npz", points=ROOM.vertices[:10])
    with pytest.raises(InputError, match=r"room\.npz: 10 points, expected at least 100") as error:
        UserScenes(InferRequest(scenes=(tmp_path / "room.npz",)))
    assert "\n" not in error.value.message
    np.savez(tmp_path / "room.npz", points=ROOM.vertices[:FEWEST_POINTS])
    assert len(UserScenes(InferRequest(scenes=(tmp_path / "room.npz",)))) == 1


def test_axes_and_units_are_for_own_files(raw: Path, tmp_path: Path) -> None:
    scenes = [raw / "scans" / "scene0000_00", raw / "g3d" / "scenes" / "scene0000_00", write(tmp_path, "scene0000_00")]
    for scene in scenes:
        for fit, says in ((Fit(up="y"), "--up y"), (Fit(unit="mm"), "--unit mm")):
            with pytest.raises(InputError, match=rf"{says}: .* is a ScanNet scene, whose axes and unit are known"):
                own_source(scene, fit)
        assert own_source(scene).transform is None
    with pytest.raises(InputError, match="--up y --unit mm: is for --scene"):
        InferRequest(images=(tmp_path / "street.png",), fit=Fit("y", "mm"))


@pytest.mark.parametrize("place", ["scans/scene0000_00", "g3d/scenes/scene0000_00"])
def test_scans_with_an_alignment_are_read_aligned(raw: Path, place: str, caplog: pytest.LogCaptureFixture) -> None:
    source = own_source(raw / place)
    assert source.frame == "aligned"
    plain, aligned = read_points(raw / place).vertices, read_points(source).vertices
    np.testing.assert_allclose(plain @ ALIGNMENT[:3, :3].T + ALIGNMENT[:3, 3], aligned, atol=1e-5)
    assert caplog.text == ""


@pytest.fixture(scope="module")
def unaligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test scan, which has no axis alignment, prepared under g3d/; read only."""
    root = draw_scans(tmp_path_factory.mktemp("unaligned"), 2, test=1)
    assert g3d("prepare", "scannet", "--data", str(root))[0] == 0
    return root


@pytest.mark.parametrize("place", ["scans/scene0001_00", "g3d/scenes/scene0001_00"])
def test_a_scan_without_alignment_is_used_as_it_is_and_said(
    unaligned: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = own_source(unaligned / place)
    assert source.frame == "scene"
    assert "scene0001_00: no axis alignment is known: the scene is used as it is, in its own frame" in caplog.text
    np.testing.assert_array_equal(read_points(source).vertices, read_points(unaligned / place).vertices)


def test_a_published_scene_in_the_raw_frame_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "scene0000_00_vert.npy"
    np.save(path, np.ones((4, 9), np.float32))
    assert own_source(path).frame == "scene"
    assert "no axis alignment is known" in caplog.text
    caplog.clear()
    np.save(path, np.ones((4, 6), np.float32))
    assert own_source(path).frame == "scene"
    assert caplog.text == ""


def test_a_file_of_another_format_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "room.e57").write_bytes(b"x")
    for read in (read_points, own_source):
        with pytest.raises(InputError, match=r"room\.e57: unknown format") as error:
            read(tmp_path / "room.e57")
        assert "CloudCompare" in str(error.value.hint)


def test_a_source_without_a_path_is_one_line() -> None:
    with pytest.raises(InputError, match="scene hall: expected a path"):
        read_points(SceneSource(None, "hall"))
