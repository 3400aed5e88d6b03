"""The page of a room in headless Chromium: what is hidden at first, names, selection, views, classes, and a phone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.drawn_room import CEILING, FLOOR, NEAR_WALL, drawn_room
from support.page_data import data_of
from support.page_reader import Reader
from support.paths import REAL

from g3d.data.answers import SceneBoxes
from g3d.visualize.class_colours import class_colours
from g3d.visualize.page import PageTexts
from g3d.visualize.palette import rgba
from g3d.visualize.room import Room
from g3d.visualize.scene_item import SceneItem
from g3d.visualize.scene_page import ScenePage, write_room_page
from g3d.visualize.scenes import load_room

CHAIRS = 24
SCAN = REAL / "scannet" / "scans" / "scene0000_00"
SIGNS = """[...document.querySelectorAll(".scene .sign")].filter((one) => one.style.visibility === "visible")
.map((one) => {
  const { left, top, right, bottom } = one.getBoundingClientRect();
  return { id: one.dataset.id, words: one.textContent, area: [left, top, right, bottom] };
})"""
PRESSED = """[...document.querySelectorAll(".scene .views button[aria-pressed=true]")].map((one) => one.textContent)"""


def open_page(browser: Any, html: Path, **context: Any) -> Iterator[Reader]:
    opened = Reader(browser, html, color_scheme="light", **context)
    yield opened
    opened.context.close()
    assert opened.problems == []
    assert {url.partition("#")[0] for url in opened.requests if not url.startswith("data:")} == {html.as_uri()}


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_room_page(tmp_path_factory.mktemp("room") / "room.html", drawn_room(CHAIRS))


@pytest.fixture
def reader(browser: Any, html: Path) -> Iterator[Reader]:
    yield from open_page(browser, html)


@pytest.fixture
def phone(browser: Any, html: Path) -> Iterator[Reader]:
    for opened in open_page(browser, html, has_touch=True, is_mobile=True):
        opened.tab.set_viewport_size({"width": 390, "height": 844})
        yield opened


def signs(reader: Reader) -> list[dict[str, Any]]:
    """Return the visible names of the 3D view, after the next frame, and check that no two of them overlap."""
    reader.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown: list[dict[str, Any]] = reader.tab.evaluate(SIGNS)
    for first, second in combinations(shown, 2):
        (l1, t1, r1, b1), (l2, t2, r2, b2) = first["area"], second["area"]
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1, (first, second)
    return shown


def picture(reader: Reader) -> np.ndarray:
    """Return the pixels of the 3D view, (H, W, 3), with the page scrolled to its top."""
    reader.tab.evaluate("scrollTo(0, 0)")
    reader.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    taken = reader.tab.locator(".scene canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"), int)


def test_boxes_of_walls_are_hidden_until_they_are_asked_for(reader: Reader) -> None:
    box = reader.tab.get_by_label("Walls and floor")
    assert not box.is_checked()
    assert reader.count(".objects tbody tr") == CHAIRS + 2
    assert reader.text("#count") == f"{CHAIRS + 2} of {CHAIRS + 8} objects shown"
    box.check()
    assert reader.count(".objects tbody tr") == CHAIRS + 8
    assert reader.text("#count") == f"{CHAIRS + 8} objects"
    rows = [row.inner_text() for row in reader.tab.locator(".objects tbody td:first-child").all()]
    assert rows[-6:] == ["ceiling", "floor", "wall", "wall", "wall", "wall"]
    assert any(sign["words"] in ("ceiling", "wall") for sign in signs(reader))
    reader.tab.keyboard.press("w")
    assert reader.count(".objects tbody tr") == CHAIRS + 2


def test_a_room_is_open_at_first_and_can_be_closed(reader: Reader) -> None:
    floor = reader.scene_pixels(FLOOR)
    assert floor > 2000
    assert reader.scene_pixels(NEAR_WALL) < 30
    assert reader.scene_pixels(CEILING) < 30
    reader.tab.get_by_label("Hide near walls").uncheck()
    assert reader.scene_pixels(NEAR_WALL) > 2000
    assert reader.scene_pixels(CEILING) < 30  # cut off
    assert reader.text("#cut-value") == "2.5 m"
    reader.tab.locator("#cut").fill("1")
    assert reader.text("#cut-value") == "nothing"
    assert reader.scene_pixels(CEILING) > 2000
    assert reader.scene_pixels(FLOOR) < floor / 5
    reader.tab.locator("#cut").fill("0.5")
    assert reader.text("#cut-value") == "1.3 m"
    assert reader.scene_pixels(CEILING) < 30


def test_names_give_way_to_more_important_names(reader: Reader) -> None:
    at_first = signs(reader)
    assert 5 < len(at_first) < CHAIRS + 2  # some collide
    hidden = next(k for k in range(CHAIRS + 2) if f"found-{k}" not in {sign["id"] for sign in at_first})
    reader.tab.locator(f".objects tr[data-id=found-{hidden}]").hover()
    assert f"found-{hidden}" in {sign["id"] for sign in signs(reader)}
    reader.tab.get_by_role("button", name="Side").click()
    assert signs(reader)
    controls = [part.bounding_box() for part in reader.tab.locator(".scene .views button:visible, .scene .hint").all()]
    for left, top, right, bottom in (sign["area"] for sign in signs(reader)):
        for c in controls:
            apart = (right <= c["x"], c["x"] + c["width"] <= left, bottom <= c["y"], c["y"] + c["height"] <= top)
            assert any(apart)


@pytest.mark.slow
def test_names_behind_the_camera_are_hidden(reader: Reader) -> None:
    shown = reader.tab.evaluate("""() => {
      const root = G3D.make("div", { class: "scene", style: "width: 200px; height: 200px" });
      document.body.append(root);
      const names = new G3D.Signs(root, []);
      const place = (z) => new THREE.Vector3(0, 0, z);
      const put = (id, z, score) => ({ object: { id, score }, words: id, colour: "#fff", place: place(z) });
      names.put([put("ahead", -5, 0.5), put("behind", 5, 0.9), put("weak", -4, 0.1)]);
      names.arrange(new THREE.PerspectiveCamera(50, 1, 0.1, 100), { selected: null, hovered: null }, 200, 200);
      const visible = names.entries.filter((entry) => entry.shown).map((entry) => entry.object.id);
      root.remove();
      return visible;
    }""")
    assert shown == ["ahead"]  # the weak one is nearer, but its score is lower


@pytest.mark.slow
def test_a_selected_object_stands_out_and_there_are_three_ways_back(reader: Reader) -> None:
    table = reader.tab.locator(".objects tbody tr", has_text="table")
    back = reader.tab.get_by_role("button", name="Show all")
    floor = reader.scene_pixels(FLOOR)
    before = picture(reader)
    for way in ("Escape", "button", "click"):
        assert back.is_hidden()
        table.click()
        assert back.is_visible()
        assert [sign["words"] for sign in signs(reader)] == ["table"]
        assert reader.tab.evaluate(PRESSED) == []
        assert reader.scene_pixels(FLOOR) < floor / 20  # dimmed
        assert np.abs(picture(reader) - before).max() > 50
        assert reader.scene_pixels(data_colour(reader, "table")) > 500
        if way == "Escape":
            reader.tab.keyboard.press("Escape")
        elif way == "button":
            back.click()
        else:
            area = reader.tab.locator(".scene canvas").bounding_box()
            reader.tab.mouse.click(area["x"] + 8, area["y"] + area["height"] - 8)
        assert reader.count(".objects tr.selected") == 0
        assert reader.tab.evaluate(PRESSED) == ["Overview"]
        reader.tab.mouse.move(0, 0)
        assert np.abs(picture(reader) - before).mean() < 0.5


def data_colour(reader: Reader, name: str) -> str:
    """Return the colour that the page has for the objects of a class."""
    found: str = reader.tab.evaluate(
        "(name) => JSON.parse(document.getElementById('data').textContent).items[0].predictions"
        ".find((one) => one.class === name).colour",
        name,
    )
    return found


@pytest.mark.slow
def test_a_click_on_a_name_or_a_box_selects_its_object(reader: Reader) -> None:
    lamp = next(sign for sign in signs(reader) if sign["words"] == "lamp")
    left, top, right, bottom = lamp["area"]
    reader.tab.mouse.click((left + right) / 2, (top + bottom) / 2)
    assert reader.text(".objects tr.selected td:first-child") == "lamp"
    reader.tab.keyboard.press("Escape")
    reader.tab.mouse.click((left + right) / 2, bottom + 12)  # inside the box below its name
    assert reader.text(".objects tr.selected td:first-child") == "lamp"


@pytest.mark.slow
def test_view_buttons_are_active_until_the_reader_turns_the_room(reader: Reader) -> None:
    area = reader.tab.locator(".scene canvas").bounding_box()
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] - 20
    seen = []
    for name in ("Top view", "Front", "Side", "Overview"):
        reader.tab.get_by_role("button", name=name).click()
        assert reader.tab.evaluate(PRESSED) == [name]
        seen.append(picture(reader))
    assert min(np.abs(first - second).mean() for first, second in combinations(seen, 2)) > 5
    reader.tab.mouse.move(x, y)
    reader.tab.mouse.down()
    reader.tab.mouse.move(x + 60, y, steps=3)
    reader.tab.mouse.up()
    assert reader.tab.evaluate(PRESSED) == []
    assert reader.count(".objects tr.selected") == 0  # a drag selects nothing


@pytest.mark.slow
def test_classes_have_colours_of_their_own_and_filter_the_objects(reader: Reader) -> None:
    chips = reader.tab.locator(".classes button")
    assert [chip.inner_text() for chip in chips.all()] == [
        *("All classes", f"chair {CHAIRS}", "lamp 1", "table 1", "ceiling 1", "floor 1", "wall 4"),
    ]
    colours = [data_colour(reader, name) for name in ("chair", "lamp", "table", "wall")]
    for first, second in combinations(colours, 2):
        assert np.abs(np.subtract(rgba(first), rgba(second))).max() > 60
    chips.nth(2).click()
    assert {sign["words"] for sign in signs(reader)} == {"lamp"}
    chips.nth(3).click()
    assert {sign["words"] for sign in signs(reader)} == {"lamp", "table"}
    assert reader.count(".objects tbody tr") == 2
    assert [chip.get_attribute("aria-pressed") for chip in chips.all()][:4] == ["false", "false", "true", "true"]
    reader.tab.locator(".objects tbody tr").first.click()
    chips.nth(2).click()  # hides the selected lamp
    assert reader.count(".objects tr.selected") == 0
    chips.nth(0).click()
    assert reader.count(".objects tbody tr") == CHAIRS + 2


@pytest.mark.slow
def test_a_phone_shows_the_whole_room_first(phone: Reader) -> None:
    tab = phone.tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    area = tab.locator(".scene").bounding_box()
    assert area["y"] < 844 / 4  # nothing large stands above the room
    assert area["y"] + area["height"] <= 844
    shown = picture(phone)
    drawn = np.abs(shown - shown[-2, 2]).max(-1) > 12
    drawn[: drawn.shape[0] // 8] = False  # the buttons
    columns = np.flatnonzero(drawn[: -drawn.shape[0] // 10].any(0))
    assert columns.max() - columns.min() > 0.8 * drawn.shape[1]
    assert columns.min() > 2
    assert columns.max() < drawn.shape[1] - 3
    tab.locator(".objects tbody tr", has_text="table").click()
    assert tab.get_by_role("button", name="Show all").is_visible()
    assert tab.locator(".scene").bounding_box()["y"] > -1  # the reader sees the flight
    buttons = [part.bounding_box() for part in tab.locator(".scene button:visible").all()]
    assert max(box["x"] + box["width"] for box in buttons) <= 390
    for one, other in combinations(buttons, 2):
        apart = (one["x"] + one["width"] <= other["x"], other["x"] + other["width"] <= one["x"])
        assert any(apart) or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


@pytest.mark.slow
def test_fingers_turn_and_zoom_the_room(phone: Reader) -> None:
    session = phone.context.new_cdp_session(phone.tab)
    area = phone.tab.locator(".scene canvas").bounding_box()
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": place[0], "y": place[1], "id": k} for k, place in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def distance() -> float:
        return float(phone.tab.evaluate("SPACE.camera.position.distanceTo(SPACE.controls.target)"))

    phone.tab.evaluate("globalThis.SPACE = G3D.page.space")
    first, away = picture(phone), distance()
    touch("touchStart", (x, y))
    for step in (20, 40, 60):
        touch("touchMove", (x + step, y))
    touch("touchEnd")
    turned = picture(phone)
    assert np.abs(turned - first).mean() > 3
    assert distance() == pytest.approx(away, rel=1e-6)
    assert phone.tab.evaluate(PRESSED) == []
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in (30, 45, 60):
        touch("touchMove", (x - step, y), (x + step, y))
    touch("touchEnd")
    assert distance() < 0.6 * away
    assert phone.tab.evaluate("[scrollX, scrollY]") == [0, 0]


@pytest.fixture(scope="module")
def detections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of detections with labels: a chair, a table and a wall, the table with a low score."""
    names = np.array(["chair", "table", "wall"])
    centers = np.array([[1.0, 1, 0.5], [4, 3, 0.5], [3, 5, 1.3]])
    sizes = np.array([[1.0, 1, 1], [1.5, 1, 1], [6, 0.1, 2.6]])
    found = SceneBoxes(names, centers + 0.1, sizes, scores=np.array([0.9, 0.4, 0.8]))
    room = drawn_room(0)
    shown = Room(room.name, room.vertices, room.faces, {"colours": room.layers["colours"]})
    page = ScenePage(class_colours(names.tolist()), 0.3)
    page.add(shown, [SceneItem("drawn", boxes=found, true_boxes=SceneBoxes(names, centers, sizes))])
    path = tmp_path_factory.mktemp("detections") / "page.html"
    return page.write(path, PageTexts("Detections", 0.3))


