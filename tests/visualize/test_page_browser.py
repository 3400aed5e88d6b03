"""The page in headless Chromium: opened from disk, driven like a reader would, and nothing leaves the machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.page_reader import Reader
from support.street_frames import frame, objects, write_page

from g3d.metrics.table import Row, Table
from g3d.visualize.palette import class_colour


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    found = objects(("Car", 0.9, (-3, 1, 10), 0.5), ("Car", 0.4, (3, 1, 12), 0), ("Pedestrian", 0.2, (0, 1, 20), 0))
    truth = objects(("Car", None, (-3, 1, 10.5), 0.5), ("Pedestrian", None, (0, 1, 21), 0))
    frames = [
        frame(folder, found, truth, "000001"),
        frame(folder, found[:2], None, "000002", "the car on the left </script><b>"),
        frame(folder, found[:0], truth, "000003"),
    ]
    table = Table("Average precision", ("Easy", "Hard"), (Row("3D", (12.5, None), "Car"),), {"car": 12.5}, ("A note.",))
    untrained = Table("Average precision", ("Easy", "Hard"), (Row("3D", (0.25, 0.0), "Car"),))
    return write_page(folder / "page.html", frames, "Streets", table=table, comparison=("untrained", untrained))


@pytest.fixture
def reader(browser: Any, html: Path) -> Iterator[Reader]:
    opened = Reader(browser, html, color_scheme="dark")
    yield opened
    opened.context.close()
    assert opened.problems == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [html.as_uri()]


def test_it_opens_with_the_first_frame(reader: Reader) -> None:
    assert reader.text("#title") == "Streets"
    assert reader.text("#summary") == "3 frames, 5 detections"
    assert reader.text("#position") == "1 of 3"
    assert reader.count(".picture g.found") == 2
    assert reader.count(".picture g.truth") == 2
    assert reader.count(".picture .tag") == 2


@pytest.mark.slow
def test_the_threshold_changes_what_is_shown(reader: Reader) -> None:
    for threshold, shown in ((0.0, 3), (0.5, 1), (1.0, 0)):
        reader.slide(threshold)
        assert reader.count(".picture g.found") == shown
        assert reader.count(".objects tr.found") == shown
        assert reader.text("#count").startswith(f"{shown} of 3 shown")


@pytest.mark.slow
def test_ground_truth_can_be_switched_off(reader: Reader) -> None:
    reader.tab.get_by_label("Ground truth").uncheck()
    assert reader.count(".picture g.truth") == 0
    assert reader.count(".objects tr.truth") == 0
    reader.tab.keyboard.press("g")
    assert reader.count(".picture g.truth") == 2


@pytest.mark.slow
def test_2d_boxes_and_labels_can_be_switched(reader: Reader) -> None:
    assert reader.count(".picture .box2d") == 0
    reader.tab.get_by_label("2D boxes").check()
    assert reader.count(".picture .box2d") == 4
    reader.tab.get_by_label("Labels").uncheck()
    assert reader.count(".picture .tag") == 0


@pytest.mark.slow
def test_frames_follow_buttons_keys_and_the_list(reader: Reader) -> None:
    assert reader.tab.locator("#previous").is_disabled()
    reader.tab.locator("#next").click()
    assert reader.text("#position") == "2 of 3"
    assert reader.text(".picture .sentence") == "the car on the left </script><b>"
    assert reader.tab.locator("#show-truth").is_disabled()  # this frame has no labels
    reader.tab.keyboard.press("ArrowRight")
    assert reader.text("#position") == "3 of 3"
    assert reader.text(".objects .none") == "Nothing was found in this frame."
    assert reader.text("#count") == "0 of 0 shown, 2 labelled"
    assert reader.tab.locator("#next").is_disabled()
    reader.tab.locator("#items button[data-item='0']").click()
    assert reader.text("#position") == "1 of 3"


@pytest.mark.slow
def test_an_address_may_name_a_frame(browser: Any, html: Path) -> None:
    tab = browser.new_page()
    tab.goto(f"{html.as_uri()}#item=000003")
    assert tab.locator("#position").inner_text() == "3 of 3"
    tab.close()


def test_lines_lie_at_the_projected_pixels(reader: Reader) -> None:
    reader.slide(0.9)
    box = reader.tab.locator(".picture g.found").bounding_box()
    stage = reader.tab.locator(".picture .stage").bounding_box()
    scale = stage["width"] / 400
    bounds = reader.tab.evaluate(
        "JSON.parse(document.getElementById('data').textContent).items[0].predictions[0].bounds"
    )
    assert box["x"] - stage["x"] == pytest.approx((bounds[0] + 0.5) * scale, abs=4)
    assert box["x"] + box["width"] - stage["x"] == pytest.approx((bounds[2] + 0.5) * scale, abs=4)
    assert box["y"] - stage["y"] == pytest.approx((bounds[1] + 0.5) * scale, abs=4)


def test_the_3d_view_has_drawn_and_follows_the_switches(reader: Reader) -> None:
    car = class_colour("Car")
    drawn = reader.scene_pixels(car)
    assert drawn > 150
    reader.slide(1.0)
    assert reader.scene_pixels(car) < drawn / 5
    reader.slide(0.0)
    assert reader.scene_pixels(car) >= drawn


@pytest.mark.slow
def test_the_3d_view_can_be_seen_from_camera_and_top(reader: Reader) -> None:
    pictures = set()
    for view in ("Top view", "Camera view", "Orbit"):
        button = reader.tab.get_by_role("button", name=view)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert reader.scene_pixels(class_colour("Car")) > 50
        pictures.add(reader.tab.locator(".scene canvas").screenshot())
    assert len(pictures) == 3


@pytest.mark.slow
def test_a_row_selects_its_box_everywhere(reader: Reader) -> None:
    reader.tab.locator(".objects tr.found").first.click()
    assert reader.count(".picture g.found.selected") == 1
    assert reader.count(".picture .tag.selected") == 1
    reader.tab.keyboard.press("Escape")
    assert reader.count(".selected") == 0


@pytest.mark.slow
def test_figures_are_listed_with_what_they_stand_beside(reader: Reader) -> None:
    words = reader.text(".figures")
    for expected in ("Average precision", "12.50", "untrained", "0.25", "A note."):
        assert expected in words


@pytest.mark.slow
def test_a_narrow_window_needs_no_sideways_scrolling(reader: Reader) -> None:
    reader.tab.set_viewport_size({"width": 390, "height": 800})
    assert reader.tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_light_and_dark_follow_the_reader(browser: Any, html: Path) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        opened = Reader(browser, html, color_scheme=scheme)
        shades[scheme] = Image.open(io.BytesIO(opened.tab.screenshot())).convert("L").getpixel((4, 4))
        assert opened.problems == []
        opened.context.close()
    assert shades["light"] > 200
    assert shades["dark"] < 60


@pytest.mark.slow
def test_without_webgl_the_panel_says_so_and_the_rest_works(browser: Any, html: Path) -> None:
    no_webgl = """
        const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
        };"""
    opened = Reader(browser, html, before=no_webgl)
    assert "needs WebGL" in opened.text(".scene")
    opened.slide(0.0)
    assert opened.count(".picture g.found") == 3
    opened.tab.locator("#next").click()
    assert opened.text("#position") == "2 of 3"
    assert opened.problems == []
    opened.context.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with three and one sentences, and maps under the first sentence."""
    folder = tmp_path_factory.mktemp("answers")
    truth = objects(("car", None, (-3, 1, 10.5), 0.5))
    near = frame(
        folder, objects(("car", 0.04, (-3, 1, 10), 0.5)), truth, "a-01", "the near car on the left " + 50 * "and so on "
    )
    Image.new("RGB", (400, 200), (60, 120, 60)).save(folder / "b.png")
    maps = {"region": np.eye(5, 10), "depth": np.full((5, 10), 33.0)}
    frames = [
        replace(near, maps=maps),
        replace(
            near, name="a-02", expression="the far van on the right", predictions=objects(("van", 0.6, (3, 1, 30), 0))
        ),
        replace(near, name="a-03", expression="the bus", predictions=near.predictions[:0], ground_truth=None),
        replace(near, name="b", image=folder / "b.png", expression="the tram on the left"),
    ]
    return write_page(folder / "page.html", frames, "Answers", threshold=0.0)


