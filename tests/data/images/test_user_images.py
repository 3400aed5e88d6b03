"""A user's own images: one sample per sentence, a picture read and kept once, and a camera however it is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g3d.data.images.user_images import UserImages
from g3d.data.request import InferRequest
from g3d.data.types import ImageBatch
from g3d.errors import InputError, MissingDataError
from g3d.systems.base import grouped

SIZE, RESOLUTION = (200, 100), (96, 64)
P2 = "P2: 150 0 {u} 4.5 0 150 {v} 0.2 0 0 1 0.003\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures and their calibrations."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for shade, name in ((50, "a"), (200, "b")):
        Image.new("RGB", SIZE, (shade, 0, 0)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(P2.format(u=90 + shade / 10, v=50))
    return folder


def test_each_sentence_is_asked_about_each_image(photos: Path) -> None:
    samples = UserImages(InferRequest((photos,), focal=150, expressions=("the car", "the van")), RESOLUTION)
    assert samples.ids == ["a-01", "a-02", "b-01", "b-02"]
    made = [sample for unit in grouped(samples, range(len(samples))) for sample in samples.read(unit, None)]
    assert [(s.id, s.expression, Path(s.source.path or "").name) for s in made] == [
        ("a-01", "the car", "a.png"),
        ("a-02", "the van", "a.png"),
        ("b-01", "the car", "b.png"),
        ("b-02", "the van", "b.png"),
    ]


def test_sentences_about_one_image_share_its_pixels(photos: Path) -> None:
    samples = UserImages(InferRequest((photos,), focal=150, expressions=("the car", "the van", "the bus")), RESOLUTION)
    batch = ImageBatch.of_groups([samples.read(unit, None) for unit in grouped(samples, range(5))])
    assert batch.images.shape == (2, 3, 64, 96)
    assert batch.image_of is not None
    assert batch.image_of.tolist() == [0, 0, 0, 1, 1]


def test_without_sentences_a_sample_is_called_as_its_image(photos: Path) -> None:
    samples = UserImages(InferRequest((photos / "b.png", photos / "a.png"), focal=150), RESOLUTION)
    assert samples.ids == ["b", "a"]
    assert samples.read([0], None)[0].expression is None
    assert UserImages(InferRequest((photos / "a.png",), focal=150, expressions=("it",)), RESOLUTION).ids == ["a"]


def test_the_image_fills_the_width_of_the_networks_input(photos: Path) -> None:
    sample = UserImages(InferRequest((photos / "a.png",), focal=150), RESOLUTION).read([0], None)[0]
    assert np.allclose(sample.transform, [[0.48, 0, 0], [0, 0.48, 8]])
    assert sample.source.size == SIZE
    assert sample.image[0, 32].min() == 50
    assert sample.image[0, :7].max() == 0  # black above and below


def test_the_camera_comes_from_a_file_a_folder_a_focal_length_or_a_field_of_view(photos: Path) -> None:
    def camera(name: str = "b", **known: object) -> np.ndarray:
        return UserImages(InferRequest((photos / f"{name}.png",), **known), RESOLUTION).read([0], None)[0].source.camera  # type: ignore[arg-type]

    assert camera(calibration=photos)[0, 2] == 110
    assert camera("a", calibration=photos)[0, 2] == 95
    assert camera(calibration=photos / "a.txt")[0, 3] == 4.5
    assert np.allclose(camera(focal=321.5), np.array([[321.5, 0, 100, 0], [0, 321.5, 50, 0], [0, 0, 1, 0]]))
    assert camera(field_of_view=90.0)[0, 0] == pytest.approx(100)
    assert camera(field_of_view=2 * math.degrees(math.atan(100 / 700)))[1, 1] == pytest.approx(700)


def test_a_calibration_of_another_image_is_refused(photos: Path) -> None:
    (photos / "a.txt").write_text(P2.format(u=609.5, v=172.9))
    with pytest.raises(
        InputError, match=r"a\.txt: principal point \(609\.5, 172\.9\) lies outside the image of 200 x 100"
    ):
        UserImages(InferRequest((photos,), calibration=photos), RESOLUTION).read([0], None)[0]
    (photos / "b.txt").unlink()
    with pytest.raises(MissingDataError, match=r"b\.txt: no such file"):
        UserImages(InferRequest((photos / "b.png",), calibration=photos), RESOLUTION).read([0], None)[0]


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"focal": 700.0, "field_of_view": 80.0}, "either --calib or --focal or --fov"),
        ({"focal": -1.0}, "--focal -1"),
        ({"focal": math.nan}, "--focal nan"),
        ({"field_of_view": 0.0}, "--fov 0"),
        ({"field_of_view": 180.0}, "--fov 180"),
        ({"field_of_view": math.nan}, "--fov nan"),
        ({"focal": 700.0, "expressions": ("the car", " \t")}, "sentence 2 of 2 is empty"),
    ],
)
def test_requests_that_cannot_be_are_refused(known: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        InferRequest((Path("a.png"),), **known)


def test_images_that_are_not_there_or_share_a_name_are_refused(photos: Path, tmp_path: Path) -> None:
    for given, error, says in (
        ((tmp_path / "gone.png",), MissingDataError, "no such file or folder"),
        ((tmp_path / "empty",), MissingDataError, "no .png, .jpg, .jpeg file"),
        ((photos, photos / "a.png"), InputError, "several images are called 'a'"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(error, match=says):
            UserImages(InferRequest(given, focal=1.0), RESOLUTION)


def test_without_a_camera_an_image_is_refused(photos: Path) -> None:
    with pytest.raises(InputError, match="either --calib or --focal or --fov"):
        UserImages(InferRequest((photos / "a.png",)), RESOLUTION).read([0], None)
