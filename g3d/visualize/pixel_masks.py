"""Masks over images: a translucent fill with an opaque outline, identical in PNG files and on the page."""

from __future__ import annotations

import numpy as np
from PIL import Image

from g3d.visualize.palette import rgba

_FILL, _LABEL_FILL, _OUTLINE = 96, 40, 255
"""Opacity of the fill of a mask, of the fill of a labelled mask, and of the outline, 0..255."""


def mask_picture(mask: np.ndarray, colour: str, size: tuple[int, int], label: bool) -> Image.Image:
    """Return a mask as a palette image; its transparency is `picture.info["transparency"]`.

    Args:
        mask: (H, W) bool.
        colour: "#RRGGBB" of fill and outline.
        size: (width, height) of the image.
        label: draw the mask as ground truth: with a lighter fill and a dashed outline.
    """
    if size != (mask.shape[1], mask.shape[0]):
        mask = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST), bool)
    outline = mask & ~_inside(mask)
    if label:
        rows, columns = np.indices(mask.shape)
        outline &= (rows + columns) // 5 % 2 == 0
    picture = Image.fromarray(np.where(outline, 2, mask).astype(np.uint8))
    picture.putpalette(bytes(rgba(colour)[:3]) * 3)
    picture.info["transparency"] = bytes([0, _LABEL_FILL if label else _FILL, _OUTLINE])
    return picture


def mask_bounds(mask: np.ndarray) -> np.ndarray:
    """Return the bounding box x1 y1 x2 y2 of a non-empty mask, in pixels; x2 and y2 are the last column and row."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], float)


def _inside(mask: np.ndarray) -> np.ndarray:
    """Return the pixels at least two pixels away from the mask's outside; outside the image counts as inside."""
    padded = np.pad(mask, 2, mode="edge")
    height, width = mask.shape
    inside = mask.copy()
    for down, right in ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (3, 3), (1, 3), (3, 1)):
        inside &= padded[down : down + height, right : right + width]
    return inside