@pytest.fixture
def asked(browser: Any, answers: Path) -> Iterator[Reader]:
    opened = Reader(browser, answers, color_scheme="light")
    yield opened
    opened.context.close()
    assert opened.problems == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [answers.as_uri()]


def test_sentences_of_an_image_are_listed_and_each_shows_its_answer(asked: Reader) -> None:
    assert asked.text("#summary") == "2 images, 4 sentences"
    assert asked.count("#items li[data-group='0']") == 3
    assert asked.count(".picture .box2d") == 2  # the answer's and the label's: shown at once where sentences are
    assert asked.tab.locator("#scores").is_hidden()
    image = asked.tab.locator(".picture img").first.get_attribute("src")
    asked.tab.locator("#items button").nth(1).click()
    assert asked.text("#position") == "2 of 4"
    assert asked.text(".picture .sentence") == "the far van on the right"
    assert asked.text(".picture .tag") == "van  0.60  30 m"
    assert asked.count("#items button[aria-current]") == 1
    assert asked.text("#count") == "3D IoU with the label 0.00"
    assert asked.tab.locator(".picture img").first.get_attribute("src") == image
    asked.tab.locator("#items button").nth(2).click()
    assert asked.text("#items button[aria-current] .answer") == "no such object"
    asked.tab.locator("#next").click()
    assert asked.count("#items li.begins") == 1  # the other image begins here
    assert asked.tab.locator(".picture img").first.get_attribute("src") != image


