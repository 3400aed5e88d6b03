"""From records to files: the right ones, in the right place, or one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.street_frames import CAMERA, GREY, SIZE, objects

from g3d.data.types import ImageSource, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.visualize.draw import visualize_predictions


def prediction(sample: str = "000001", image: Path | None = None, expression: str | None = None) -> Prediction:
    found = objects(("Car", 0.9, (0, 1, 10), 0), ("Car", 0.1, (3, 1, 20), 0))
    source = ImageSource(None if image is None else str(image), SIZE, CAMERA)
    return Prediction(sample, source, (found,), expression)


def _with(prediction: Prediction, **change: Any) -> Prediction:
    """Return a prediction with another source."""
    return replace(prediction, source=replace(prediction.source, **change))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "street.png"
    Image.new("RGB", SIZE, GREY).save(path)
    return path


def test_a_picture_each_and_a_page(tmp_path: Path, image: Path) -> None:
    labels = {"000001": objects(("Car", None, (0, 1, 10), 0))}
    written = visualize_predictions([prediction(image=image), prediction("000002", image)], labels, tmp_path / "out")
    assert [path.name for path in written] == ["000001.png", "000002.png", "index.html"]
    assert all(path.is_file() for path in written)


def test_items_choose_and_order(tmp_path: Path, image: Path) -> None:
    everything = [prediction("000001", image), prediction("000002", image), prediction("000003", image)]
    written = visualize_predictions(everything, None, tmp_path / "out", ["000003", "000001"])
    assert [path.name for path in written] == ["000003.png", "000001.png", "index.html"]


def test_sentences_of_one_sample_get_a_picture_each(tmp_path: Path, image: Path) -> None:
    everything = [
        prediction(image=image, expression="the near car"),
        prediction(image=image, expression="the far car"),
        prediction("000002", image, "it"),
    ]
    written = visualize_predictions(everything, None, tmp_path / "out")
    assert [path.name for path in written] == ["000001-01.png", "000001-02.png", "000002.png", "index.html"]


def test_sample_ids_cannot_lead_out_of_the_folder(tmp_path: Path, image: Path) -> None:
    everything = [prediction("../seq/1", image), prediction("_seq_1", image), prediction("..", image)]
    written = visualize_predictions(everything, None, tmp_path / "out")
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert len({path.name for path in written}) == 4


def test_unsure_detections_are_left_out_of_pictures_only(tmp_path: Path, image: Path) -> None:
    first, page = visualize_predictions([prediction(image=image)], None, tmp_path / "a", min_score=0.5)
    second, _ = visualize_predictions([prediction(image=image)], None, tmp_path / "b", min_score=0.0)
    assert first.read_bytes() != second.read_bytes()
    assert page.read_text().count('"class":"Car"') == 2


def test_the_image_size_may_be_unknown(tmp_path: Path, image: Path) -> None:
    assert visualize_predictions([_with(prediction(image=image), size=None)], None, tmp_path / "out")


def test_missing_image_is_named_before_anything_is_written(tmp_path: Path, image: Path) -> None:
    with pytest.raises(MissingDataError, match=r"image of sample '000002': not found at .*images/gone\.png"):
        visualize_predictions(
            [prediction(image=image), prediction("000002", image.with_name("gone.png"))], None, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_unknown_item_is_named(tmp_path: Path, image: Path) -> None:
    with pytest.raises(MissingDataError, match="sample '00001': there is no prediction for it; did you mean '000001'"):
        visualize_predictions([prediction(image=image)], None, tmp_path / "out", ["00001"])


@pytest.mark.parametrize(("change", "message"), [({"camera": None}, "no camera"), ({"path": None}, "names no image")])
def test_records_that_cannot_be_drawn_are_named(tmp_path: Path, image: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"'000001': .*{message}"):
        visualize_predictions([_with(prediction(image=image), **change)], None, tmp_path / "out")


def test_no_predictions_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no predictions"):
        visualize_predictions([], None, tmp_path / "out")
