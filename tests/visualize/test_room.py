"""Rooms: the page, PLY and GLB hold what was given to them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from g3d.errors import InputError
from g3d.visualize.room import Layer, Room, RoomObject, camera_view, colour_of, rgb, scene_corners
from g3d.visualize.room_files import write_room_glb, write_room_ply
from g3d.visualize.scene_page import write_room_page

CORNERS = np.array([[x, y, z] for z in (0.0, 1.0) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))])
POSE = np.array([[1, 0, 0, 2], [0, 0, 1, 1], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])  # looks along y, z up
INTRINSICS = np.array([[500.0, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])


@pytest.fixture(params=["mesh", "cloud"])
def room(request: pytest.FixtureRequest) -> Room:
    vertices = np.random.default_rng(0).uniform(-3, 5, (60, 3)).astype(np.float32)
    faces = np.arange(60, dtype=np.int32).reshape(20, 3) if request.param == "mesh" else None
    layers = {
        "colours": Layer(np.random.default_rng(1).integers(0, 256, (60, 3), np.uint8)),
        "superpoints": Layer(ids=np.arange(60, dtype=np.int32) // 7 - 1),
    }
    things = [RoomObject(3, "chair </script>", CORNERS, (1.0, 1.0, 1.0)), RoomObject(4, "wall")]
    return Room(
        "scene <1>", vertices, faces, layers, things, [camera_view("0", POSE, INTRINSICS, (640, 480))], ["raw frame"]
    )


def page_data(path: Path) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.S)[1])


def test_the_page_carries_everything_and_fetches_nothing(room: Room, tmp_path: Path) -> None:
    path = write_room_page(tmp_path / "page.html", room)
    whole = page_data(path)
    data, (item,) = whole["scenes"][0], whole["items"]
    places = np.frombuffer(base64.b64decode(data["positions"]), "<u2").reshape(-1, 3) * data["step"] + data["low"]
    assert np.abs(places - room.vertices).max() < 1e-3
    assert np.array_equal(
        np.frombuffer(base64.b64decode(data["layers"]["superpoints"]["ids"]), "<i4"), room.layers["superpoints"].ids
    )
    assert data["layers"]["superpoints"]["palette"]["-1"] == colour_of(-1)
    assert (data["faces"] is None) == (room.faces is None)
    assert [thing["class"] for thing in item["predictions"]] == ["chair </script>", "wall"]
    assert data["notes"] == ["raw frame"]
    assert not re.search(r'(src|href)="?https?:', path.read_text())


def test_an_empty_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no vertices to draw"):
        write_room_page(tmp_path / "page.html", Room("empty", np.zeros((0, 3), np.float32), None, {}))
    assert not (tmp_path / "page.html").exists()


def test_ply_has_the_layer_as_colours(room: Room, tmp_path: Path) -> None:
    read = trimesh.load(write_room_ply(tmp_path / "room.ply", room, "superpoints"), process=False)
    colours = read.visual.vertex_colors if room.faces is not None else read.colors
    assert np.allclose(read.vertices, room.vertices)
    assert colours[8, :3].tolist() == list(rgb(colour_of(0)))
    assert np.array_equal(colours[:, :3], room.layers["superpoints"].painted())


def test_glb_names_its_boxes_and_stands_upright(room: Room, tmp_path: Path) -> None:
    scene = trimesh.load(write_room_glb(tmp_path / "room.glb", room, "colours"))
    assert {"chair </script> 3", "camera 0"} <= set(scene.graph.nodes_geometry)
    low, high = scene.bounds
    assert high[1] == pytest.approx(room.vertices[:, 2].max(), abs=0.02)  # up is y
    assert low[2] == pytest.approx(-room.vertices[:, 1].max(), abs=0.02)


def test_scores_of_objects_are_in_the_page_and_in_node_names(tmp_path: Path) -> None:
    things = [RoomObject(7, "chair", CORNERS, (1.0, 1.0, 1.0), 0.875), RoomObject(8, "wall", CORNERS)]
    room = Room("a", CORNERS.astype(np.float32), None, {"colours": Layer(np.zeros((8, 3), np.uint8))}, things)
    data = page_data(write_room_page(tmp_path / "page.html", room))
    assert [thing.get("score") for thing in data["items"][0]["predictions"]] == [0.875, None]
    scene = trimesh.load(write_room_glb(tmp_path / "room.glb", room, "colours"))
    assert {"chair 7 0.88", "wall 8"} <= set(scene.graph.nodes_geometry)


def test_ply_holds_boxes_after_the_vertices_where_asked(room: Room, tmp_path: Path) -> None:
    read = trimesh.load(write_room_ply(tmp_path / "room.ply", room, "colours", boxes=True), process=False)
    assert np.allclose(read.vertices[:60], room.vertices)
    bars = np.asarray(read.vertices[60:])
    assert len(bars) == 12 * 8
    assert np.abs(bars.min(0) - CORNERS.min(0)).max() < 0.01
    assert (np.asarray(read.visual.vertex_colors)[60:, :3] == rgb(colour_of(3))).all()


def test_corners_of_a_turned_box_lie_around_its_centre() -> None:
    (corners,) = scene_corners(np.array([[1.0, 2, 3]]), np.array([[4.0, 2, 1]]), np.array([np.pi / 2]))
    assert np.allclose(corners.min(0), [0, 0, 2.5])
    assert np.allclose(corners.max(0), [2, 4, 3.5])
    assert np.allclose(corners[0], [2, 0, 2.5])  # the first corner, at low x and y, turned from x towards y


def test_a_camera_looks_where_its_pose_says() -> None:
    view = camera_view("0", POSE, INTRINSICS, (640, 480))
    assert view.corners[0].tolist() == [2, 1, 1.5]
    assert np.allclose(view.corners[1:, 1], 1.5)  # half a metre along y
    assert view.corners[1, 2] > view.corners[3, 2]  # the picture's first row is up


def test_the_page_draws_in_a_browser(browser: Any, room: Room, tmp_path: Path) -> None:
    write_room_page(tmp_path / "page.html", room)
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("canvas")
    page.click("button.layer:nth-child(2)")
    page.click(".objects tbody tr")
    page.uncheck("#show-boxes")
    page.click("[data-view=top]")
    assert page.text_content("#title") == "scene <1>"
    assert page.locator(".objects tr.selected").count() == 1
    page.close()
    assert problems == []
