"""Answers about scenes: what the page and the files hold of boxes, masks, labels and verdicts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from support.page_data import data_of
from support.scans import draw_scans

from g3d.data.answers import Answer, CameraBoxes, PointMask, SceneBoxes
from g3d.data.types import Prediction, SceneSource
from g3d.errors import InputError, MissingDataError
from g3d.visualize.draw import visualize_predictions
from g3d.visualize.page import PageTexts
from g3d.visualize.palette import ANSWER, BOTH, LABEL, OTHER
from g3d.visualize.room import Layer, Room, RoomObject, rgb
from g3d.visualize.scene_item import SceneItem
from g3d.visualize.scene_page import ScenePage
from g3d.visualize.scenes import load_room

SCENE = "scene0000_00"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn scans; read only."""
    return draw_scans(tmp_path_factory.mktemp("scannet"), 2) / "scans" / SCENE


@pytest.fixture(scope="module")
def room(scan: Path) -> Room:
    return load_room(scan)


def thing(room: Room, number: int) -> RoomObject:
    return next(thing for thing in room.objects if thing.id == number)


def label(room: Room, *numbers: int) -> SceneBoxes:
    """Return the labelled boxes of some objects."""
    corners = np.array([thing(room, number).corners for number in numbers], float).reshape(-1, 8, 3)
    low, high = corners.min(1), corners.max(1)
    names = np.array([thing(room, number).name for number in numbers], str)
    return SceneBoxes(names, (low + high) / 2, high - low, ids=np.array(numbers, np.int64))


def found(boxes: SceneBoxes, *scores: float) -> SceneBoxes:
    return SceneBoxes(boxes.classes, boxes.centers, boxes.sizes, scores=np.array(scores))


def asked(scan: Path, sentence: str, *answers: Answer, sample: str = SCENE) -> Prediction:
    return Prediction(sample, SceneSource(str(scan), SCENE, "aligned"), answers, sentence)


def points(record: dict[str, Any], count: int) -> np.ndarray:
    """Return the mask that a record of the page holds."""
    mask = np.zeros(count, bool)
    for first, end in np.frombuffer(base64.b64decode(record["spans"]), "<u4").reshape(-1, 2):
        mask[first:end] = True
    return mask


def test_a_page_has_answers_runners_up_labels_and_verdicts(tmp_path: Path, scan: Path, room: Room) -> None:
    predictions = [
        asked(scan, "the first one", found(label(room, 2, 3, 4), 0.5, 0.7, 0.1), sample="a"),
        asked(scan, "the second one", found(label(room, 2), 0.05), sample="b"),
        asked(scan, "the zebra", found(label(room)), sample="c"),
    ]
    truth: dict[str, Answer] = {"a": label(room, 3), "b": label(room, 4), "c": label(room)}
    (page,) = visualize_predictions(predictions, truth, tmp_path)
    data = data_of(page)
    assert len(data["scenes"]) == 1  # embedded once for three sentences
    assert list(data["scenes"][0]["layers"]) == ["colours"]
    a, b, c = data["items"]
    assert [(one["score"], one.get("answer", False), one["colour"]) for one in a["predictions"]] == [
        (0.7, True, ANSWER),
        (0.5, False, OTHER),
        (0.1, False, OTHER),
    ]
    assert (a["iou"], a["right"], a["measure"], a["bound"]) == (pytest.approx(1, abs=1e-4), True, "3D IoU", 0.25)
    assert a["predictions"][0]["iou"] == a["iou"]
    assert np.allclose(a["predictions"][0]["corners"], thing(room, 3).corners, atol=1e-3)
    assert [(one["class"], one["number"], one["colour"]) for one in a["truth"]] == [(thing(room, 3).name, 3, LABEL)]
    assert b["predictions"][0]["answer"]  # the best answer, however unsure
    assert b["right"] is False
    assert (c["predictions"], c["truth"], c["right"]) == ([], [], True)


def test_a_mask_has_its_points_and_its_overlap(tmp_path: Path, scan: Path, room: Room) -> None:
    ids = room.layers["objects"].ids
    assert ids is not None
    truth, part = ids == 3, ids == 3
    part[np.flatnonzero(part)[::4]] = False
    predictions = [asked(scan, "the thing", PointMask(ids == 2, 0.3), PointMask(part, 0.6, "chair"))]
    (page,) = visualize_predictions(predictions, {SCENE: PointMask(truth)}, tmp_path)
    (shown,) = data_of(page)["items"]
    best, other = shown["predictions"]
    assert (best["class"], best["score"], best["answer"], other.get("answer")) == ("chair", 0.6, True, None)
    assert np.array_equal(points(best, len(ids)), part)
    assert np.array_equal(points(shown["truth"][0], len(ids)), truth)
    assert best["iou"] == shown["iou"] == pytest.approx(part.sum() / truth.sum(), abs=1e-4)
    assert (shown["measure"], shown["right"], other["iou"]) == ("point IoU", True, 0.0)


