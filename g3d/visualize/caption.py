"""Render a sentence as a band of text above an image."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from g3d.visualize.canvas import Canvas, text_size

GROUND, WORDS, _ANSWER = "#12181F", "#FFFFFF", "#FFC46B"
_MARGIN, _LEADING = 14, 1.45


def caption_band(sentence: str, width: int, answer: str | None = None) -> Image.Image:
    """Return a band with the whole sentence, wrapped to `width` pixels, and an answer on separate lines.

    The height of the band follows from the text.
    """
    size = 17 if width >= 700 else 14
    room = max(width - 2 * _MARGIN, size)
    lines = [(line, WORDS) for line in wrapped(f"“{sentence}”", size, room)]
    lines += [(line, _ANSWER) for line in wrapped(answer or "", size, room)]
    step = round(size * _LEADING)
    canvas = Canvas(Image.new("RGB", (width, 2 * _MARGIN - 4 + step * len(lines)), GROUND))
    for k, (line, colour) in enumerate(lines):
        canvas.text((_MARGIN, _MARGIN - 2 + step * (k + 0.5)), line, colour, size, "lm")
    return canvas.picture


def wrapped(words: str, size: int, room: float) -> list[str]:
    """Return lines of at most `room` pixels in a font of `size` pixels; a wider word is split."""
    lines: list[str] = []
    line = ""
    for word in words.split():
        for piece in _pieces(word, size, room):
            longer = f"{line} {piece}" if line else piece
            if line and text_size(longer, size)[0] > room:
                lines.append(line)
                longer = piece
            line = longer
    return [*lines, line] if line else lines


def _pieces(word: str, size: int, room: float) -> Iterator[str]:
    start = 0
    for end in range(1, len(word) + 1):
        if end - start > 1 and text_size(word[start:end], size)[0] > room:
            yield word[start : end - 1]
            start = end - 1
    yield word[start:]
