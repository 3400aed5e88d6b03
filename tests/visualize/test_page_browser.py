"""The page in headless Chromium: opened from disk, driven like a reader would, and nothing leaves the machine."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from street_frames import frame, objects

from g3d.metrics.table import Row, Table
from g3d.visualize.page import write_page
from g3d.visualize.palette import class_colour, rgba

playwright = pytest.importorskip("playwright.sync_api")

# What a browser needs as root, without a screen or a GPU, and without calling home.
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here; set CHROMIUM to its path")
    with playwright.sync_playwright() as run:
        started = run.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield started
        started.close()


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
    return write_page(folder / "page.html", frames, "Streets", table, ("untrained", untrained), ("the paper", {"car": 13.0}))


class Reader:
    """A tab that remembers what went wrong and what was asked of the network."""

    def __init__(self, browser: Any, html: Path, before: str = "", **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1000, "height": 640}, reduced_motion="reduce", **context)
        self.tab = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        if before:
            self.tab.add_init_script(before)
        self.tab.goto(html.as_uri())
        self.tab.wait_for_selector("[data-panel=objects] h2")

    def count(self, selector: str) -> int:
        return self.tab.locator(selector).count()

    def text(self, selector: str) -> str:
        return self.tab.locator(selector).inner_text()

    def slide(self, value: float) -> None:
        self.tab.locator("#threshold").fill(str(value))

    def scene_pixels(self, colour: str) -> int:
        """Pixels of about this colour in the 3D view, once the frame after this one is drawn."""
        self.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture = Image.open(io.BytesIO(self.tab.locator(".scene canvas").screenshot())).convert("RGB")
        return int((np.abs(np.asarray(picture, int) - rgba(colour)[:3]).max(-1) < 24).sum())


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


def test_the_threshold_changes_what_is_shown(reader: Reader) -> None:
    for threshold, shown in ((0.0, 3), (0.5, 1), (1.0, 0)):
        reader.slide(threshold)
        assert reader.count(".picture g.found") == shown
        assert reader.count(".objects tr.found") == shown
        assert reader.text("#count").startswith(f"{shown} of 3 shown")


def test_ground_truth_can_be_switched_off(reader: Reader) -> None:
    reader.tab.get_by_label("Ground truth").uncheck()
    assert reader.count(".picture g.truth") == 0
    assert reader.count(".objects tr.truth") == 0
    reader.tab.keyboard.press("g")
    assert reader.count(".picture g.truth") == 2


def test_2d_boxes_and_labels_can_be_switched(reader: Reader) -> None:
    assert reader.count(".picture .box2d") == 0
    reader.tab.get_by_label("2D boxes").check()
    assert reader.count(".picture .box2d") == 4
    reader.tab.get_by_label("Labels").uncheck()
    assert reader.count(".picture .tag") == 0


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
    reader.tab.locator("#frame").select_option("0")
    assert reader.text("#position") == "1 of 3"


def test_an_address_may_name_a_frame(browser: Any, html: Path) -> None:
    tab = browser.new_page()
    tab.goto(f"{html.as_uri()}#000003")
    assert tab.locator("#position").inner_text() == "3 of 3"
    tab.close()


def test_lines_lie_at_the_projected_pixels(reader: Reader) -> None:
    reader.slide(0.9)
    box = reader.tab.locator(".picture g.found").bounding_box()
    stage = reader.tab.locator(".picture .stage").bounding_box()
    scale = stage["width"] / 400
    bounds = reader.tab.evaluate("JSON.parse(document.getElementById('data').textContent).frames[0].predictions[0].bounds")
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


def test_the_3d_view_can_be_seen_from_camera_and_top(reader: Reader) -> None:
    pictures = set()
    for view in ("Top view", "Camera view", "Orbit"):
        button = reader.tab.get_by_role("button", name=view)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert reader.scene_pixels(class_colour("Car")) > 50
        pictures.add(reader.tab.locator(".scene canvas").screenshot())
    assert len(pictures) == 3


def test_a_row_selects_its_box_everywhere(reader: Reader) -> None:
    reader.tab.locator(".objects tr.found").first.click()
    assert reader.count(".picture g.found.selected") == 1
    assert reader.count(".picture .tag.selected") == 1
    reader.tab.keyboard.press("Escape")
    assert reader.count(".selected") == 0


def test_figures_are_listed_with_what_they_stand_beside(reader: Reader) -> None:
    words = reader.text(".figures")
    for expected in ("Average precision", "12.50", "untrained", "0.25", "13.00", "-0.50", "the paper", "A note."):
        assert expected in words


def test_a_narrow_window_needs_no_sideways_scrolling(reader: Reader) -> None:
    reader.tab.set_viewport_size({"width": 390, "height": 800})
    assert reader.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_light_and_dark_follow_the_reader(browser: Any, html: Path) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        opened = Reader(browser, html, color_scheme=scheme)
        shades[scheme] = Image.open(io.BytesIO(opened.tab.screenshot())).convert("L").getpixel((4, 4))
        assert opened.problems == []
        opened.context.close()
    assert shades["light"] > 200
    assert shades["dark"] < 60


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
