"""Reading images, and bringing images and maps to a network's resolution by a scale and a shift.

Coordinates are continuous pixels: the first pixel covers 0..1 in x and y. A `transform` is a (2, 3) float64 matrix with
no rotation: (x, y) of the original -> (x, y) of the network's input.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from g3d.data.boundary import reading
from g3d.errors import InputError

_TURNS: dict[int | None, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation."""
_QUARTER_TURNS = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def read_image(path: Path | str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PNG, JPEG or other picture that Pillow reads; palettes, grey and alpha are converted,
    photos stand upright.

    Raises:
        MissingDataError: no such file.
        InputError: empty, no image, truncated, or without pixels.
    """
    with reading(path, "image", expected="an image file"), open(path, "rb") as file:
        return _decode(file, f"image {path}")


def decode_image(content: bytes, source: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PNG or JPEG in memory; `source` begins the message of an InputError, which is raised as
    by read_image."""
    return _decode(io.BytesIO(content), source)


def _decode(file: BinaryIO, source: str) -> np.ndarray:
    with reading(source, problem="cannot be decoded", hint="the file is damaged or incomplete: copy it again"):
        try:
            picture = Image.open(file)
        except UnidentifiedImageError as error:
            found = "data of no known image format" if file.seek(0, io.SEEK_END) else "an empty file"
            raise InputError(f"{source}: found {found}, expected a PNG or JPEG image") from error
        with picture:
            turn = _turn(picture)
            upright = picture if turn is None else picture.transpose(turn)
            pixels = np.asarray(upright if upright.mode == "RGB" else _as_rgb(upright))
    if pixels.size == 0:
        raise InputError(f"{source}: found {pixels.shape[1]} x {pixels.shape[0]} pixels, expected at least one")
    return pixels


def image_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of an image, from its header alone.

    Raises:
        MissingDataError, InputError: as read_image.
    """
    with reading(path, "image", problem="cannot be decoded", expected="an image file"):
        try:
            with Image.open(path) as picture:
                width, height = picture.size
                return (height, width) if _turn(picture) in _QUARTER_TURNS else (width, height)
        except UnidentifiedImageError:
            height, width = read_image(path).shape[:2]  # says what is wrong
            return width, height


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What makes a photo stand upright: phones store it as the sensor lay, and how that was in its EXIF data. Reads the
    header alone."""
    if "exif" not in picture.info:
        return None
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except (SyntaxError, ValueError, TypeError, struct.error):  # damaged EXIF data: the pixels are whole nevertheless
        return None


def affine_from_crop(
    center: tuple[float, float] | np.ndarray, crop_width: float, resolution: tuple[int, int]
) -> np.ndarray:
    """The transform that brings a crop of the given centre and width to the middle and full width of the network's
    input.

    One scale in x and y: the input's height plays no role, the image is padded or cut above and below.

    Args:
        center: x, y in pixels of the original.
        crop_width: in pixels of the original.
        resolution: width, height of the network's input.
    """
    scale = resolution[0] / crop_width
    return np.array(
        [[scale, 0, resolution[0] / 2 - scale * center[0]], [0, scale, resolution[1] / 2 - scale * center[1]]]
    )


def invert_affine(transform: np.ndarray) -> np.ndarray:
    """The transform back, (2, 3)."""
    inverse = np.linalg.inv(transform[:, :2])
    return np.column_stack([inverse, -inverse @ transform[:, 2]])


def apply_affine(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """points (..., 2) -> (..., 2)."""
    return points @ transform[:, :2].T + transform[:, 2]


def warp_image(image: np.ndarray, transform: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
    """The image in the network's frame: bilinear, black beyond the border, Pillow's arithmetic to the bit.

    Args:
        image: (H, W, 3) uint8.
        transform: (2, 3), original -> network.
        resolution: width, height of the result.

    Returns:
        (height, width, 3) uint8.
    """
    return _warp(image, transform, resolution, Image.Resampling.BILINEAR)


def warp_depth(depth: np.ndarray, transform: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
    """A map (H, W) float32 in the network's frame: nearest neighbour, 0 beyond the border -> (height, width)
    float32."""
    return _warp(depth, transform, resolution, Image.Resampling.NEAREST)


def _warp(
    pixels: np.ndarray, transform: np.ndarray, resolution: tuple[int, int], resample: Image.Resampling
) -> np.ndarray:
    coefficients = tuple(invert_affine(transform).flatten())
    return np.array(Image.fromarray(pixels).transform(resolution, Image.Transform.AFFINE, coefficients, resample))


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel: Pillow would cut off all that is brighter than 255
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if picture.mode in ("P", "PA") and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Pillow warns when a transparent palette goes to RGB directly
    return picture.convert("RGB")
