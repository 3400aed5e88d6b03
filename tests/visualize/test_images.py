"""Images with 2D boxes and masks: in pictures and in the page, with and without a camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.page_data import data_of, picture
from support.street_frames import CAMERA, GREY, SIZE, objects

from g3d.data.answers import Answer, CameraBoxes, ImageBoxes, PixelMask, PointMask, SceneBoxes
from g3d.data.types import ImageSource, Prediction, SceneSource
from g3d.errors import InputError
from g3d.visualize.draw import visualize_predictions
from g3d.visualize.image_item import ImageItem
from g3d.visualize.overlay import NOTHING, draw_overlay, render_image
from g3d.visualize.palette import class_colour, rgba
from g3d.visualize.pixel_masks import mask_bounds, mask_picture

BOXES = ImageBoxes(
    np.array(["car", "car"]), np.array([[40.0, 50, 140, 120], [200, 50, 300, 120]]), np.array([0.8, 0.2])
)


def block(x1: int, x2: int, score: float | None = 0.9) -> PixelMask:
    """Return a mask of the columns x1 to x2 (exclusive) in rows 60 to 100."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[60:100, x1:x2] = True
    return PixelMask(mask, score)


@pytest.fixture
def source(tmp_path: Path) -> ImageSource:
    Image.new("RGB", SIZE, GREY).save(tmp_path / "street.png")
    return ImageSource(str(tmp_path / "street.png"))


def asked(source: ImageSource, *answers: Answer, sample: str = "a", sentence: str = "the car") -> Prediction:
    return Prediction(sample, source, answers, sentence)


def item(source: ImageSource, **changes: object) -> ImageItem:
    assert source.path is not None
    return replace(
        ImageItem("a", Path(source.path), None, SIZE, CameraBoxes.empty(True), expression="the car"), **changes
    )


def test_2d_boxes_are_drawn_without_a_camera(source: ImageSource) -> None:
    pixels = np.asarray(draw_overlay(item(source, boxes=BOXES), labels=False), int)
    colour = np.array(rgba(class_colour("car"))[:3])
    for column in (40, 140, 200, 300):
        assert np.abs(pixels[85, column] - colour).max() < 40
    assert tuple(pixels[85, 90]) == GREY
    assert render_image(item(source, boxes=BOXES)).width == SIZE[0]


def test_a_mask_tints_its_inside_and_outlines_it(source: ImageSource) -> None:
    pixels = np.asarray(draw_overlay(item(source, masks=(replace(block(100, 180), name="car"),)), labels=False), int)
    colour = np.array(rgba(class_colour("car"))[:3])
    assert tuple(pixels[80, 90]) == GREY
    assert np.abs(pixels[80, 100] - colour).max() <= 1
    inside = (96 * colour + 159 * np.array(GREY)) / 255
    assert np.abs(pixels[80, 140] - inside).max() <= 2


def test_a_labelled_mask_is_dashed_and_can_be_left_out(source: ImageSource) -> None:
    shown = item(source, true_mask=block(100, 180, None), answered=False)
    column = np.asarray(draw_overlay(shown, labels=False), int)[62:98, 100]
    assert {tuple(pixel) for pixel in column} > {(255, 255, 255)}
    assert (np.asarray(draw_overlay(shown, truth=False)) == GREY).all()


def test_masks_shrink_with_their_picture() -> None:
    small = np.asarray(mask_picture(block(100, 180).mask, "#ff0000", (200, 100), label=False))
    assert small.shape == (100, 200)
    assert mask_bounds(small > 0).tolist() == [50, 30, 89, 49]
    assert set(np.unique(small)) == {0, 1, 2}


def test_an_empty_answer_is_written_above_the_picture(source: ImageSource) -> None:
    nothing, something = item(source, masks=(block(5, 5),)), item(source, masks=(block(5, 50),))
    assert (nothing.finds_nothing, something.finds_nothing) == (True, False)
    assert not replace(nothing, answered=False).finds_nothing
    assert render_image(nothing).height > render_image(something).height
    assert "no such object" in NOTHING


