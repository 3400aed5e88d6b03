"""The page carries everything, embeds data safely, and stays within its bounds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.page_data import data_of, parse, picture
from support.street_frames import SIZE, frame, objects, write_page

from g3d.data.answers import CameraBoxes
from g3d.errors import InputError, MissingDataError
from g3d.metrics.table import Row, Table
from g3d.visualize.image_item import ImageItem

FOUND = objects(("Car", 0.9, (0, 1, 10), 0.5), ("Pedestrian", 0.2, (3, 1, 20), 0))
NASTY = "the car </script><script>alert(1)</script> <!-- & \"left\" 'van' {{title}} \\ \u2028 naïve 車"


def street(folder: Path, name: str = "000001", **changes: Any) -> ImageItem:
    return frame(folder, FOUND, objects(("Car", None, (0, 1, 10), 0.5)), name, **changes)


def test_data_reads_back_whatever_it_says(tmp_path: Path) -> None:
    table = Table(NASTY, (NASTY,), (Row(NASTY, (1.0,), NASTY),), notes=(NASTY,))
    path = write_page(tmp_path / "page.html", [street(tmp_path, expression=NASTY)], NASTY, table=table, notes=[NASTY])
    data = data_of(path)
    assert data["title"] == NASTY
    assert data["items"][0]["expression"] == NASTY
    assert data["table"]["rows"][0]["label"] == NASTY
    assert data["notes"] == [NASTY]
    tags = [tag for tag, _ in parse(path).tags]
    plain = [tag for tag, _ in parse(write_page(tmp_path / "plain.html", [street(tmp_path)], "plain")).tags]
    assert tags == plain  # no words became tags


def test_nothing_is_fetched(tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.html", [street(tmp_path)], "page")
    tags = parse(path)
    for tag, attributes in tags.tags:
        assert "src" not in attributes, tag
        assert "href" not in attributes, tag
        assert tag not in ("link", "iframe", "object", "base")
    three = (files("g3d.visualize") / "assets" / "three.bundle.min.js").read_text("utf-8")
    assert sum(text.strip() == three.strip() for text in tags.scripts) == 1
    own = "".join(text for text in tags.scripts if text.strip() != three.strip()).replace(
        "http://www.w3.org/2000/svg", ""
    )
    style = re.search(r"<style>(.*?)</style>", path.read_text(), re.S)
    assert style
    for text in (own, style[1]):
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    policy = next(
        a["content"] for tag, a in tags.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert "default-src 'none'" in policy


def test_boxes_are_given_as_pixels_and_metres(tmp_path: Path) -> None:
    (shown,) = data_of(write_page(tmp_path / "page.html", [street(tmp_path)], "page"))["items"]
    car, _ = shown["predictions"]
    assert (car["class"], car["score"], car["distance"]) == ("Car", 0.9, 10.0)
    assert len(car["edges"]) == len(car["hidden"]) == 12
    assert len(car["corners"]) == 8
    assert shown["ground"] == 1.0
    assert shown["camera"]["eye"] == [0, 0, 0]
    assert shown["camera"]["rays"][0] == [-200.5 / 200, -100.5 / 200, 1]
    assert "score" not in shown["truth"][0]


def test_objects_out_of_view_and_without_3d_box_are_kept_apart(tmp_path: Path) -> None:
    region = objects(("DontCare", None, (-1000, -1000, -1000), -10), size=(-1, -1, -1))
    behind = objects(("Car", 0.9, (0, 1, -10), 0))
    (shown,) = data_of(write_page(tmp_path / "page.html", [frame(tmp_path, behind, region)], "page"))["items"]
    assert shown["truth"] == []
    assert shown["predictions"][0]["edges"] == []
    assert shown["predictions"][0]["bounds"] is None
    assert len(shown["predictions"][0]["corners"]) == 8


def test_a_frame_where_nothing_was_found_is_shown(tmp_path: Path) -> None:
    (shown,) = data_of(write_page(tmp_path / "page.html", [frame(tmp_path, CameraBoxes.empty(scored=True))], "page"))[
        "items"
    ]
    assert shown["predictions"] == []
    assert shown["truth"] is None


def test_images_are_embedded_no_wider_than_asked(tmp_path: Path) -> None:
    data = data_of(write_page(tmp_path / "page.html", [street(tmp_path)], "page", max_width=100))
    (shown,) = data["items"]
    kind, image = picture(data, shown["image"])
    assert (kind, image.size) == ("image/jpeg", (100, 50))
    assert shown["size"] == list(SIZE)  # boxes stay in the original's pixels


def test_sentences_of_one_image_stand_together_and_share_its_picture(tmp_path: Path) -> None:
    near, other = street(tmp_path, expression="the near car"), street(tmp_path, "000002", expression="it")
    Image.new("RGB", SIZE, (10, 200, 10)).save(other.image)
    far = replace(near, name="000001-02", expression="the far car")
    data = data_of(write_page(tmp_path / "page.html", [near, other, far], "page"))
    assert [shown["name"] for shown in data["items"]] == ["000001", "000001-02", "000002"]
    assert [shown["image"] for shown in data["items"]] == [0, 0, 1]
    assert len(data["pictures"]) == 2


def test_maps_are_small_pictures_each_of_them_once(tmp_path: Path) -> None:
    depth = np.array([[0.0, 20], [40, 59]])
    first = replace(street(tmp_path, expression="a"), maps={"depth": depth, "region": np.eye(2)})
    second = replace(first, name="b", expression="b", maps={"depth": depth, "region": 1 - np.eye(2)})
    data = data_of(write_page(tmp_path / "page.html", [first, second, replace(first, name="c", maps=None)], "page"))
    maps = [shown["maps"] for shown in data["items"]]
    assert maps[0]["depth"] == maps[1]["depth"] == {"image": 1, "reach": 60}
    assert maps[0]["region"]["image"] != maps[1]["region"]["image"]
    assert maps[2] == {}
    assert len(data["pictures"]) == 4
    kind, shown = picture(data, 1)
    assert (kind, shown.size) == ("image/png", (2, 2))
    assert np.asarray(shown.convert("RGBA"))[..., 3].tolist() == [
        [0, 168],
        [168, 168],
    ]  # nothing is known where depth is 0
    assert data["maps"]["depth"]["colours"][0] == "#fde725"
    assert data["maps"]["depth"]["colours"][-1] == "#440154"


def test_an_answer_is_measured_against_its_label(tmp_path: Path) -> None:
    truth = objects(("car", None, (0, 1, 10), 0))
    for found, expected in (
        (objects(("car", 0.9, (0, 1, 10), 0)), 1),
        (objects(("car", 0.9, (2, 1, 10), 0)), 1 / 3),
        (FOUND[:0], None),
    ):
        (shown,) = data_of(
            write_page(tmp_path / "page.html", [frame(tmp_path, found, truth, expression="the car")], "page")
        )["items"]
        assert shown["iou"] == pytest.approx(expected, abs=1e-3)
    (shown,) = data_of(write_page(tmp_path / "page.html", [street(tmp_path)], "page"))["items"]
    assert shown["iou"] is None


def test_frames_beyond_the_bound_are_left_out_and_the_page_says_so(tmp_path: Path) -> None:
    frames = [street(tmp_path, f"{k:06d}") for k in range(5)]
    for k, each in enumerate(frames):
        Image.new("RGB", SIZE, (40 * k, 90, 90)).save(each.image)
    alone = data_of(write_page(tmp_path / "one.html", frames[:1], "page"))
    one = len(json.dumps([alone["items"][0], alone["pictures"]]))
    data = data_of(write_page(tmp_path / "page.html", frames, "page", max_megabytes=2.5 * one / 1e6))
    assert [shown["name"] for shown in data["items"]] == ["000000", "000001"]
    assert len(data["pictures"]) == 2
    assert data["notes"][0].startswith("3 of 5 frames were left out")
    tiny = data_of(write_page(tmp_path / "page.html", frames, "page", max_megabytes=0.0001))
    assert len(tiny["items"]) == 1


def test_figures_stand_beside_the_comparison(tmp_path: Path) -> None:
    table = Table(
        "AP", ("Easy", "Hard"), (Row("3D", (50.0, None), "Car"), Row("BEV", (60.0, float("nan")), "Car")), {"a": 50.0}
    )
    untrained = Table("AP", ("Easy", "Hard"), (Row("3D", (1.0, 0.5), "Car"),))
    path = write_page(tmp_path / "p.html", [street(tmp_path)], "page", table=table, comparison=("untrained", untrained))
    shown = data_of(path)["table"]
    assert shown["rows"][0]["lines"] == [
        {"name": "measured", "values": [50.0, None]},
        {"name": "untrained", "values": [1.0, 0.5]},
    ]
    assert shown["rows"][1]["lines"] == [{"name": "measured", "values": [60.0, None]}]
    other = ("other", Table("x", ("A",), ()))
    with pytest.raises(InputError, match="found columns"):
        write_page(tmp_path / "p.html", [street(tmp_path)], "page", table=table, comparison=other)


def test_bad_input_is_named_and_leaves_the_old_page(tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.html", [street(tmp_path)], "old")
    with pytest.raises(InputError, match="no frames"):
        write_page(path, [], "new")
    with pytest.raises(InputError, match="two frames are called '000001'"):
        write_page(path, [street(tmp_path), street(tmp_path)], "new")
    gone = street(tmp_path, "000002")
    gone.image.unlink()
    with pytest.raises(MissingDataError, match=r"000002\.png: no such file"):
        write_page(path, [street(tmp_path), gone], "new")
    assert data_of(path)["title"] == "old"


def test_a_page_of_one_frame_stays_small(tmp_path: Path) -> None:
    assert write_page(tmp_path / "page.html", [street(tmp_path)], "page").stat().st_size < 800_000
