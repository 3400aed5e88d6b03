"""Reading of images, and warping of images and maps to a network's resolution by a scale and a shift.

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
"""Transpositions that turn a picture upright, by EXIF orientation."""
_QUARTER_TURNS = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))


def read_image(path: Path | str) -> np.ndarray:
    """Return the pixels (H, W, 3) uint8 RGB of a PNG, JPEG or other image file that Pillow reads.

    Palettes, grey values and alpha are converted to RGB. Photos are turned upright by their EXIF orientation.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is empty, is not an image, is truncated, or has no pixels.
    """
    with reading(path, "image", expected="an image file"), open(path, "rb") as file:
        return _decode(file, f"image {path}")


def decode_image(content: bytes, source: str) -> np.ndarray:
    """Return the pixels (H, W, 3) uint8 RGB of a PNG or JPEG file in memory.

    Args:
        content: the bytes of the file.
        source: the first words of an error.

    Raises:
        InputError: see `read_image`.
    """
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
    """Return the (width, height) in pixels of an image file; only its header is read.

    Raises:
        MissingDataError, InputError: see `read_image`.
    """
    with reading(path, "image", problem="cannot be decoded", expected="an image file"):
        try:
            with Image.open(path) as picture:
                width, height = picture.size
                return (height, width) if _turn(picture) in _QUARTER_TURNS else (width, height)
        except UnidentifiedImageError:
            height, width = read_image(path).shape[:2]  # raises the error that names the fault
            return width, height


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """Return the transposition that turns a photo upright, or None if it needs none.

    The orientation is in the EXIF data: phones store the pixels as the sensor was held. Only the header is read.
    """
    if "exif" not in picture.info:
        return None
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except (SyntaxError, ValueError, TypeError, struct.error):  # damaged EXIF data; the pixels are intact
        return None


def affine_from_crop(
    center: tuple[float, float] | np.ndarray, crop_width: float, resolution: tuple[int, int]
) -> np.ndarray:
    """Return the (2, 3) transform that maps a crop to the centre and the full width of the network's input.

    The scale is the same in x and y and does not depend on the input's height: the image is padded or cut above and
    below.

    Args:
        center: centre x, y of the crop in pixels of the original.
        crop_width: width of the crop in pixels of the original.
        resolution: width, height of the network's input.
    """
    scale = resolution[0] / crop_width
    return np.array(
        [[scale, 0, resolution[0] / 2 - scale * center[0]], [0, scale, resolution[1] / 2 - scale * center[1]]]
    )


def invert_affine(transform: np.ndarray) -> np.ndarray:
    """Return the inverse transform, (2, 3)."""
    inverse = np.linalg.inv(transform[:, :2])
    return np.column_stack([inverse, -inverse @ transform[:, 2]])


def apply_affine(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Return the transformed points: (..., 2) -> (..., 2)."""
    return points @ transform[:, :2].T + transform[:, 2]


def warp_image(image: np.ndarray, transform: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
    """Return an image warped to the network's frame: bilinear, black beyond the border, bit-identical to Pillow.

    Args:
        image: (H, W, 3) uint8.
        transform: (2, 3), original -> network.
        resolution: width, height of the result.

    Returns:
        (height, width, 3) uint8.
    """
    return _warp(image, transform, resolution, Image.Resampling.BILINEAR)


def warp_depth(depth: np.ndarray, transform: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
    """Return a map (H, W) float32 warped to the network's frame: nearest neighbour, 0 beyond the border.

    Args:
        depth: (H, W) float32.
        transform: (2, 3), original -> network.
        resolution: width, height of the result.

    Returns:
        (height, width) float32.
    """
    return _warp(depth, transform, resolution, Image.Resampling.NEAREST)


def _warp(
    pixels: np.ndarray, transform: np.ndarray, resolution: tuple[int, int], resample: Image.Resampling
) -> np.ndarray:
    coefficients = tuple(invert_affine(transform).flatten())
    return np.array(Image.fromarray(pixels).transform(resolution, Image.Transform.AFFINE, coefficients, resample))


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits per pixel: Pillow would clip values above 255
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if picture.mode in ("P", "PA") and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # Pillow warns when it converts a transparent palette to RGB directly
    return picture.convert("RGB")
