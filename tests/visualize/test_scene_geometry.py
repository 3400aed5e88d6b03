"""Geometry of rooms on a page: large rooms are thinned, near walls can be left out, and ceilings are cut off."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.drawn_room import SIZE, drawn_room
from support.page_data import data_of

from g3d.data.answers import PointMask
from g3d.visualize.page import PageTexts
from g3d.visualize.room import Layer, Room
from g3d.visualize.scene_geometry import ceiling_height, faces_inward, thinned
from g3d.visualize.scene_item import SceneItem
from g3d.visualize.scene_page import ScenePage, write_room_page


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and faces of a wavy floor of 4 m with side x side vertices."""
    x, y = np.meshgrid(np.linspace(0, 4, side), np.linspace(0, 4, side))
    vertices = np.column_stack([x.ravel(), y.ravel(), 0.1 * np.sin(4 * x.ravel())]).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    quads = np.column_stack([corner, corner + 1, corner + side + 1, corner + side])
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def floor(side: int, mesh: bool) -> Room:
    vertices, faces = grid(side)
    colours = np.random.default_rng(0).integers(0, 256, (len(vertices), 3), np.uint8)
    layers = {"colours": Layer(colours), "objects": Layer(ids=np.arange(len(vertices), dtype=np.int32))}
    return Room("floor", vertices, faces if mesh else None, layers)


@pytest.mark.parametrize("mesh", [True, False])
def test_a_large_room_is_thinned_evenly_and_says_so(mesh: bool) -> None:
    room = floor(300, mesh)
    most = 3e6 if mesh else 1.2e6
    shown, rows = thinned(room, most)
    assert rows is not None
    assert 40_000 < len(rows) < 90_000
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(shown.vertices, room.vertices[rows])
    assert np.array_equal(shown.layers["colours"].painted(), room.layers["colours"].painted()[rows])
    assert np.array_equal(shown.layers["objects"].ids, rows)
    gaps = np.abs(np.diff(np.unique(np.round(shown.vertices[:, 0], 4))))
    assert gaps.max() < 0.1  # no part is empty
    word = "vertices" if mesh else "points"
    assert f"{len(rows):,} of 90,000 {word} are shown" in shown.notes[-1]
    if shown.faces is not None:
        assert shown.faces.max() < len(rows)
        assert len(np.unique(np.sort(shown.faces, 1), axis=0)) == len(shown.faces)
        a, b, c = (shown.vertices[shown.faces[:, k]].astype(float) for k in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        full_a, full_b, full_c = (room.vertices[grid(300)[1][:, k]].astype(float) for k in range(3))
        assert area == pytest.approx(
            np.linalg.norm(np.cross(full_b - full_a, full_c - full_a), axis=1).sum() / 2, rel=0.05
        )


def test_a_small_room_keeps_all_its_vertices() -> None:
    room = floor(200, True)
    assert thinned(room, 1.0) == (room, None)  # 40,000 vertices are never thinned
    large = floor(300, True)
    assert thinned(large, 1e9) == (large, None)


def test_a_mask_on_a_thinned_scene_keeps_its_count_and_verdict(tmp_path: Path) -> None:
    room = floor(300, False)
    answer = np.zeros(90_000, bool)
    answer[:40_000] = True
    label = answer.copy()
    label[:10_000] = False
    page = ScenePage(max_megabytes=1.2)
    page.add(room, [SceneItem("a", "the part", masks=(PointMask(answer, 0.5),), true_mask=PointMask(label))])
    data = data_of(page.write(tmp_path / "page.html", PageTexts("t")))
    (item,) = data["items"]
    assert item["iou"] == pytest.approx(0.75)
    assert item["predictions"][0]["points"] == 40_000
    assert "of 90,000 points are shown" in data["scenes"][0]["notes"][-1]


def test_a_page_of_two_million_points_stays_below_20_megabytes(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (2_000_000, 3)) * [8, 6, 0.01]
    points[::2] = points[::2, [0, 2, 1]]
    room = Room("scan", points.astype(np.float32), None, {"colours": Layer(np.zeros((2_000_000, 3), np.uint8))})
    path = write_room_page(tmp_path / "page.html", room)
    assert 8e6 < path.stat().st_size < 20e6
    assert "of 2,000,000 points" in data_of(path)["scenes"][0]["summary"]


def test_a_page_of_a_large_annotated_mesh_is_complete_and_below_20_megabytes(tmp_path: Path) -> None:
    room = floor(450, True)
    ids = room.layers["objects"]
    room = replace(room, layers={**room.layers, "segments": ids, "classes": ids})
    path = write_room_page(tmp_path / "page.html", replace(room, layers={k: _few(v) for k, v in room.layers.items()}))
    assert path.stat().st_size < 20e6
    assert data_of(path)["scenes"][0]["summary"] == "202,500 vertices, 403,202 faces"


def _few(layer: Layer) -> Layer:
    return layer if layer.ids is None else Layer(ids=layer.ids // 5000)


def test_the_backs_of_walls_are_left_out_where_all_fronts_are_inside() -> None:
    room = drawn_room()
    assert room.faces is not None
    assert faces_inward(room.vertices, room.faces)
    assert not faces_inward(room.vertices, room.faces[:, ::-1])  # all fronts outside
    turned = room.faces.copy()
    turned[::2] = turned[::2, ::-1]
    assert not faces_inward(room.vertices, turned)
    loose = np.arange(3 * len(room.faces)).reshape(-1, 3)  # no faces share an edge
    assert not faces_inward(room.vertices[room.faces.ravel()], loose)
    assert not faces_inward(room.vertices, room.faces[:0])


def test_a_labelled_ceiling_is_cut_off_and_only_that() -> None:
    assert ceiling_height(drawn_room()) == pytest.approx(SIZE[2] - 0.05, abs=2e-3)
    assert ceiling_height(drawn_room(ceiling=False)) is None
    low = replace(drawn_room(), objects=[replace(thing, name="ceiling") for thing in drawn_room().objects[:1]])
    assert ceiling_height(low) is None  # labelled at the height of the floor


def test_a_scene_that_does_not_fit_any_more_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = ScenePage(max_megabytes=1.5)
    for name in ("a", "b"):
        page.add(replace(floor(300, False), name=name), [SceneItem(name, "the part")])
    with caplog.at_level(logging.WARNING):
        data = data_of(page.write(tmp_path / "page.html", PageTexts("t")))
    assert [scene["name"] for scene in data["scenes"]] == ["a"]
    assert "1 of 2 items left out" in caplog.text