@pytest.mark.slow
def test_detections_and_labels_share_colours_and_have_their_controls(browser: Any, detections: Path) -> None:
    (item,) = data_of(detections)["items"]
    by_class = [{one["class"]: one["colour"] for one in item[kind]} for kind in ("predictions", "truth")]
    assert by_class[0] == by_class[1]
    assert len(set(by_class[0].values())) == 3
    for reader in open_page(browser, detections):
        assert {sign["words"] for sign in signs(reader)} == {
            "chair  0.90",
            "table  0.40",
            "chair (label)",
            "table (label)",
        }
        assert reader.text("#legend") == "ground truth (dashed)"
        assert reader.text("#count") == "2 of 3 shown, 3 labelled"
        both = reader.scene_pixels(by_class[0]["table"])
        reader.slide(0.5)
        assert reader.count(".objects tr.found") == 1
        dashed = reader.scene_pixels(by_class[0]["table"])
        assert 20 < dashed < 0.7 * both
        reader.tab.get_by_label("Ground truth").uncheck()
        assert reader.count(".objects tr.truth") == 0
        assert reader.scene_pixels(by_class[0]["table"]) < 10
        assert {sign["words"] for sign in signs(reader)} == {"chair  0.90"}
        reader.slide(1.0)
        assert reader.text(".objects .none") == "All detections score below the threshold."
        reader.slide(0.3)
        reader.tab.locator(".classes button", has_text="wall").click()  # chosen by name, it is shown
        assert [row.inner_text() for row in reader.tab.locator(".objects tbody td:first-child").all()] == ["wall"]


@pytest.mark.slow
@pytest.mark.skipif(not SCAN.is_dir(), reason="the real scan is not here")
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_real_room_of_67_objects_is_readable(browser: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    page = write_room_page(tmp_path / "room.html", load_room(SCAN))
    for reader in open_page(browser, page):
        reader.tab.set_viewport_size({"width": size[0], "height": size[1]})
        assert reader.text("#count") == "56 of 67 objects shown"
        for view in ("Top view", "Front", "Side", "Overview"):
            reader.tab.get_by_role("button", name=view).click()
            assert len(signs(reader)) > 8
        assert reader.tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        area = reader.tab.locator(".scene").bounding_box()
        assert area["y"] + area["height"] <= size[1]
