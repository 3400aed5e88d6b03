"""Depth image files: 16-bit PNG, and `.zdepth`, a 16-byte header followed by the zlib stream of a `.sens` frame.

Both formats store unsigned 16-bit numbers, 0 where there is no depth. A `.zdepth` file consists of b"G3DZ", width and
height as uint32, the units per metre as float32, then the deflated rows; all numbers are little endian. A stored stream
is copied without compressing it again.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from g3d.data.boundary import reading
from g3d.data.scannet.sens import inflate
from g3d.errors import InputError

MILLIMETRES = 1000.0
_UP = 2  # PNG's filter type: difference to the row above
_PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
_COMPACT = struct.Struct("<4sIIf")
_COMPACT_START = b"G3DZ"


def encode_depth_png(depth: np.ndarray) -> bytes:
    """Return the PNG file of a depth image (h, w) uint16.

    Each row is stored as the difference to the row above, at the fastest zlib level. A 640 x 480 image takes 5 ms.
    """
    height, width = depth.shape
    plain = depth.astype(">u2").view(np.uint8).reshape(height, 2 * width)
    rows = np.empty((height, 1 + 2 * width), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = plain[0]
    np.subtract(plain[1:], plain[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return _PNG_START + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.data, 1)) + PNG_END


def pack_depth(deflated: bytes, size: tuple[int, int], per_metre: float) -> bytes:
    """Return the `.zdepth` file of a zlib stream of width x height uint16 numbers."""
    return _COMPACT.pack(_COMPACT_START, *size, per_metre) + deflated


def read_depth(path: Path | str) -> np.ndarray:
    """Return the depth (h, w) float32 in metres of a `.zdepth` file, or of a 16-bit PNG or PGM file in millimetres.

    Pixels without depth are 0. The stored number 65535 also means no depth (7-Scenes).

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, or its pixels do not have 16 bits; 8 bits are not precise enough.
    """
    path = Path(path)
    with reading(path, "depth", "the file is damaged or incomplete: make or copy it again", "cannot be decoded"):
        pixels, per_metre = _read_compact(path) if path.suffix == ".zdepth" else (_read_picture(path), MILLIMETRES)
        return to_metres(pixels, per_metre)


def to_metres(pixels: np.ndarray, per_metre: float) -> np.ndarray:
    """Return depth in metres, float32, from uint16 numbers of any shape; 65535 (no depth) becomes 0."""
    return np.where(pixels == np.iinfo(np.uint16).max, np.float32(0), pixels / np.float32(per_metre))


def resize_nearest(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture (H, W, ...) resized to (h, w, ...) by nearest neighbour.

    Column i of the result is column floor(i * W / w) of the picture; rows are taken alike. ScanNet's exporter resizes
    colour and depth in this way (OpenCV's "nearest").

    Args:
        size: width w, height h of the result.
    """
    width, height = size
    rows = np.minimum(np.floor(np.arange(height) * (picture.shape[0] / height)), picture.shape[0] - 1).astype(np.intp)
    columns = np.minimum(np.floor(np.arange(width) * (picture.shape[1] / width)), picture.shape[1] - 1).astype(np.intp)
    return picture[rows[:, None], columns]


def _read_compact(path: Path) -> tuple[np.ndarray, float]:
    content = path.read_bytes()
    if len(content) < _COMPACT.size or not content.startswith(_COMPACT_START):
        raise InputError(
            f"depth {path}: does not begin with {_COMPACT_START.decode()}: not a .zdepth file, or an empty one"
        )
    _, width, height, per_metre = _COMPACT.unpack_from(content)
    if not (0 < per_metre < float("inf") and width and height):
        raise InputError(
            f"depth {path}: found {width} x {height} pixels, {per_metre:g} per metre, expected more than 0 of each"
        )
    plain = inflate(content[_COMPACT.size :], width * height * 2, f"depth {path}")
    return np.frombuffer(plain, "<u2").reshape(height, width), per_metre


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if not picture.mode.startswith("I"):
                raise InputError(
                    f"depth {path}: found pixels of mode {picture.mode}, expected 16 bits each, millimetres",
                    "depth saved with 8 bits has lost its precision: export it again",
                )
            pixels = np.asarray(picture)
    except UnidentifiedImageError as error:
        raise InputError(
            f"depth {path}: found {'no known image format' if path.stat().st_size else 'an empty file'}, "
            "expected a 16-bit PNG"
        ) from error
    return pixels.astype(np.uint16)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