@pytest.mark.slow
def test_words_find_sentences(asked: Reader) -> None:
    find = asked.tab.locator("#search")
    find.fill("RIGHT van")
    assert asked.text("#position") == "1 of 1"
    assert asked.text(".picture .sentence") == "the far van on the right"
    find.fill("left")
    assert asked.text("#position") == "1 of 2"
    assert asked.tab.locator("#items li:visible").count() == 2
    asked.tab.locator("#next").click()
    assert asked.text(".picture .sentence") == "the tram on the left"
    assert asked.tab.locator("#next").is_disabled()
    find.fill("zebra")
    assert asked.text("#position") == "none found"
    assert asked.text(".picture .sentence") == "the tram on the left"
    find.fill("")
    assert asked.text("#position") == "4 of 4"
    find.press("m")
    assert asked.tab.locator("#map").input_value() == ""  # a letter of the search, not a key


def test_maps_lie_over_the_image_on_request(asked: Reader) -> None:
    layer = asked.tab.locator(".picture .map")
    assert layer.is_hidden()
    asked.tab.locator("#map").select_option("depth")
    assert layer.bounding_box() == asked.tab.locator(".picture .stage").bounding_box()
    assert asked.text(".picture .scale").split() == ["Depth", "0", "m", "40", "m"]
    asked.tab.locator("#map").evaluate("element => element.blur()")
    for expected in ("", "region", "depth"):
        asked.tab.keyboard.press("m")
        assert asked.tab.locator("#map").input_value() == expected
    asked.tab.keyboard.press("ArrowRight")
    assert layer.is_hidden()  # the second sentence has none


@pytest.mark.slow
def test_long_sentences_fit_a_narrow_window(asked: Reader) -> None:
    asked.tab.set_viewport_size({"width": 390, "height": 800})
    assert asked.tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_a_page_of_detections_has_no_maps_to_choose(reader: Reader) -> None:
    assert reader.tab.locator("#maps").is_hidden()
    assert reader.tab.locator("#scores").is_visible()


@pytest.mark.slow
def test_a_page_of_labels_speaks_of_labels(browser: Any, tmp_path: Path) -> None:
    truth = objects(("van", None, (-3, 1, 10.5), 0.5))
    first = frame(tmp_path, truth[:0], truth, "a-01", "the van")
    page = write_page(
        tmp_path / "page.html",
        [first, replace(first, name="a-02", expression="a white van")],
        "Labels",
        labels_only=True,
    )
    opened = Reader(browser, page)
    assert opened.text(".objects h2") == "Labels"
    assert opened.text("#count") == "1 labelled"
    assert opened.tab.locator(".objects .none").is_hidden()
    assert opened.tab.locator("#scores").is_hidden()
    assert opened.text("#items .answer >> nth=1") == "van  11 m"
    opened.context.close()
    detections = Reader(
        browser, write_page(tmp_path / "kitti.html", [replace(first, expression=None)], "Labels", labels_only=True)
    )
    assert detections.text("#summary") == "1 frame, 1 label"
    detections.context.close()
    assert opened.problems == detections.problems == []
