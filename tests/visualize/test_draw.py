"""From records to files: the right ones, in the right place, or one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.street_frames import CAMERA, GREY, SIZE, objects

from g3d.data.types import Prediction
from g3d.errors import InputError, MissingDataError
from g3d.visualize.draw import visualize_predictions


def prediction(sample: str = "000001", image: str | None = "street.png", expression: str | None = None) -> Prediction:
    found = objects(("Car", 0.9, (0, 1, 10), 0), ("Car", 0.1, (3, 1, 20), 0))
    return Prediction(sample, found, expression, image, SIZE, CAMERA)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", SIZE, GREY).save(folder / "street.png")
    return folder


def test_a_picture_each_and_a_page(tmp_path: Path, images: Path) -> None:
    labels = {"000001": objects(("Car", None, (0, 1, 10), 0))}
    written = visualize_predictions([prediction(), prediction("000002")], labels, tmp_path / "out", image_root=images)
    assert [path.name for path in written] == ["000001.png", "000002.png", "index.html"]
    assert all(path.is_file() for path in written)


def test_items_choose_and_order(tmp_path: Path, images: Path) -> None:
    everything = [prediction("000001"), prediction("000002"), prediction("000003")]
    written = visualize_predictions(everything, None, tmp_path / "out", ["000003", "000001"], images)
    assert [path.name for path in written] == ["000003.png", "000001.png", "index.html"]


def test_sentences_of_one_sample_get_a_picture_each(tmp_path: Path, images: Path) -> None:
    everything = [
        prediction(expression="the near car"),
        prediction(expression="the far car"),
        prediction("000002", expression="it"),
    ]
    written = visualize_predictions(everything, None, tmp_path / "out", image_root=images)
    assert [path.name for path in written] == ["000001-01.png", "000001-02.png", "000002.png", "index.html"]


def test_sample_ids_cannot_lead_out_of_the_folder(tmp_path: Path, images: Path) -> None:
    everything = [prediction("../seq/1"), prediction("_seq_1"), prediction("..")]
    written = visualize_predictions(everything, None, tmp_path / "out", image_root=images)
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert len({path.name for path in written}) == 4


def test_unsure_detections_are_left_out_of_pictures_only(tmp_path: Path, images: Path) -> None:
    first, page = visualize_predictions([prediction()], None, tmp_path / "a", image_root=images, min_score=0.5)
    second, _ = visualize_predictions([prediction()], None, tmp_path / "b", image_root=images, min_score=0.0)
    assert first.read_bytes() != second.read_bytes()
    assert page.read_text().count('"class":"Car"') == 2


def test_images_are_found_under_the_root_by_path_or_by_name(tmp_path: Path, images: Path) -> None:
    assert visualize_predictions([prediction(image="elsewhere/street.png")], None, tmp_path / "out", image_root=images)
    assert visualize_predictions([prediction(image=str(images / "street.png"))], None, tmp_path / "out")


def test_the_image_size_may_be_unknown(tmp_path: Path, images: Path) -> None:
    assert visualize_predictions([replace(prediction(), image_size=None)], None, tmp_path / "out", image_root=images)


def test_missing_image_is_named_before_anything_is_written(tmp_path: Path, images: Path) -> None:
    with pytest.raises(MissingDataError, match=r"image of sample '000002': not found at .*images/gone\.png"):
        visualize_predictions(
            [prediction(), prediction("000002", "gone.png")], None, tmp_path / "out", image_root=images
        )
    assert not (tmp_path / "out").exists()


def test_unknown_item_is_named(tmp_path: Path, images: Path) -> None:
    with pytest.raises(MissingDataError, match="sample '00001': there is no prediction for it\nDid you mean 000001"):
        visualize_predictions([prediction()], None, tmp_path / "out", ["00001"], images)


@pytest.mark.parametrize(("change", "message"), [({"camera": None}, "no camera"), ({"image": None}, "names no image")])
def test_records_that_cannot_be_drawn_are_named(tmp_path: Path, images: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"'000001': .*{message}"):
        visualize_predictions([replace(prediction(), **change)], None, tmp_path / "out", image_root=images)


def test_no_predictions_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no predictions"):
        visualize_predictions([], None, tmp_path / "out")