def test_files_hold_coloured_points_and_boxes(tmp_path: Path, scan: Path, room: Room) -> None:
    ids = room.layers["objects"].ids
    assert ids is not None
    answer, truth = PointMask((ids == 2) | (ids == 3), 0.5), PointMask(ids == 3)
    predictions = [
        asked(scan, "a", answer, sample="points/1"),
        asked(scan, "b", found(label(room, 2, 3, 4), 0.25, 0.75, 0.1), sample="boxes"),
    ]
    labels: dict[str, Answer] = {"points/1": truth, "boxes": label(room, 4)}
    written = visualize_predictions(predictions, labels, tmp_path, formats=("ply", "glb"), min_score=0.2)
    assert [path.name for path in written] == ["points=2F1.ply", "points=2F1.glb", "boxes.ply", "boxes.glb"]
    colours = np.asarray(trimesh.load(written[0], process=False).visual.vertex_colors)[:, :3]
    assert (colours[ids == 3] == rgb(BOTH)).all()
    assert (colours[ids == 2] == rgb(ANSWER)).all()
    assert not (colours[ids == 1] == rgb(ANSWER)).all(1).any()
    vertices = np.asarray(trimesh.load(written[2], process=False).vertices)
    assert len(vertices) == len(ids) + 3 * 12 * 8  # two boxes above the score, and the label
    nodes = set(trimesh.load(written[3]).graph.nodes_geometry)
    names = [thing(room, number).name for number in (2, 3, 4)]
    assert {f"{names[0]} 0 0.25", f"{names[1]} 1 0.75", f"label {names[2]} 4"} < nodes
    assert not any(node.startswith(f"{names[2]} 2") for node in nodes)


def test_the_frame_of_the_source_is_that_of_the_geometry(tmp_path: Path, scan: Path, room: Room) -> None:
    plain = Prediction(SCENE, SceneSource(str(scan), SCENE, "scene"), (found(label(room, 2), 0.9),))
    aligned = Prediction(SCENE, SceneSource(str(scan), SCENE, "aligned"), plain.answers)
    notes, lows = [], []
    for k, prediction in enumerate((plain, aligned)):
        (page,) = visualize_predictions([prediction], None, tmp_path / str(k))
        (scene,) = data_of(page)["scenes"]
        notes.append(scene["notes"][0])
        lows.append(scene["low"])
    assert notes == ["Axis alignment is not applied: this is the scan's raw frame.", "Axis alignment is applied."]
    assert np.allclose(lows[1], room.vertices.min(0))
    assert not np.allclose(lows[0], lows[1], atol=0.1)


