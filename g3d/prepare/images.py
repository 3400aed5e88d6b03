"""Check images before data is prepared from them."""

from __future__ import annotations

from pathlib import Path

from g3d.data.images.image import image_size, read_image
from g3d.errors import InputError

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def whole_image_size(path: Path, decode: bool) -> tuple[int, int]:
    """Check that an image file is complete and return its (width, height) in pixels.

    Args:
        path: the image file.
        decode: decode the image, instead of reading only its header and, for a PNG, its end.

    Raises:
        MissingDataError: there is no such file.
        InputError: the file is empty, is not an image or is truncated. Without `decode`, a file that is not a PNG is
            checked only by its header.
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
        read_image(path)  # raises a more specific error, if the image cannot be decoded
        raise InputError(f"image {path}: data follows the end of the picture, or it has none", "copy it again")
    return size
