"""A user's own scans through `g3d visualize --scene` and `g3d infer --scene`: what is corrected, said and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from support.drawn_mesh import ply
from support.las_files import write_las
from support.own_rooms import own_room, y_up
from support.scans import ALIGNMENT, draw_scans
from support.verbs import g3d, refused

from g3d import config as presets
from g3d.data.request import InferRequest
from g3d.data.scannet.detection_samples import DetectionSamples, PointSettings, SceneBatch, SceneSample
from g3d.data.scannet.user_scenes import UserScenes
from g3d.data.types import Prediction, SceneBoxes
from g3d.engine.model import LoadedModel
from g3d.systems.base import Input, SystemDefaults

ROOM = own_room()


def bounds(vertices: np.ndarray) -> np.ndarray:
    return np.array([vertices.min(0), vertices.max(0)])


def drawn(path: Path, out: Path, *options: str) -> tuple[np.ndarray, str, str]:
    """The bounds of the PLY that `visualize --scene` writes, its page, and what it says."""
    forms = ("--format", "ply", "--format", "html", "--format", "glb")
    code, printed, err = g3d("visualize", "--scene", str(path), "--out", str(out), *forms, *options)
    assert code == 0, err
    files = {Path(line).suffix: Path(line) for line in printed.split()}
    assert set(files) == {".ply", ".html", ".glb"}
    turned = trimesh.load(files[".glb"]).bounds
    found = trimesh.load(files[".ply"]).bounds
    upright = np.stack([turned[:, 0], -turned[::-1, 2], turned[:, 1]], 1)  # glTF has y up
    np.testing.assert_allclose(upright, found, atol=1e-4)
    return found, files[".html"].read_text(), err


def millimetres(folder: Path) -> Path:
    return ROOM.write(folder / "room.ply", ROOM.vertices * 1000)


def turned(folder: Path) -> Path:
    return ROOM.write(folder / "room.obj", y_up(ROOM.vertices))


def not_finite(folder: Path) -> Path:
    vertices = ROOM.vertices.copy()
    vertices[[3, 7]] = np.nan
    np.savez(folder / "room.npz", points=vertices, rgb=ROOM.colours)
    return folder / "room.npz"


def fractions(folder: Path) -> Path:
    np.savetxt(folder / "room.xyz", np.hstack([ROOM.vertices, ROOM.colours / 255]))
    return folder / "room.xyz"


def with_quads(folder: Path) -> Path:
    values = {axis: ROOM.vertices[:, k].tolist() for k, axis in enumerate("xyz")}
    quads = [tuple(quad) for quad in ROOM.quads.tolist()]
    return ply(folder / "room.ply", tuple(f"double {axis}" for axis in "xyz"), quads, values=values)


def without_materials(folder: Path) -> Path:
    path = ROOM.write(folder / "room.obj", ROOM.vertices)
    path.write_text("mtllib nowhere.mtl\nusemtl wood\n" + path.read_text())
    return path


def scaled_nodes(folder: Path) -> Path:
    scene = trimesh.Scene()
    scene.add_geometry(ROOM.mesh(y_up(ROOM.vertices) * 50), transform=np.diag([0.02, 0.02, 0.02, 1]))
    scene.export(folder / "room.glb")
    return folder / "room.glb"


def wrong_gltf(folder: Path) -> Path:
    return ROOM.write(folder / "room.glb", ROOM.vertices)


def far_away(folder: Path) -> Path:
    shift = np.array([452_345.0, 5_411_948.0, 312.0])
    values = {axis: (ROOM.vertices[:, k] + shift[k]).tolist() for k, axis in enumerate("xyz")}
    faces = [tuple(face) for face in ROOM.triangles.tolist()]
    return ply(folder / "room.ply", tuple(f"double {axis}" for axis in "xyz"), faces, values=values)


@pytest.mark.parametrize(
    ("write", "says", "note"),
    [
        (millimetres, "coordinates are millimetres (extent ", "scaled by 0.001 to metres"),
        (turned, "the y axis points up: turned so that z does", "turned so that z points up"),
        (not_finite, "vertices are not finite: they are left out", "2 of the file's"),
        (fractions, "colours are fractions of 0 to 1", "The frame is the file's own"),
        (with_quads, "faces of more than three corners are split", "The file has no colours."),
        (without_materials, "", "The frame is the file's own"),
        (scaled_nodes, "", "The frame is the file's own"),
        (wrong_gltf, "the z axis points up, not y as in glTF", "turned so that z points up"),
        (far_away, "the offset (452347, 5411951, 313) is subtracted", "moved by (-452,347, -5,411,951, -313) m"),
    ],
)
def test_an_own_scan_is_drawn_in_metres_with_z_up(
    tmp_path: Path, write: Callable[[Path], Path], says: str, note: str
) -> None:
    found, page, err = drawn(write(tmp_path), tmp_path / "out")
    expected = bounds(ROOM.vertices)
    if write is far_away:
        expected = expected + np.array([452_345.0, 5_411_948.0, 312.0]) - [452_347, 5_411_951, 313]
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert says in err
    assert len([line for line in err.splitlines() if "room." in line]) == bool(says)
    assert note in page


def test_stated_axes_and_units_win(tmp_path: Path) -> None:
    path = ROOM.write(tmp_path / "room.ply", y_up(ROOM.vertices) * 1000)
    found, _, err = drawn(path, tmp_path / "out", "--up", "z", "--unit", "m")
    np.testing.assert_allclose(found, bounds(y_up(ROOM.vertices) * 1000), rtol=1e-5)
    assert err == ""
    found, _, _ = drawn(path, tmp_path / "out", "--up", "-y", "--unit", "cm")
    assert found[1, 2] == pytest.approx(0, abs=1e-3)
    assert found[0, 2] == pytest.approx(-26, abs=1e-3)


def test_a_thinned_las_is_said_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("g3d.data.scannet.user_scenes.MOST_POINTS", 4_000)
    path = write_las(tmp_path / "room.las", 10_000, (452_345.0, 5_411_948.0, 312.0))
    _, page, err = drawn(path, tmp_path / "out")
    assert "10,000 points are thinned to 3,334: one in 3 is kept" in err
    assert "6,666 of the file's 10,000 points are left out." in page


def test_one_plane_is_drawn(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "floor.xyz", np.random.default_rng(0).uniform(0, 4, (500, 3)) * [1, 1, 0])
    found, _, err = drawn(tmp_path / "floor.xyz", tmp_path / "out")
    assert found[:, 2].tolist() == [0, 0]
    assert "all points lie in one plane" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--up", "w"), "--up w: expected z, -z, y"),
        (("--unit", "km"), "--unit km: expected m, cm, mm, ft, in, auto"),
    ],
)
def test_other_axes_and_units_are_refused(tmp_path: Path, options: tuple[str, str], says: str) -> None:
    path = millimetres(tmp_path)
    refused(2, "visualize", "--scene", str(path), "--out", str(tmp_path / "out"), *options, says=(says,))
    assert not (tmp_path / "out").exists()


def test_axes_are_for_scenes(tmp_path: Path) -> None:
    refused(2, "visualize", "--predictions", "x.jsonl", "--unit", "mm", says=("--unit mm: is for --scene",))
    root = draw_scans(tmp_path, 1)
    scan = str(root / "scans" / "scene0000_00")
    refused(2, "visualize", "--scene", scan, "--up", "y", says=("--up y", "is a ScanNet scene"))


@pytest.mark.parametrize(
    ("name", "content", "says", "hint"),
    [
        ("room.fbx", b"x", "room.fbx: is no scene", "glTF 2.0 (.glb)"),
        ("room.glb", None, "room.glb: not a readable GLB file", ""),
        ("room.las", b"LASF" + bytes(99), "room.las: not a readable LAS file", ""),
    ],
)
def test_files_that_cannot_be_read_are_one_line(
    tmp_path: Path, name: str, content: bytes | None, says: str, hint: str
) -> None:
    if content is None:
        whole = scaled_nodes(tmp_path).read_bytes()
        content = whole[: len(whole) // 2]
    (tmp_path / name).write_bytes(content)
    scene = ("--scene", str(tmp_path / name), "--out", str(tmp_path / "out"))
    refused(2, "visualize", *scene, says=(says,), hint=hint)
    assert not (tmp_path / "out").exists()


class Bounding(SystemDefaults):
    """A detector whose only answer is the box around the points that it was given."""

    name = "jln"
    takes: frozenset[Input] = frozenset({"scene"})
    answers = SceneBoxes

    def inputs(self, config: Any, request: InferRequest) -> DetectionSamples:
        return DetectionSamples(UserScenes(request).sources, PointSettings(4_000))

    def collate(self, groups: list[list[SceneSample]]) -> SceneBatch:
        return SceneBatch.of([sample for group in groups for sample in group], list)

    def predict(self, model: Any, batch: SceneBatch, config: Any) -> list[Prediction]:
        found = []
        for k, points in enumerate(batch.points.double().numpy()):
            low, high = bounds(points)
            boxes = SceneBoxes(np.array(["room"]), (low + high)[None] / 2, (high - low)[None], scores=np.ones(1))
            found.append(Prediction(batch.ids[k], batch.sources[k], (boxes,)))
        return found


@pytest.fixture
def bounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every checkpoint is a model of this detector."""
    system = Bounding()
    config = presets.load("jln", ["train.workers=0"])
    loaded = LoadedModel(system, config, torch.nn.Identity(), torch.device("cpu"), Path("x"), None, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr("g3d.engine.model.load_model", lambda *_: loaded)
    monkeypatch.setattr("g3d.engine.evaluate.get_system", lambda _: system)


def answered(*arguments: str) -> tuple[dict[str, Any], np.ndarray, str]:
    """The source and the bounds of the only answer of `infer --json`, and what it says."""
    code, out, err = g3d("infer", "--ckpt", "x", "--json", *arguments)
    assert code == 0, err
    (found,) = json.loads(out)["predictions"]
    (box,) = found["answers"][0]["objects"]
    half = np.array(box["size"]) / 2
    return found["source"], np.array([box["center"] - half, box["center"] + half]), err


@pytest.mark.usefixtures("bounding")
@pytest.mark.parametrize("write", [millimetres, turned, scaled_nodes, wrong_gltf])
def test_answers_are_in_the_corrected_frame_and_drawn_there(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    scene = ("--scene", str(write(tmp_path)), "--out", str(tmp_path / "found"))
    source, box, err = answered(*scene)
    np.testing.assert_allclose(box, bounds(ROOM.vertices), atol=0.11)
    assert np.shape(source["transform"]) == (4, 4)
    assert err.count("points up") <= 1
    assert err.count("coordinates are") <= 1
    assert (tmp_path / "found" / "index.html").exists()
    predictions = str(tmp_path / "found" / "predictions.jsonl")
    code, out, err = g3d("visualize", "--predictions", predictions, "--out", str(tmp_path / "again"), "--format", "ply")
    assert code == 0, err
    shown = trimesh.load(out.strip(), process=False)
    np.testing.assert_allclose(bounds(shown.vertices[: len(ROOM.vertices)]), bounds(ROOM.vertices), atol=1e-4)
    np.testing.assert_allclose(bounds(shown.vertices[len(ROOM.vertices) :]), box, atol=0.02)


@pytest.mark.usefixtures("bounding")
def test_answers_about_a_stated_axis_are_drawn_with_it(tmp_path: Path) -> None:
    path = turned(tmp_path)
    stated = ("--up", "z", "--unit", "ft", "--out", str(tmp_path / "found"))
    source, box, _ = answered("--scene", str(path), *stated)
    np.testing.assert_allclose(np.diag(source["transform"]), [0.3048, 0.3048, 0.3048, 1])
    np.testing.assert_allclose(box, bounds(y_up(ROOM.vertices) * 0.3048), atol=0.05)
    page = (tmp_path / "found" / "index.html").read_text()
    assert "scaled by 0.3048 to metres" in page


@pytest.mark.usefixtures("bounding")
def test_answers_are_written_for_other_programs(tmp_path: Path) -> None:
    scene, out = ("--scene", str(millimetres(tmp_path))), ("--out", str(tmp_path / "found"))
    _, box, _ = answered(*scene, *out, "--format", "ply", "--format", "glb", "--format", "html")
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert {"predictions.jsonl", "index.html", "room.ply", "room.glb"} <= names
    shown = trimesh.load(tmp_path / "found" / "room.ply", process=False).vertices[len(ROOM.vertices) :]
    np.testing.assert_allclose(bounds(shown), box, atol=0.02)
    assert "room 0 1.00" in trimesh.load(tmp_path / "found" / "room.glb").graph.nodes
    for given, says in (
        ((*scene, "--format", "ply"), "--format: where do the files go?"),
        ((*scene, *out, "--format", "obj"), "--format obj: expected html, ply or glb"),
        (("--image", "a.png", *out, "--format", "glb"), "--format glb: is for --scene"),
    ):
        refused(2, "infer", "--ckpt", "x", *given, says=(says,))


@pytest.mark.usefixtures("bounding")
def test_answers_far_away_return_to_the_file_by_the_transform(tmp_path: Path) -> None:
    source, box, _ = answered("--scene", str(far_away(tmp_path)), "--out", str(tmp_path / "found"))
    assert np.abs(box).max() < 8
    back = box - np.array(source["transform"])[:3, 3]
    np.testing.assert_allclose(back, bounds(ROOM.vertices) + np.array([452_345.0, 5_411_948.0, 312.0]), atol=0.11)


@pytest.mark.usefixtures("bounding")
def test_a_raw_scan_is_answered_in_its_aligned_frame(tmp_path: Path) -> None:
    root = draw_scans(tmp_path, 2, test=1)
    source, box, err = answered("--scene", str(root / "scans" / "scene0000_00"))
    assert source["frame"] == "aligned"
    assert "alignment" not in err
    mesh = trimesh.load(root / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.ply", process=False)
    aligned = mesh.vertices @ ALIGNMENT[:3, :3].T + ALIGNMENT[:3, 3]
    np.testing.assert_allclose(box, bounds(aligned), atol=0.2)
    source, _, err = answered("--scene", str(root / "scans" / "scene0001_00"))
    assert source["frame"] == "scene"
    assert err.count("no axis alignment is known") == 1


@pytest.mark.usefixtures("bounding")
def test_bad_scenes_leave_nothing_behind(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", points=ROOM.vertices[:10])
    (tmp_path / "hall.pcd").write_bytes(b"x")
    for name in ("a.ply", "b.ply"):
        (tmp_path / "several").mkdir(exist_ok=True)
        ROOM.write(tmp_path / "several" / name, ROOM.vertices)
    good = ("--scene", str(millimetres(tmp_path)))
    for name, code, says, hint in (
        ("few.npz", 2, "few.npz: 10 points, expected at least 100", "tens of thousands"),
        ("hall.pcd", 2, "hall.pcd: unknown format", "pcl_pcd2ply"),
        ("several", 2, "holds 2 scenes (a, b), expected one", "name one of them"),
    ):
        scenes = (*good, "--scene", str(tmp_path / name))
        refused(code, "infer", "--ckpt", "x", *scenes, "--out", str(tmp_path / "out"), says=(says,), hint=hint)
        assert not list((tmp_path / "out").glob("*"))
    refused(2, "infer", "--ckpt", "x", "--image", "a.png", "--up", "y", says=("--up y: is for --scene",))
