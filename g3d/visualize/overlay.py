"""Boxes drawn into the image: projected 3D boxes, 2D boxes, labels, ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.files import atomic_write
from g3d.data.types import Objects
from g3d.visualize.birds_eye import birds_eye
from g3d.visualize.canvas import Canvas, text_size
from g3d.visualize.caption import caption_band
from g3d.visualize.frame import Frame
from g3d.visualize.palette import TRUTH, class_colour
from g3d.visualize.wireframe import Wireframe, distances, wireframes

INK = "#0B1016"  # casings of lines, and words on coloured ground
_LABEL = 12  # text height in labels, pixels
_DASH = (5.0, 4.0)


def draw_overlay(
    frame: Frame, boxes2d: bool = False, labels: bool = True, truth: bool = True, picture: Image.Image | None = None
) -> Image.Image:
    """The frame's image with its boxes, in the image's own size.

    A prediction has its class's colour and a tinted front face, so that the heading shows; edges on the far side are
    thin. Ground truth is white and dashed, and has labels and tinted fronts only where there are no predictions. What
    lies behind the camera or outside the image is cut off.

    Args:
        frame: what to draw.
        boxes2d: draw the 2D boxes too; they always are where a sentence was asked.
        labels: write class, score and distance above each prediction.
        truth: draw the ground truth, if the frame has any.
        picture: to draw on in place of the frame's image.

    Raises:
        MissingDataError, InputError: the image is not there or cannot be used.
    """
    boxes2d = boxes2d or frame.expression is not None
    canvas = Canvas(picture or frame.load())
    found = frame.predictions
    outlines = wireframes(found, frame.camera, frame.image_size)
    colours = [class_colour(str(name)) for name in found.classes]
    if truth and frame.ground_truth is not None:
        real = frame.ground_truth
        real_outlines = wireframes(real, frame.camera, frame.image_size)
        _draw_truth(canvas, real, real_outlines, boxes2d, tinted=not len(found))
        if not len(found):
            found, outlines, colours = real, real_outlines, [TRUTH[0]] * len(real)
    _draw_predictions(canvas, frame.predictions, outlines, colours, boxes2d)
    canvas.flatten()
    if labels:
        _draw_labels(canvas, found, outlines, colours)
    return canvas.picture


def render_frame(frame: Frame, boxes2d: bool = False, labels: bool = True, truth: bool = True) -> Image.Image:
    """The image with its boxes and the bird's-eye view in one picture: below a wide image, beside any other. A sentence
    stands above."""
    picture = draw_overlay(frame, boxes2d, labels, truth)
    gap = 4
    width, height = picture.size
    if width >= 1.6 * height:
        view = birds_eye(frame, (width, max(240, round(width * 0.45))), truth=truth)
        both = Image.new("RGB", (width, height + gap + view.height), INK)
        both.paste(view, (0, height + gap))
    else:
        view = birds_eye(frame, (max(240, round(height * 0.9)), height), truth=truth)
        both = Image.new("RGB", (width + gap + view.width, height), INK)
        both.paste(view, (width + gap, 0))
    both.paste(picture, (0, 0))
    if not frame.expression:
        return both
    band = caption_band(frame.expression, both.width)
    whole = Image.new("RGB", (both.width, band.height + both.height), INK)
    whole.paste(band, (0, 0))
    whole.paste(both, (0, band.height))
    return whole


def render_frame_png(
    frame: Frame, path: Path | str, boxes2d: bool = False, labels: bool = True, truth: bool = True
) -> Path:
    """Write `render_frame` as a PNG file; the file is complete or, after an error, as it was.

    Raises:
        MissingDataError, InputError: the image is not there or cannot be used.
        EnvironmentProblem: the file cannot be written.
    """
    picture = render_frame(frame, boxes2d, labels, truth)
    with atomic_write(path) as file:
        picture.save(file, "PNG", compress_level=6)
    return Path(path)


def label_text(objects: Objects, k: int) -> str:
    """Class, score and distance of one object: "Car  0.93  24 m"."""
    parts = [str(objects.classes[k])]
    if objects.scores is not None:
        parts.append(f"{objects.scores[k]:.2f}")
    return "  ".join([*parts, f"{distances(objects)[k]:.0f} m"])


def _draw_wireframe(canvas: Canvas, outline: Wireframe, colour: str, dash: tuple[float, float] | None = None) -> None:
    for edge, hidden in zip(outline.edges, outline.hidden, strict=True):
        if not hidden:
            canvas.line(edge, INK, 3.4, 0.55)
    for edge, hidden in zip(outline.edges, outline.hidden, strict=True):
        canvas.line(edge, colour, 0.9 if hidden else 1.7, 0.75 if hidden else 1.0, dash)


def _draw_predictions(
    canvas: Canvas, found: Objects, outlines: list[Wireframe | None], colours: list[str], boxes2d: bool
) -> None:
    order = np.argsort(-distances(found), kind="stable")  # far ones first, so that near ones lie over them
    for k in order:
        outline = outlines[k]
        if outline is not None:
            canvas.polygon(outline.front, colours[k], 0.28)
    for k in order:
        if boxes2d:
            canvas.line(_ring(found.boxes2d[k]), colours[k], 1.0, 0.9, dash=(3, 3))
        outline = outlines[k]
        if outline is not None:
            _draw_wireframe(canvas, outline, colours[k])


def _draw_truth(canvas: Canvas, truth: Objects, outlines: list[Wireframe | None], boxes2d: bool, tinted: bool) -> None:
    for k, outline in enumerate(outlines):
        if outline is not None:
            if tinted:
                canvas.polygon(outline.front, TRUTH[0], 0.2)
            _draw_wireframe(canvas, outline, TRUTH[0], _DASH)
        if boxes2d:
            canvas.line(_ring(truth.boxes2d[k]), TRUTH[0], 1.0, 0.6, dash=(2, 3))


def _draw_labels(canvas: Canvas, objects: Objects, outlines: list[Wireframe | None], colours: list[str]) -> None:
    """Labels above their boxes; nearer ones choose their place first, later ones move up past them and get a thread to
    their box."""
    taken: list[tuple[float, float, float, float]] = []
    words: list[tuple[tuple[float, float], str]] = []
    for k in np.argsort(distances(objects), kind="stable"):
        outline = outlines[k]
        if outline is None:
            continue
        text = label_text(objects, k)
        width, height = text_size(text, _LABEL)
        width, height = width + 8, height + 5
        x1, y1, x2, _ = outline.bounds
        x = float(np.clip((x1 + x2 - width) / 2, 1, max(1, canvas.size[0] - width - 1)))
        y = _free_row(x, max(1.0, y1 - height - 3), width, height, taken)
        taken.append((x, y, x + width, y + height))
        middle = min(max((x1 + x2) / 2, x), x + width)
        if y + height < y1 - 4:
            canvas.line(np.array([[middle, y + height], [middle, y1]]), colours[k], 1.0, 0.9)
        canvas.box((x, y, x + width, y + height), colours[k], 0.92, 3)
        words.append(((x + 4, y + height / 2), text))
    canvas.flatten()
    for at, text in words:
        canvas.text(at, text, INK, _LABEL, "lm")


def _free_row(x: float, y: float, width: float, height: float, taken: list[tuple[float, float, float, float]]) -> float:
    """The first place at or above y where the label covers no other, or y itself where there is none within the
    image."""
    start = y
    while y >= 1:
        covered = [
            top
            for left, top, right, bottom in taken
            if x < right and left < x + width and y < bottom and top < y + height
        ]
        if not covered:
            return y
        y = min(covered) - height - 1
    return start


def _ring(box: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2], [x1, y1]])
