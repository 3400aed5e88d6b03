"""Pictures: boxes at the right pixels in the right colours, nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.street_frames import GREY, SIZE, frame, objects

from g3d.data.answers import CameraBoxes
from g3d.errors import InputError, MissingDataError
from g3d.visualize.birds_eye import View, birds_eye
from g3d.visualize.overlay import draw_overlay, label_text, render_image, render_image_png
from g3d.visualize.palette import class_colour, rgba

CAR = np.array(rgba(class_colour("Car"))[:3])
NOTHING = CameraBoxes.empty(scored=True)


def near(picture: Image.Image, at: tuple[float, float], colour: np.ndarray, reach: int = 1) -> bool:
    """Whether a pixel within `reach` of `at` has about the colour."""
    x, y = round(at[0]), round(at[1])
    patch = np.asarray(picture, int)[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return bool((np.abs(patch - colour).max(-1) <= 40).any())


def same_as_image(picture: Image.Image) -> bool:
    return bool((np.asarray(picture) == GREY).all())


def test_corners_are_drawn_where_they_project(tmp_path: Path) -> None:
    # 2 x 2 x 4 m box, bottom 1 m below the camera, its near side 9 m ahead: corners at 200 +- 200 * 2 / 9 and 100 +-
    # 200 / 9
    picture = draw_overlay(frame(tmp_path, objects(("Car", 0.9, (0, 1, 10), 0))), labels=False)
    for x in (200 - 400 / 9, 200 + 400 / 9):
        for y in (100 - 200 / 9, 100 + 200 / 9):
            assert near(picture, (x, y), CAR)
    assert not near(picture, (200 + 400 / 9 + 6, 100), CAR)
    assert picture.size == SIZE


def test_the_front_face_is_tinted_and_the_back_is_not(tmp_path: Path) -> None:
    ahead = draw_overlay(frame(tmp_path, objects(("Car", 0.9, (0, 1, 10), -np.pi / 2))), labels=False)  # drives away
    coming = draw_overlay(frame(tmp_path, objects(("Car", 0.9, (0, 1, 10), np.pi / 2))), labels=False)
    row, column = 100, 220  # inside the near face's outline (200 + 200 / 8), outside the far one's (200 + 200 / 12)
    assert ahead.getpixel((column, row)) == GREY
    assert coming.getpixel((column, row)) != GREY


@pytest.mark.parametrize("location", [(0, 1, -10), (60, 1, 10)])
def test_what_cannot_be_seen_leaves_the_image_as_it_is(tmp_path: Path, location: tuple[float, float, float]) -> None:
    assert same_as_image(
        draw_overlay(frame(tmp_path, objects(("Car", 0.9, location, 0)), objects(("Car", None, location, 0))))
    )


def test_a_box_partly_behind_the_camera_is_cut(tmp_path: Path) -> None:
    # length from 1 m behind to 3 m ahead, 1 to 3 m to the right: only the far end is in the image, its corner at 200 +
    # 200 / 3
    picture = draw_overlay(frame(tmp_path, objects(("Car", 0.9, (2, 1, 1), np.pi / 2))), labels=False)
    assert near(picture, (200 + 200 / 3, 100 + 200 / 3), CAR)
    assert (np.asarray(picture)[:, : 200 + 60] == GREY).all()


def test_ground_truth_is_white_and_can_be_left_out(tmp_path: Path) -> None:
    both = frame(tmp_path, NOTHING, objects(("Car", None, (0, 1, 10), 0)))
    corner = (200 - 400 / 9, 100 - 200 / 9)
    assert near(draw_overlay(both), corner, np.array([255, 255, 255]), reach=4)
    assert same_as_image(draw_overlay(both, truth=False))


def test_ground_truth_alone_is_labelled(tmp_path: Path) -> None:
    truth = objects(("Car", None, (0, 1, 10), 0))

    def labels_change(found: CameraBoxes) -> bool:
        scene = frame(tmp_path, found, truth)
        return draw_overlay(scene).tobytes() != draw_overlay(scene, labels=False).tobytes()

    assert labels_change(NOTHING)
    assert not labels_change(objects(("Car", 0.9, (0, 1, -10), 0)))


def test_2d_boxes_are_drawn_on_request(tmp_path: Path) -> None:
    only2d = frame(tmp_path, objects(("Car", 0.9, (0, 1, -10), 0)))
    assert near(draw_overlay(only2d, boxes2d=True), (10, 20), CAR)


def test_labels_say_class_score_and_distance() -> None:
    assert label_text(objects(("Car", 0.934, (3, 1, 4), 0)), 0) == "Car  0.93  5 m"
    assert label_text(objects(("Van", None, (0, 1, 20), 0)), 0) == "Van  20 m"


def test_labels_of_neighbours_do_not_cover_each_other(tmp_path: Path) -> None:
    def label_pixels(*depths: float) -> int:
        boxes = objects(*[("Car", 0.9, (0, 1, z), 0) for z in depths])
        with_labels, without = (
            np.asarray(draw_overlay(frame(tmp_path, boxes), labels=on), int) for on in (True, False)
        )
        return int(((np.abs(with_labels - CAR).max(-1) < 40) & (np.abs(without - CAR).max(-1) >= 40)).sum())

    assert label_pixels(20, 20.1) > 1.7 * label_pixels(20)


def test_nothing_found_is_a_picture_too(tmp_path: Path) -> None:
    assert same_as_image(draw_overlay(frame(tmp_path, NOTHING)))
    assert render_image(frame(tmp_path, NOTHING, NOTHING)).width == SIZE[0]


def test_wide_images_get_the_birds_eye_view_below_and_others_beside(tmp_path: Path) -> None:
    wide = frame(tmp_path, NOTHING)
    assert render_image(wide).width == SIZE[0]
    Image.new("RGB", (300, 300)).save(tmp_path / "square.png")
    square = type(wide)("square", tmp_path / "square.png", wide.camera, (300, 300), NOTHING)
    assert render_image(square).height == 300


def test_birds_eye_footprint_lies_at_its_metres(tmp_path: Path) -> None:
    size = (400, 340)
    picture = birds_eye(frame(tmp_path, objects(("Car", 0.9, (5, 1, 20), 0))), size, reach=30)
    view = View.fit(size, 30)
    assert view.scale == 10
    assert near(picture, tuple(view.pixels(np.array([7.0, 20.0]))), CAR)  # the front, 2 m towards +x
    assert near(picture, tuple(view.pixels(np.array([3.0, 21.0]))), CAR)  # a rear corner
    assert not near(picture, tuple(view.pixels(np.array([-5.0, 20.0]))), CAR, reach=15)


def test_birds_eye_reaches_as_far_as_the_objects(tmp_path: Path) -> None:
    size, white = (400, 416), np.array([255, 255, 255])
    found, labelled = objects(("Car", 0.9, (0, 1, 20), 0)), objects(("Car", None, (0, 1, 94), 0))
    at = tuple(View.fit(size, 100).pixels(np.array([2.0, 94.0])))
    assert near(birds_eye(frame(tmp_path, found, labelled), size), at, white, reach=3)
    assert near(birds_eye(frame(tmp_path, found), size), tuple(View.fit(size, 30).pixels(np.array([2.0, 20.0]))), CAR)


def test_class_colours_are_fixed_and_differ() -> None:
    names = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
    assert len({class_colour(name) for name in names}) == len(names)
    assert class_colour("Excavator") == class_colour("Excavator")
    assert class_colour("") in {class_colour(name) for name in names}


def test_png_is_written_whole(tmp_path: Path) -> None:
    path = render_image_png(
        frame(tmp_path, objects(("Car", 0.9, (0, 1, 10), 0)), expression="the car ahead"), tmp_path / "deep" / "a.png"
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width == SIZE[0]
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_missing_broken_and_wrong_images_are_named(tmp_path: Path) -> None:
    scene = frame(tmp_path, NOTHING)
    Image.new("RGB", (10, 10)).save(scene.image)
    with pytest.raises(InputError, match=r"000001\.png: found 10x10 pixels, expected 400x200"):
        draw_overlay(scene)
    scene.image.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"000001\.png: found data of no known image format"):
        draw_overlay(scene)
    Image.effect_noise(SIZE, 90).save(scene.image)
    scene.image.write_bytes(scene.image.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"000001\.png: "):
        draw_overlay(scene)
    scene.image.unlink()
    with pytest.raises(MissingDataError, match=r"000001\.png: no such file"):
        draw_overlay(scene)
