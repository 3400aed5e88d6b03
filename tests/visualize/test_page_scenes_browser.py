"""Pages of scenes and of masks in headless Chromium: answers, verdicts, search, filters, keys and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.page_reader import Reader
from support.street_frames import GREY, SIZE

from g3d.data.answers import Answer, PixelMask, PointMask, SceneBoxes
from g3d.data.types import ImageSource, Prediction, SceneSource
from g3d.visualize.draw import visualize_predictions
from g3d.visualize.palette import ANSWER, BOTH, LABEL, OTHER


def floor(path: Path) -> Path:
    """Write a grey square floor of 4 m with 40 x 40 vertices as a PLY file."""
    import trimesh

    x, y = np.meshgrid(np.linspace(0, 4, 40), np.linspace(0, 4, 40))
    vertices = np.column_stack([x.ravel(), y.ravel(), np.zeros(1600)])
    corner = (np.arange(39)[:, None] * 40 + np.arange(39)).ravel()
    quads = np.column_stack([corner, corner + 1, corner + 41, corner + 40])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    colours = np.full((1600, 4), (*GREY, 255), np.uint8)
    trimesh.Trimesh(vertices, faces, vertex_colors=colours, process=False).export(path)
    return path


def boxes(*rows: tuple[str, float, float | None]) -> SceneBoxes:
    """Return cubes of 1 m from (class, x of the centre, score or None)."""
    scores = None if rows and rows[0][2] is None else np.array([score for *_, score in rows], float)
    centers = np.array([[x, 2, 0.5] for _, x, _ in rows]).reshape(-1, 3)
    return SceneBoxes(np.array([name for name, *_ in rows], str), centers, np.ones((len(rows), 3)), scores=scores)


def squares(first: int, end: int) -> np.ndarray:
    """Return the mask of some columns of the floor."""
    mask = np.zeros((40, 40), bool)
    mask[:, first:end] = True
    return mask.ravel()


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    first, second = (SceneSource(str(floor(folder / f"{name}.ply")), name) for name in ("first", "second"))
    chairs = boxes(("chair", 1, 0.9), ("table", 3, 0.5), ("chair", 2, 0.1))
    predictions = [
        Prediction("right one", first, (chairs,), "the chair on the left"),
        Prediction("wrong/one", first, (chairs,), "the chair on the far right </script>"),
        Prediction("nothing", first, (boxes(),), "the zebra"),
        Prediction(
            "points", second, (PointMask(squares(0, 20), 0.8, "rug"), PointMask(squares(30, 40), 0.4)), "the rug"
        ),
    ]
    truth: dict[str, Answer] = {
        "right one": boxes(("chair", 1.2, None)),
        "wrong/one": boxes(("chair", 3.5, None)),
        "nothing": boxes(),
        "points": PointMask(squares(10, 30)),
    }
    return visualize_predictions(predictions, truth, folder / "out", title="Answers")[-1]


@pytest.fixture
def reader(browser: Any, html: Path) -> Iterator[Reader]:
    opened = Reader(browser, html, color_scheme="light")
    yield opened
    opened.context.close()
    assert opened.problems == []
    assert {url.partition("#")[0] for url in opened.requests if not url.startswith("data:")} == {html.as_uri()}


def test_a_scene_shows_the_answer_its_label_and_the_verdict(reader: Reader) -> None:
    assert reader.text("#summary") == "2 scenes, 4 sentences"
    assert reader.text(".question .sentence") == "the chair on the left"
    assert reader.text("#verdict") == "right"
    assert reader.text("#count") == "3D IoU with the label 0.67"
    assert reader.text(".rule") == "Right: 3D IoU with the label of at least 0.25."
    assert reader.count(".objects tr.found") == 2  # one scores below the threshold
    assert reader.count(".objects tr.truth") == 1
    for colour in (ANSWER, LABEL, OTHER):
        assert reader.scene_pixels(colour) > 30
    reader.slide(1.0)
    assert reader.count(".objects tr.found") == 1  # the best answer stays
    assert reader.scene_pixels(OTHER) < 10
    reader.tab.get_by_label("Ground truth").uncheck()
    assert reader.count(".objects tr.truth") == 0
    assert reader.scene_pixels(LABEL) < 10


@pytest.mark.slow
def test_points_of_answer_and_label_have_their_colours(reader: Reader) -> None:
    reader.tab.locator("#items button[data-item='3']").click()
    assert reader.text("#verdict") == "right"
    assert reader.text("#count") == "point IoU with the label 0.33"
    reader.tab.get_by_role("button", name="Top view").click()
    shown = [reader.scene_pixels(colour) for colour in (ANSWER, LABEL, BOTH)]
    assert min(shown) > 500
    assert reader.scene_pixels(OTHER) < 50
    reader.tab.locator(".objects tr.found").nth(1).click()  # a runner-up is shown in place of the answer
    assert reader.scene_pixels(ANSWER) < 50
    assert reader.scene_pixels(OTHER) > 500


@pytest.mark.slow
def test_no_such_object_is_written(reader: Reader) -> None:
    reader.tab.locator("#items button[data-item='2']").click()
    assert reader.text(".objects .none") == "No such object."
    assert reader.text(".objects .blank") == "The label says: no such object."
    assert reader.text("#verdict") == "right"
    assert reader.text("#items button[aria-current] .answer") == "no such object"


@pytest.mark.slow
def test_filters_and_search_narrow_the_list_together(reader: Reader) -> None:
    visible = reader.tab.locator("#items li:visible")
    reader.tab.locator("#filter").select_option("wrong")
    assert visible.count() == 1
    assert reader.text(".question .sentence") == "the chair on the far right </script>"
    assert reader.text("#verdict") == "wrong"
    reader.tab.locator("#filter").select_option("empty")
    assert reader.text(".question .sentence") == "the zebra"
    reader.tab.locator("#filter").select_option("answered")
    assert visible.count() == 3
    reader.tab.locator("#search").fill("CHAIR left")
    assert visible.count() == 1
    reader.tab.locator("#search").fill("points")  # a name
    assert reader.text(".question .sentence") == "the rug"
    reader.tab.locator("#search").fill("zebra")
    assert visible.count() == 0
    assert reader.text("#items .none") == "No item matches."
    assert reader.text("#position") == "none found"


@pytest.mark.slow
def test_keys_step_search_and_clear(reader: Reader) -> None:
    for key, position in (("j", 2), ("ArrowRight", 3), ("k", 2), ("ArrowLeft", 1), ("ArrowLeft", 1)):
        reader.tab.keyboard.press(key)
        assert reader.text("#position") == f"{position} of 4"
    reader.tab.keyboard.press("/")
    reader.tab.keyboard.type("jug rug")
    assert reader.tab.locator("#search").input_value() == "jug rug"  # letters of the search, and no steps
    assert reader.text("#position") == "none found"
    reader.tab.keyboard.press("Escape")
    assert reader.tab.locator("#search").input_value() == ""
    assert reader.text("#position") == "1 of 4"
    reader.tab.keyboard.press("j")
    assert reader.text("#position") == "2 of 4"


def test_addresses_name_items_and_follow_the_reader(browser: Any, html: Path) -> None:
    tab = browser.new_page()
    tab.goto(f"{html.as_uri()}#item=wrong%2Fone")
    assert tab.locator("#position").inner_text() == "2 of 4"
    tab.locator("#next").click()
    assert tab.evaluate("location.hash") == "#item=nothing"
    tab.locator("#items button[data-item='0']").click()
    assert tab.evaluate("location.hash") == "#item=right%20one"
    tab.evaluate("location.hash = '#item=points'")
    tab.wait_for_function("document.getElementById('position').textContent === '4 of 4'")
    assert tab.locator("#missing").is_hidden()
    tab.evaluate("location.hash = '#item=gone'")
    tab.wait_for_function("!document.getElementById('missing').hidden")
    assert tab.locator("#missing").inner_text() == "This page has no item “gone”."
    assert tab.locator("#position").inner_text() == "4 of 4"
    tab.close()


@pytest.mark.slow
def test_views_are_kept_within_a_scene_once_the_reader_has_chosen(reader: Reader) -> None:
    close, top = (reader.tab.get_by_role("button", name=name) for name in ("Close view", "Top view"))
    assert close.get_attribute("aria-pressed") == "true"
    reader.tab.keyboard.press("j")
    assert close.get_attribute("aria-pressed") == "true"
    top.click()
    reader.tab.keyboard.press("k")
    assert top.get_attribute("aria-pressed") == "true"


@pytest.mark.slow
def test_a_selection_does_not_keep_the_next_sentence_from_being_shown_close(reader: Reader) -> None:
    close, overview = (reader.tab.get_by_role("button", name=name) for name in ("Close view", "Overview"))
    reader.tab.locator(".objects tr.found").first.click()
    assert close.get_attribute("aria-pressed") == "false"
    reader.tab.keyboard.press("j")
    assert close.get_attribute("aria-pressed") == "true"
    overview.click()
    reader.tab.locator(".objects tr.found").first.click()
    reader.tab.keyboard.press("k")
    assert overview.get_attribute("aria-pressed") == "true"  # chosen by the reader


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_their_window(reader: Reader, width: int) -> None:
    reader.tab.set_viewport_size({"width": width, "height": 800})
    for item in range(4):
        reader.tab.locator(f"#items button[data-item='{item}']").click()
        assert reader.tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_masks_lie_over_the_image(browser: Any, tmp_path: Path) -> None:
    Image.new("RGB", SIZE, GREY).save(tmp_path / "a.png")
    found, label = np.zeros((2, *SIZE[::-1]), bool)
    found[50:150, 100:300] = label[50:150, 150:350] = True
    source = ImageSource(str(tmp_path / "a.png"))
    predictions = [
        Prediction("a", source, (PixelMask(found, 0.9, "car"),), "the car"),
        Prediction("b", source, (PixelMask(np.zeros_like(found), 0.9),), "the tram"),
    ]
    page = visualize_predictions(predictions, {"a": PixelMask(label)}, tmp_path / "out")[-1]
    opened = Reader(browser, page)
    assert opened.count(".picture img.mask") == 2
    assert opened.text("#count") == "mask IoU with the label 0.60"
    assert opened.tab.locator(".scene").is_hidden()  # there is no camera
    stage = opened.tab.locator(".picture .stage").bounding_box()
    assert opened.tab.locator(".picture img.mask").first.bounding_box() == stage
    hit = opened.tab.locator(".picture .hit").first.bounding_box()
    assert hit["width"] / stage["width"] == pytest.approx(199 / 400, abs=0.01)
    opened.tab.keyboard.press("g")
    assert opened.count(".picture img.mask") == 1
    opened.tab.keyboard.press("j")
    assert opened.text(".objects .none") == "No such object."
    assert opened.problems == []
    opened.context.close()
