"""Maps and sentences in pictures: values become the right colours, words fit and cover nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.street_frames import GREY, SIZE, frame, objects

from g3d.visualize.canvas import text_size
from g3d.visualize.caption import caption_band, wrapped
from g3d.visualize.image_item import ImageItem
from g3d.visualize.maps import KINDS, LEVELS, map_levels, map_picture, render_map, render_map_png
from g3d.visualize.overlay import draw_overlay, render_image
from g3d.visualize.palette import class_colour, viridis

WORDS = " ".join(["the white van that is parked on the left side of the road about twenty metres away"] * 4)
FOUND = objects(("car", 0.9, (0, 1, 10), 0))


def seen(folder: Path, expression: str | None = None, **maps: np.ndarray) -> ImageItem:
    return replace(frame(folder, FOUND[:0], expression=expression), maps=maps)


def test_a_sentence_stands_above_the_picture_and_covers_nothing(tmp_path: Path) -> None:
    plain, asked = (render_image(frame(tmp_path, FOUND, expression=words), boxes2d=True) for words in (None, WORDS))
    assert asked.width == plain.width == SIZE[0]
    band = asked.height - plain.height
    assert band > 0
    assert asked.crop((0, band, *asked.size)).tobytes() == plain.tobytes()


@pytest.mark.parametrize("width", [200, 400, 1242])
def test_sixty_words_fit_any_width(width: int) -> None:
    size = 17 if width >= 700 else 14
    lines = wrapped(WORDS, size, width - 28)
    assert " ".join(lines) == WORDS
    assert max(text_size(line, size)[0] for line in lines) <= width - 28
    band = np.asarray(caption_band(WORDS, width), int)
    assert band.shape[1] == width
    assert (band[:, :8] == band[0, 0]).all()
    assert (band[:, -8:] == band[0, 0]).all()
    assert (band[[0, 1, 2, -3, -2, -1]] == band[0, 0]).all()


def test_a_word_that_is_too_wide_is_cut() -> None:
    lines = wrapped("a " + 40 * "w" + " b", 14, 100)
    assert "".join(lines).replace(" ", "") == "a" + 40 * "w" + "b"
    assert max(text_size(line, 14)[0] for line in lines) <= 100
    assert wrapped("", 14, 100) == []


def test_2d_boxes_are_always_drawn_for_sentences(tmp_path: Path) -> None:
    without, asked = (
        np.asarray(draw_overlay(frame(tmp_path, FOUND, expression=words), labels=False)) for words in (None, "the car")
    )
    assert tuple(without[20, 60]) == GREY
    assert (np.asarray(asked)[20, 11:109] != GREY).any()  # objects() puts 2D boxes at 10 20 110 90


def test_classes_in_lower_case_have_the_colours_of_those_in_capitals() -> None:
    names = ("pedestrian", "car", "cyclist", "van", "truck", "tram", "bus", "person_sitting", "motorcyclist")
    assert len({class_colour(name) for name in names}) == len(names)
    for name in names:
        assert class_colour(name) == class_colour(name.capitalize())


def test_depth_goes_from_yellow_to_violet_and_nothing_has_no_colour() -> None:
    levels, reach = map_levels("depth", np.array([[0.0, 0.1], [22.0, 44.0], [50.0, 50.0]]))
    assert reach == 50
    assert levels.tolist() == [[LEVELS, 0], [56, 112], [LEVELS - 1, LEVELS - 1]]
    pixels = np.asarray(map_picture("depth", levels).convert("RGBA"))
    assert pixels[0, 0, 3] == 0
    assert pixels[0, 1].tolist() == [0xFD, 0xE7, 0x25, 168]
    assert pixels[2, 0].tolist() == [0x44, 0x01, 0x54, 168]
    assert map_levels("depth", np.zeros((2, 2)))[1] == 10


def test_lightness_of_the_depth_scale_rises_evenly() -> None:
    lightness = viridis(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_a_region_stays_bright_and_the_rest_is_veiled(tmp_path: Path) -> None:
    region = np.zeros((10, 20))
    region[:, 10:] = 1.5  # beyond 1 is 1
    picture = np.asarray(render_map(seen(tmp_path, region=region), "region"), int)
    left, right = picture[100, 50], picture[100, 350]
    assert left.sum() < 0.5 * sum(GREY)
    assert right.sum() > 0.9 * sum(GREY)


def test_a_map_covers_the_whole_image_at_any_resolution(tmp_path: Path) -> None:
    depth = np.full((3, 7), 5.0)
    picture = render_map(seen(tmp_path, depth=depth), "depth")
    for corner in ((0, 0), (399, 0), (0, 199), (399, 199)):
        assert picture.getpixel(corner) == picture.getpixel((200, 100))
    assert picture.getpixel((0, 0)) != GREY


def test_a_map_shows_sentence_boxes_and_legend(tmp_path: Path) -> None:
    scene = replace(seen(tmp_path, "the car", depth=np.full((4, 8), 5.0)), predictions=FOUND)
    picture = render_map(scene, "depth")
    bare = render_map(replace(scene, expression=None, predictions=FOUND[:0]), "depth")
    assert picture.height > bare.height > SIZE[1]
    low = np.asarray(bare)[SIZE[1] + 18, 14:]
    high = KINDS["depth"].colours[-1, :3]
    assert (np.abs(low.astype(int) - high).max(-1) < 12).any()


@pytest.mark.parametrize("width", [40, 120])
def test_small_images_have_maps_too(tmp_path: Path, width: int) -> None:
    scene = seen(tmp_path, depth=np.full((2, 2), 5.0))
    Image.new("RGB", (width, 30)).save(scene.image)
    path = render_map_png(replace(scene, image_size=(width, 30)), "depth", tmp_path / "deep" / "map.png")
    with Image.open(path) as picture:
        assert picture.width == width
