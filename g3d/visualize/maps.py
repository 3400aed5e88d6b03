"""Overlay maps on an image as colours: the region that a network found for a sentence, and depth in metres.

A map is (h, w) over the whole image at any resolution. Each value is mapped to one of LEVELS colours with an opacity,
identically in the PNG files and on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.files import atomic_write
from g3d.visualize.canvas import Canvas
from g3d.visualize.caption import GROUND, WORDS, caption_band
from g3d.visualize.image_item import ImageItem
from g3d.visualize.overlay import INK, draw_overlay
from g3d.visualize.palette import blend, viridis

LEVELS = 128


@dataclass(frozen=True)
class MapKind:
    """The display settings of one kind of map.

    Attributes:
        title: displayed name.
        unit: unit of the values, "" for none.
        colours: (LEVELS, 4) uint8 RGBA, from the lowest value to the highest.
        reach: function of the map's values that returns the value of the last colour; the first colour is for 0.
        nothing_at_zero: True if 0 means unknown; unknown pixels are transparent.
    """

    title: str
    unit: str
    colours: np.ndarray
    reach: Callable[[np.ndarray], float]
    nothing_at_zero: bool


def _region_colours() -> np.ndarray:
    """Return colours from a dark overlay to a light amber, so that the region of the sentence stays bright."""
    share = np.linspace(0, 1, LEVELS)
    return np.column_stack([blend((INK, "#FFB000"), share), np.rint(255 * (0.66 - 0.3 * share))]).astype(np.uint8)


def _depth_colours() -> np.ndarray:
    """Return colours from yellow (near) to violet (far)."""
    return np.column_stack([viridis(np.linspace(1, 0, LEVELS)), np.full(LEVELS, 168)]).astype(np.uint8)


def _depth_reach(depth: np.ndarray) -> float:
    return float(10 * max(1, np.ceil(depth.max(initial=0) / 10)))


KINDS = {
    "region": MapKind("Region", "", _region_colours(), lambda _: 1.0, False),
    "depth": MapKind("Depth", "m", _depth_colours(), _depth_reach, True),
}
"""The kinds of maps by their names in g3d.data.types.Prediction.maps."""


def map_levels(name: str, values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the levels of a map (h, w), (h, w) uint8, 0 to LEVELS - 1 and LEVELS where unknown, and the value of level
    LEVELS - 1."""
    kind = KINDS[name]
    reach = kind.reach(values)
    levels = np.rint(np.clip(values / reach, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    return (np.where(values > 0, levels, LEVELS).astype(np.uint8) if kind.nothing_at_zero else levels), reach


def map_picture(name: str, levels: np.ndarray) -> Image.Image:
    """Return levels (h, w) as a palette image; its transparency is `picture.info["transparency"]`."""
    picture = Image.fromarray(levels)
    colours = np.concatenate([KINDS[name].colours, np.zeros((1, 4), np.uint8)])
    picture.putpalette(colours[:, :3].tobytes())  # converts it to a palette image
    picture.info["transparency"] = colours[:, 3].tobytes()
    return picture


def render_map(item: ImageItem, name: str) -> Image.Image:
    """Return the image with its map and boxes overlaid, its sentence above and the colour scale below.

    Raises:
        MissingDataError, InputError: the image is missing or unusable.
    """
    assert item.maps is not None
    levels, reach = map_levels(name, item.maps[name])
    image = item.load()
    over = map_picture(name, levels).convert("RGBA").resize(image.size, Image.Resampling.BILINEAR)
    image.paste(over, (0, 0), over)
    parts = [draw_overlay(item, labels=False, picture=image), _legend(name, reach, image.width)]
    if item.expression:
        parts.insert(0, caption_band(item.expression, image.width))
    whole = Image.new("RGB", (image.width, sum(part.height for part in parts)), GROUND)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def render_map_png(item: ImageItem, name: str, path: Path) -> Path:
    """Write the result of `render_map` as a PNG file, atomically: after an error the file is unchanged.

    Raises:
        MissingDataError, InputError: the image is missing or unusable.
        EnvironmentProblem: the file cannot be written.
    """
    picture = render_map(item, name)
    with atomic_write(path) as file:
        picture.save(file, "PNG", compress_level=6)
    return path


def _legend(name: str, reach: float, width: int) -> Image.Image:
    """Return a colour bar with values at five positions."""
    kind = KINDS[name]
    canvas = Canvas(Image.new("RGB", (width, 58), GROUND))
    left, right = 14, max(15, min(width - 30, 14 + 420))
    bar = np.broadcast_to(kind.colours[None, :, :3], (14, LEVELS, 3))
    picture = Image.fromarray(np.ascontiguousarray(bar)).resize((right - left, 14), Image.Resampling.BILINEAR)
    canvas.picture.paste(picture, (left, 12))
    for share in np.linspace(0, 1, 5):
        x = left + share * (right - left)
        anchor = "ls" if share == 0 else "ms"
        canvas.text(
            (x, 46), f"{share * reach:g}{' ' + kind.unit if kind.unit and share in (0, 1) else ''}", WORDS, 12, anchor
        )
    if right + 90 < width:
        canvas.text((right + 30, 19), kind.title, WORDS, 13, "lm")
    return canvas.picture