def test_a_mask_of_another_length_is_refused(tmp_path: Path, scan: Path, room: Room) -> None:
    expected = f"{SCENE}: found a mask of 3 points, expected {len(room.vertices)}, the vertices of scene {SCENE}"
    short = PointMask(np.ones(3, bool), 0.5)
    for answers, truth in (((short,), None), ((), {SCENE: short})):
        with pytest.raises(InputError, match=f"^{expected}$"):
            visualize_predictions([asked(scan, "it", *answers)], truth, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_answers_are_about_the_file_where_vertices_are_left_out_or_moved() -> None:
    vertices = np.random.default_rng(0).uniform(0, 1, (4, 3)).astype(np.float32)
    layers = {"colours": Layer(np.zeros((4, 3), np.uint8))}
    rows, offset = np.array([0, 2, 3, 5]), np.array([100.0, 200, 0])
    room = Room("r", vertices, None, layers, offset=offset, rows=rows, left_out=2)
    mask = PointMask(np.array([1, 1, 0, 1, 0, 0], bool), 0.5)
    boxes = SceneBoxes(np.array(["chair"]), np.array([[101.0, 202, 3]]), np.ones((1, 3)), scores=np.array([0.5]))
    placed = SceneItem("a", "it", boxes, (mask,), boxes, mask).placed(room)
    assert placed.masks[0].mask.tolist() == [True, False, True, False]
    assert placed.true_mask is not None
    assert placed.true_mask.mask.tolist() == [True, False, True, False]
    assert placed.boxes is not None
    assert placed.true_boxes is not None
    assert placed.boxes.centers.tolist() == placed.true_boxes.centers.tolist() == [[1, 2, 3]]
    with pytest.raises(InputError, match="found a mask of 4 points, expected 6, the vertices of scene r"):
        SceneItem("a", "it", masks=(PointMask(np.ones(4, bool), 0.5),)).placed(room)


def test_scenes_that_cannot_be_drawn_are_named(tmp_path: Path, scan: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=f"prediction for 's': it does not say where scene '{SCENE}' is"):
        visualize_predictions([Prediction("s", SceneSource(None, SCENE), ())], None, out)
    with pytest.raises(MissingDataError, match=f"scene '{SCENE}' of sample 's': not found at .*nowhere"):
        visualize_predictions([Prediction("s", SceneSource(str(tmp_path / "nowhere"), SCENE), ())], None, out)
    with pytest.raises(InputError, match="prediction for 's': found camera_boxes about a scene"):
        visualize_predictions([asked(scan, "it", CameraBoxes.empty(True), sample="s")], None, out)
    assert not out.exists()


def test_detections_have_colours_by_class_and_no_verdict(tmp_path: Path, scan: Path, room: Room) -> None:
    everything = label(room, 2, 3, 4)  # wall and floor are flat: their boxes overlap nothing
    prediction = Prediction(SCENE, SceneSource(str(scan), SCENE, "aligned"), (found(everything, *[0.5] * 3),))
    (page,) = visualize_predictions([prediction], {SCENE: everything}, tmp_path)
    (shown,) = data_of(page)["items"]
    colours: dict[str, set[str]] = {}
    for one in shown["predictions"]:
        colours.setdefault(one["class"], set()).add(one["colour"])
    assert all(len(each) == 1 for each in colours.values())
    assert len(set.union(*colours.values())) == len(colours)
    assert shown["right"] is None
    assert all(one["iou"] > 0.99 for one in shown["predictions"])


def cloud(name: str) -> Room:
    vertices = np.random.default_rng(0).uniform(0, 1, (500, 3)).astype(np.float32)
    return Room(name, vertices, None, {"colours": Layer(np.zeros((500, 3), np.uint8))})


def test_scenes_beyond_the_bound_are_left_out_and_the_page_says_so(tmp_path: Path) -> None:
    def page(megabytes: float) -> dict[str, Any]:
        made = ScenePage(max_megabytes=megabytes)
        for name in ("a", "b", "c"):
            made.add(cloud(name), [SceneItem(f"{name}{k}", "the sentence") for k in range(4)])
        return data_of(made.write(tmp_path / "page.html", PageTexts("t")))

    whole = page(1.0)
    assert (len(whole["scenes"]), len(whole["items"]), whole["notes"]) == (3, 12, [])
    some = page(0.0145)
    assert [scene["name"] for scene in some["scenes"]] == ["a", "b"]
    assert 4 <= len(some["items"]) <= 8
    left = 12 - len(some["items"])
    assert some["notes"] == [f"{left} of 12 items were left out, to keep the content of this page below 0.0145 MB."]
    assert len(page(0.0)["items"]) == 1


def test_an_empty_page_and_equal_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no items to show"):
        ScenePage().write(tmp_path / "page.html", PageTexts("t"))
    made = ScenePage()
    made.add(cloud("a"), [SceneItem("x"), SceneItem("x")])
    with pytest.raises(InputError, match="two items are called 'x'"):
        made.write(tmp_path / "page.html", PageTexts("t"))


def test_of_very_many_boxes_the_best_are_drawn(
    tmp_path: Path, scan: Path, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    one = found(label(room, 2), 0.5)
    many = one[np.zeros(300, np.int64)]
    many = SceneBoxes(many.classes, many.centers, many.sizes, scores=np.linspace(0, 1, 300)[::-1].copy())
    caplog.set_level("INFO")
    detections = Prediction(SCENE, SceneSource(str(scan), SCENE, "aligned"), (many,))
    page = visualize_predictions([detections], None, tmp_path)[-1]
    scores = [box["score"] for box in data_of(page)["items"][0]["predictions"]]
    assert (len(scores), min(scores)) == (200, pytest.approx(100 / 299, abs=1e-3))
    assert "100 boxes are not drawn" in caplog.text