def test_the_page_has_boxes_masks_and_verdicts(tmp_path: Path, source: ImageSource) -> None:
    predictions = [
        asked(source, BOXES, block(100, 180), sample="a"),
        asked(source, block(100, 140), sample="b"),
        asked(source, PixelMask(np.zeros(SIZE[::-1], bool), 0.7), sample="c"),
        asked(source, BOXES, sample="d"),
    ]
    truth: dict[str, Answer] = {name: block(120, 200, None) for name in "abc"}
    truth["d"] = ImageBoxes(np.array(["car"]), np.array([[40.0, 50, 140, 120]]))
    written = visualize_predictions(predictions, truth, tmp_path / "out")
    assert [path.name for path in written] == ["a.png", "b.png", "c.png", "d.png", "index.html"]
    data = data_of(written[-1])
    a, b, c, d = data["items"]
    assert (a["iou"], a["right"], a["measure"]) == (0.6, True, "mask IoU")
    assert (b["iou"], b["right"]) == (pytest.approx(20 / 100), False)
    assert (c["iou"], c["right"], c["predictions"]) == (None, False, [])
    assert (d["iou"], d["right"], d["measure"]) == (1.0, True, "2D IoU")
    assert [thing.get("flat", False) for thing in a["predictions"]] == [True, True, False]
    assert a["camera"] is None
    kind, mask = picture(data, a["predictions"][2]["mask"])
    assert (kind, mask.size) == ("image/png", SIZE)
    assert (np.asarray(mask.convert("RGBA"))[..., 3] > 0).sum() == a["predictions"][2]["pixels"] == 80 * 40


def test_unsure_boxes_are_left_out_of_pictures_but_the_best_answer_is_not(tmp_path: Path, source: ImageSource) -> None:
    def drawn(min_score: float) -> bytes:
        out = tmp_path / f"{min_score}"
        return visualize_predictions([asked(source, BOXES)], None, out, min_score=min_score)[0].read_bytes()

    assert drawn(0.1) != drawn(0.5)
    assert drawn(0.5) == drawn(0.99)


def test_labels_with_3d_boxes_are_drawn_in_2d_without_a_camera(tmp_path: Path, source: ImageSource) -> None:
    truth = {"a": objects(("Car", None, (0, 1, 10), 0))}
    page = visualize_predictions([asked(source, BOXES)], truth, tmp_path / "out")[-1]
    (label,) = data_of(page)["items"][0]["truth"]
    assert label["flat"]
    assert label["box2d"] == [10, 20, 110, 90]
    page = visualize_predictions([asked(replace(source, camera=CAMERA), BOXES)], truth, tmp_path / "out")[-1]
    (label,) = data_of(page)["items"][0]["truth"]
    assert len(label["corners"]) == 8


def test_what_is_not_about_one_kind_of_source_is_refused(tmp_path: Path, source: ImageSource) -> None:
    scene = Prediction("s", SceneSource(str(tmp_path), "s"), ())
    with pytest.raises(InputError, match=r"found predictions about images \(1\) and scenes \(1\), expected one kind"):
        visualize_predictions([asked(source), scene], None, tmp_path / "out")
    with pytest.raises(InputError, match="prediction for 'a': found point_mask about an image"):
        visualize_predictions([asked(source, PointMask(np.ones(2, bool), 1.0))], None, tmp_path / "out")
    label = SceneBoxes(np.zeros(0, str), np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(InputError, match="label of sample 'a': found scene_boxes about an image"):
        visualize_predictions([asked(source)], {"a": label}, tmp_path / "out")
    with pytest.raises(InputError, match="format glb: found predictions about images, expected scenes"):
        visualize_predictions([asked(source)], None, tmp_path / "out", formats=("html", "glb"))
    with pytest.raises(InputError, match="a: found a mask of 3x2 pixels, expected 400x200"):
        visualize_predictions([asked(source, PixelMask(np.ones((2, 3), bool), 1.0))], None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
