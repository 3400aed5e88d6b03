"""Images are read as RGB with one clear line for every mistake; warping is Pillow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from g3d.data.images.image import affine_from_crop, image_size, invert_affine, read_image, warp_depth, warp_image
from g3d.data.kitti.object_depth import DepthRectangles, depth_rectangles, paint, paint_warped
from g3d.data.types import CameraBoxes
from g3d.errors import InputError, MissingDataError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "P", "L", "RGBA", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture = (
        Image.fromarray(PIXELS.astype(np.uint16)[..., 0]) if mode == "I;16" else Image.fromarray(PIXELS).convert(mode)
    )
    picture.save(path)
    pixels = read_image(path)
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(pixels, PIXELS)


def test_16_bits_a_pixel_keep_their_brightness(tmp_path: Path) -> None:
    grey = PIXELS[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path, exif=exif)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[1::-1]


def test_damaged_exif_data_is_passed_over(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png", exif=b"Exif\0\0no header")
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), PIXELS)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"image .*none\.png: no such file"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "an empty file"), (b"hello, I am text", "data of no known image format")]
)
def test_what_is_no_image(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=f"found {said}, expected a PNG or JPEG image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_warp_samples_between_pixel_centres_and_is_black_outside() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    warped = warp_image(image, affine_from_crop(np.array([1.0, 1.0]), 4.0, (8, 8)), (8, 8))
    assert warped[3, :, 0].tolist() == [0, 0, 0, 25, 75, 100, 0, 0]


def rectangles(count: int, seed: int) -> DepthRectangles:
    rng = np.random.default_rng(seed)
    low, span = rng.integers(-5, 40, (count, 2)), rng.integers(1, 30, (count, 2))
    return DepthRectangles(
        np.concatenate([low, low + span], 1), -np.sort(-rng.uniform(2, 60, count)).astype(np.float32)
    )


@pytest.mark.parametrize("seed", range(8))
def test_painting_in_the_networks_frame_equals_warping_the_painted_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, size, flip = rectangles(6, seed), (50, 37), bool(seed % 2)
    transform = affine_from_crop(rng.uniform(10, 30, 2), rng.uniform(20, 90), (64, 32))
    inverse = invert_affine(transform)
    whole = paint(boxes, size)
    expected = warp_depth(np.ascontiguousarray(whole[:, ::-1]) if flip else whole, transform, (64, 32))
    np.testing.assert_array_equal(paint_warped(boxes, size, flip, inverse, (64, 32)), expected)


def test_nearer_objects_are_in_front_and_edges_round_half_to_even() -> None:
    count = 3
    objects = CameraBoxes(
        np.array(["Car", "Van", "Car"]),
        np.array([[0.5, 0, 10, 40], [5, 0, 20.5, 40], [0, 0, 50, 60]], float),
        np.ones((count, 3)),
        np.array([[0, 0, 9.0], [0, 0, 5.0], [0, 0, 1.9]]),
        *np.zeros((3, count)),
        np.zeros(count, np.int64),
    )
    everything = paint(depth_rectangles(objects), (25, 50))
    assert (
        everything[0].tolist() == [9.0] * 5 + [5.0] * 15 + [0.0] * 5
    )  # 0.5 -> 0, 20.5 -> 20; nearer than 2 m is left out
    assert everything[40:].max() == 0
    assert paint(depth_rectangles(objects, ["Car"]), (25, 50))[0].tolist() == [9.0] * 10 + [0.0] * 15
