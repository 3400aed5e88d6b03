"""A picture to draw on with smooth lines: shapes go to a layer of three times the size, text to the picture itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from g3d.visualize.palette import rgba

SMOOTH = 3


@lru_cache
def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font that Pillow carries, in `size` pixels."""
    return ImageFont.load_default(size)


class Canvas:
    """Shapes over a picture, in the picture's pixels (centres at whole numbers); `flatten` lays the shapes drawn so far
    over it.

    Args:
        picture: RGB image; it is copied.
    """

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture.convert("RGB").copy()
        self._clear()

    def _clear(self) -> None:
        width, height = self.picture.size
        self._layer = Image.new("RGBA", (width * SMOOTH, height * SMOOTH))
        self._draw = ImageDraw.Draw(self._layer)

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size

    def line(
        self,
        points: np.ndarray,
        colour: str,
        width: float,
        opacity: float = 1.0,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """A polyline (K, 2); `dash` gives the lengths of strokes and gaps in pixels."""
        pieces = [np.asarray(points, float)] if dash is None else list(_dashes(np.asarray(points, float), *dash))
        for piece in pieces:
            self._draw.line(self._xy(piece), rgba(colour, opacity), max(1, round(width * SMOOTH)), joint="curve")

    def polygon(self, points: np.ndarray, colour: str, opacity: float = 1.0) -> None:
        """A filled polygon (K, 2)."""
        if len(points) >= 3:
            self._draw.polygon(self._xy(points), rgba(colour, opacity))

    def disc(self, centre: tuple[float, float], radius: float, colour: str, opacity: float = 1.0) -> None:
        (x, y), r = self._xy(np.array([centre]))[0], radius * SMOOTH
        self._draw.ellipse((x - r, y - r, x + r, y + r), rgba(colour, opacity))

    def box(
        self, corners: tuple[float, float, float, float], colour: str, opacity: float = 1.0, radius: float = 0.0
    ) -> None:
        """A filled rectangle x1 y1 x2 y2 with rounded corners."""
        (x1, y1), (x2, y2) = self._xy(np.array(corners, float).reshape(2, 2))
        self._draw.rounded_rectangle((x1, y1, x2, y2), radius * SMOOTH, rgba(colour, opacity))

    def text(self, at: tuple[float, float], words: str, colour: str, size: int = 13, anchor: str = "la") -> None:
        """Words on the picture, above all shapes flattened so far; `anchor` as Pillow has it."""
        ImageDraw.Draw(self.picture).text(at, words, rgba(colour)[:3], font(size), anchor=anchor)

    def flatten(self) -> Image.Image:
        """Lay the shapes over the picture and begin a new layer."""
        small = self._layer.reduce(SMOOTH)  # Pillow averages premultiplied colours: no dark fringes
        self.picture.paste(small, (0, 0), small)
        self._clear()
        return self.picture

    def _xy(self, points: np.ndarray) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in (np.asarray(points) + 0.5) * SMOOTH - 0.5]


def text_size(words: str, size: int) -> tuple[float, float]:
    """Width of the words and height of a line, pixels."""
    ascent, descent = font(size).getbbox("Ag")[1::2]
    return font(size).getlength(words), descent - ascent


def _dashes(points: np.ndarray, stroke: float, gap: float) -> Iterable[np.ndarray]:
    for a, b in pairwise(points):
        length = float(np.hypot(*(b - a)))
        starts = np.arange(0, max(length, 1e-6), stroke + gap)
        for start in starts:
            yield np.stack([a + (b - a) * (min(t, length) / max(length, 1e-6)) for t in (start, start + stroke)])
