"""Scenes to look at: raw, prepared, or a file of their own; in the frame that is asked for, which is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from support import two_planes
from support.scans import ALIGNMENT, draw_scans
from support.verbs import g3d

from g3d.errors import InputError, MissingDataError
from g3d.visualize.scenes import draw_scene, load_room


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One drawn scan, prepared under g3d/; read only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 2, test=1)
    assert g3d("prepare", "scannet", "--data", str(root))[0] == 0
    return root


@pytest.mark.parametrize("place", ["scans", "g3d/scenes"])
def test_raw_and_prepared_scenes_show_the_same(raw: Path, place: str) -> None:
    room = load_room(raw / place / "scene0000_00")
    assert room.notes[0] == "Axis alignment is applied."
    assert [thing.name for thing in room.objects][:2] == ["wall", "floor"]
    floor = room.objects[1]
    assert floor.corners is not None
    inside = room.vertices[room.layers["objects"].ids == 1]
    assert np.array_equal(floor.corners.min(0), inside.min(0).astype(float))
    assert {"colours", "objects", "classes"} < set(room.layers)


def test_the_raw_frame_is_shown_when_asked_for(raw: Path) -> None:
    plain, aligned = (load_room(raw / "scans" / "scene0000_00", turn) for turn in (False, True))
    assert plain.notes[0] == "Axis alignment is not applied: this is the scan's raw frame."
    assert np.allclose(plain.vertices @ ALIGNMENT[:3, :3].T + ALIGNMENT[:3, 3], aligned.vertices, atol=1e-6)


def test_a_scan_without_annotation_says_so(raw: Path) -> None:
    room = load_room(raw / "g3d" / "scenes" / "scene0001_00")
    assert room.notes == ["The frame is the file's own: no axis alignment is known.", "The scan is not annotated."]
    assert not room.objects


def test_any_mesh_can_be_drawn_in_every_format(raw: Path, tmp_path: Path) -> None:
    mesh = raw / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.labels.ply"
    code, out, _ = g3d(
        "visualize",
        "--scene",
        str(mesh),
        "--out",
        str(tmp_path),
        "--format",
        "html",
        "--format",
        "ply",
        "--format",
        "glb",
        "--layer",
        "labels",
    )
    assert code == 0
    assert [Path(line).suffix for line in out.split()] == [".html", ".ply", ".glb"]
    assert all(Path(line).stat().st_size > 1000 for line in out.split())


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".off", ".glb", ".PLY"])
def test_meshes_of_other_formats_are_drawn(tmp_path: Path, suffix: str) -> None:
    mesh = trimesh.Trimesh(two_planes.vertices(), two_planes.triangles(), process=False)
    mesh.export(tmp_path / f"room{suffix}", file_type=suffix[1:].lower())
    room = load_room(tmp_path / f"room{suffix}")
    assert room.name == "room"
    assert room.vertices.shape == mesh.vertices.shape
    assert np.shape(room.faces) == mesh.faces.shape


def test_a_list_of_points_is_drawn_as_a_cloud(tmp_path: Path) -> None:
    (tmp_path / "room.xyz").write_text("0 0 0 255 0 0\n1 0 0 0 255 0\n0 1 2 0 0 255\n")
    room = load_room(tmp_path / "room.xyz")
    assert room.faces is None
    assert room.layers["colours"].painted().tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_a_mesh_far_from_the_origin_is_drawn_near_it_and_says_so(tmp_path: Path) -> None:
    offset = (452345.0, 5411948.0, 312.0)
    room = load_room(two_planes.write_planes(tmp_path / "room.ply", "double", offset=offset))
    assert "[452346.0, 5411949.0, 313.0] is subtracted from the file's coordinates." in room.notes
    np.testing.assert_allclose(room.vertices, two_planes.vertices() - 1, atol=1e-6)


def test_wrong_places_formats_and_layers_are_refused(raw: Path, tmp_path: Path) -> None:
    for name, says in (("scores.bin", "is no scene"), ("scores.npy", "not the vertex file of a published scene")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputError, match=rf"{name}: {says}"):
            load_room(tmp_path / name)
        (tmp_path / name).unlink()
    with pytest.raises(MissingDataError, match="no such scene"):
        draw_scene(tmp_path / "nothing", tmp_path)
    with pytest.raises(InputError, match="--layer heat: this scene has colours, objects"):
        draw_scene(raw / "scans" / "scene0000_00", tmp_path, ("ply",), layer="heat")
    assert g3d("visualize", "--scene", str(raw), "--format", "obj")[0] == 2
    assert not list(tmp_path.iterdir())


def test_published_scenes_show_the_same_as_prepared_ones(raw: Path, tmp_path: Path) -> None:
    forms = ("--published", "votenet", "--published", "scanrefer")
    assert g3d("prepare", "scannet", "--data", str(raw), *forms, "--scene", "scene0000_00")[0] == 0
    prepared = load_room(raw / "g3d" / "scenes" / "scene0000_00")
    folder = raw / "g3d" / "published" / "votenet" / "scannet_train_detection_data"
    for path in (folder, folder / "scene0000_00_vert.npy"):
        room = load_room(path)
        assert room.name == "scene0000_00"
        assert room.notes[0] == "The file is in the aligned frame."
        assert np.array_equal(room.vertices, prepared.vertices)
        assert [thing.name for thing in room.objects] == [thing.name for thing in prepared.objects]
        for one, other in zip(room.objects, prepared.objects, strict=True):
            assert one.corners is not None
            assert other.corners is not None
            assert np.array_equal(one.corners, other.corners)
    scanrefer = raw / "g3d" / "published" / "scanrefer" / "scannet_data"
    plain = load_room(scanrefer / "scene0000_00_vert.npy")
    assert plain.notes[0] == "The file is in the scan's raw frame."
    assert np.array_equal(plain.vertices, load_room(raw / "scans" / "scene0000_00", aligned=False).vertices)


def test_a_folder_of_several_published_scenes_is_one_line(raw: Path, tmp_path: Path) -> None:
    for name in ("scene0000_00", "scene0001_00"):
        np.save(tmp_path / f"{name}_vert.npy", np.ones((4, 6), np.float32))
    code, out, err = g3d("visualize", "--scene", str(tmp_path), "--out", str(tmp_path / "drawn"))
    assert (code, out) == (2, "")
    assert "holds 2 scenes (scene0000_00, scene0001_00), expected one" in err
    assert not (tmp_path / "drawn").exists()


def test_a_published_scene_without_labels_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "scene0000_00_vert.npy", np.ones((4, 6), np.float32))
    room = load_room(tmp_path)
    assert room.notes == ["The file is in the aligned frame.", "The labels of the scene are not there."]
    assert set(room.layers) == {"colours"}
