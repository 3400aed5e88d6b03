"""Looking at images before anything is made from them."""

from __future__ import annotations

from pathlib import Path

from g3d.data.images.image import image_size, read_image
from g3d.errors import InputError

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def whole_image_size(path: Path, decode: bool) -> tuple[int, int]:
    """(width, height) of an image whose file is complete.

    Args:
        decode: decode it, instead of looking at its header and, of a PNG, its end.

    Raises:
        MissingDataError, InputError: as read_image.
    """
    if decode:
        height, width = read_image(path).shape[:2]
        return width, height
    size = image_size(path)
    with path.open("rb") as file:
        start = file.read(len(_PNG_START))
        file.seek(max(0, path.stat().st_size - 64))
        complete = start != _PNG_START or _PNG_END in file.read()
    if not complete:
        read_image(path)  # says what exactly is wrong
        raise InputError(f"image {path}: data follows the end of the picture, or it has none", "copy it again")
    return size
