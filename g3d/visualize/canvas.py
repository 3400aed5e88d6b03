"""Canvas with antialiased lines: shapes are drawn on a layer of three times the size, text on the image itself."""

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
    """Return Pillow's default font in `size` pixels."""
    return ImageFont.load_default(size)


class Canvas:
    """Shapes over an image, in the image's pixels (centres at integers); `flatten` composites the shapes drawn so far.

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
        """Draw a polyline (K, 2); `dash` is the lengths of strokes and gaps in pixels."""
        pieces = [np.asarray(points, float)] if dash is None else list(_dashes(np.asarray(points, float), *dash))
        for piece in pieces:
            self._draw.line(self._xy(piece), rgba(colour, opacity), max(1, round(width * SMOOTH)), joint="curve")

    def polygon(self, points: np.ndarray, colour: str, opacity: float = 1.0) -> None:
        """Draw a filled polygon (K, 2)."""
        if len(points) >= 3:
            self._draw.polygon(self._xy(points), rgba(colour, opacity))

    def disc(self, centre: tuple[float, float], radius: float, colour: str, opacity: float = 1.0) -> None:
        (x, y), r = self._xy(np.array([centre]))[0], radius * SMOOTH
        self._draw.ellipse((x - r, y - r, x + r, y + r), rgba(colour, opacity))

    def box(
        self, corners: tuple[float, float, float, float], colour: str, opacity: float = 1.0, radius: float = 0.0
    ) -> None:
        """Draw a filled rectangle x1 y1 x2 y2 with rounded corners."""
        (x1, y1), (x2, y2) = self._xy(np.array(corners, float).reshape(2, 2))
        self._draw.rounded_rectangle((x1, y1, x2, y2), radius * SMOOTH, rgba(colour, opacity))

    def text(self, at: tuple[float, float], words: str, colour: str, size: int = 13, anchor: str = "la") -> None:
        """Draw text on the image, above all shapes flattened so far; `anchor` is Pillow's text anchor."""
        ImageDraw.Draw(self.picture).text(at, words, rgba(colour)[:3], font(size), anchor=anchor)

    def flatten(self) -> Image.Image:
        """Composite the shapes over the image and start a new layer."""
        small = self._layer.reduce(SMOOTH)  # Pillow averages premultiplied colours: no dark fringes
        self.picture.paste(small, (0, 0), small)
        self._clear()
        return self.picture

    def _xy(self, points: np.ndarray) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in (np.asarray(points) + 0.5) * SMOOTH - 0.5]


def text_size(words: str, size: int) -> tuple[float, float]:
    """Return the width of the text and the height of a line, pixels."""
    ascent, descent = font(size).getbbox("Ag")[1::2]
    return font(size).getlength(words), descent - ascent


def _dashes(points: np.ndarray, stroke: float, gap: float) -> Iterable[np.ndarray]:
    for a, b in pairwise(points):
        length = float(np.hypot(*(b - a)))
        starts = np.arange(0, max(length, 1e-6), stroke + gap)
        for start in starts:
            yield np.stack([a + (b - a) * (min(t, length) / max(length, 1e-6)) for t in (start, start + stroke)])
