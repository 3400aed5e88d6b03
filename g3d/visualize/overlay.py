"""Draw answers into an image: projected 3D boxes, 2D boxes, masks, their labels, and the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.answers import CameraBoxes, ImageBoxes, PixelMask
from g3d.data.files import atomic_write
from g3d.visualize.birds_eye import birds_eye
from g3d.visualize.canvas import Canvas, text_size
from g3d.visualize.caption import caption_band
from g3d.visualize.image_item import ImageItem
from g3d.visualize.palette import TRUTH, class_colour
from g3d.visualize.pixel_masks import mask_bounds, mask_picture
from g3d.visualize.wireframe import Wireframe, distances, wireframes

INK = "#0B1016"  # outlines of lines, and text on coloured ground
NOTHING = "Answer: no such object"
_LABEL = 12  # text height in labels, pixels
_DASH = (5.0, 4.0)


@dataclass(frozen=True, eq=False)
class _Tag:
    """The text and colour of a label, and the box x1 y1 x2 y2 in pixels that it is written above."""

    text: str
    bounds: np.ndarray
    colour: str


def draw_overlay(
    item: ImageItem, boxes2d: bool = False, labels: bool = True, truth: bool = True, picture: Image.Image | None = None
) -> Image.Image:
    """Return the item's image with its boxes and masks, in the image's own size.

    A prediction has its class's colour. A 3D box has a tinted front face, which shows the heading, and thin edges on
    its far side; a mask is translucent with an outline. Ground truth is white and dashed, and has labels and tinted
    fronts only if there are no predictions. Parts behind the camera or outside the image are clipped.

    Args:
        item: the image and its boxes and masks.
        boxes2d: also draw the 2D boxes of 3D boxes; they are always drawn if the item has a sentence.
        labels: write class, score and distance above each prediction.
        truth: draw the ground truth, if the item has any.
        picture: image to draw on instead of the item's image.

    Raises:
        MissingDataError, InputError: the image is missing or unusable.
    """
    boxes2d = boxes2d or item.expression is not None
    canvas = Canvas(_with_masks(picture or item.load(), item, truth))
    real = item.ground_truth if truth else None
    alone = not (len(item.predictions) or len(item.boxes or ()) or item.masks)
    tags = _draw_boxes_3d(canvas, item, real, boxes2d, alone)
    tags += _draw_boxes_2d(canvas, item, truth, alone)
    tags += _mask_tags([item.true_mask] if alone and truth and item.true_mask is not None else item.masks)
    canvas.flatten()
    if labels:
        _draw_labels(canvas, tags)
    return canvas.picture


def render_image(item: ImageItem, boxes2d: bool = False, labels: bool = True, truth: bool = True) -> Image.Image:
    """Return one image with the answers and the bird's-eye view.

    The view is below a wide image and beside any other image; without a camera it is omitted. The sentence is above the
    image, followed by the text of `NOTHING` if the answer is that there is no such object.
    """
    picture = draw_overlay(item, boxes2d, labels, truth)
    both = picture if item.camera is None else _with_view(picture, item, truth)
    if not item.expression:
        return both
    band = caption_band(item.expression, both.width, NOTHING if item.finds_nothing else None)
    whole = Image.new("RGB", (both.width, band.height + both.height), INK)
    whole.paste(band, (0, 0))
    whole.paste(both, (0, band.height))
    return whole


def render_image_png(
    item: ImageItem, path: Path | str, boxes2d: bool = False, labels: bool = True, truth: bool = True
) -> Path:
    """Write the result of `render_image` as a PNG file, atomically: after an error the file is unchanged.

    Raises:
        MissingDataError, InputError: the image is missing or unusable.
        EnvironmentProblem: the file cannot be written.
    """
    picture = render_image(item, boxes2d, labels, truth)
    with atomic_write(path) as file:
        picture.save(file, "PNG", compress_level=6)
    return Path(path)


def label_text(objects: CameraBoxes, k: int) -> str:
    """Return class, score and distance of one object: "Car  0.93  24 m"."""
    return "  ".join([_named(str(objects.classes[k]), objects.scores, k), f"{distances(objects)[k]:.0f} m"])


def _named(name: str, scores: np.ndarray | None, k: int) -> str:
    return name if scores is None else f"{name}  {scores[k]:.2f}"


def _with_view(picture: Image.Image, item: ImageItem, truth: bool) -> Image.Image:
    gap = 4
    width, height = picture.size
    if width >= 1.6 * height:
        view = birds_eye(item, (width, max(240, round(width * 0.45))), truth=truth)
        both = Image.new("RGB", (width, height + gap + view.height), INK)
        both.paste(view, (0, height + gap))
    else:
        view = birds_eye(item, (max(240, round(height * 0.9)), height), truth=truth)
        both = Image.new("RGB", (width + gap + view.width, height), INK)
        both.paste(view, (width + gap, 0))
    both.paste(picture, (0, 0))
    return both


def _with_masks(picture: Image.Image, item: ImageItem, truth: bool) -> Image.Image:
    shown = [(mask, class_colour(mask.name or ""), False) for mask in item.masks]
    if truth and item.true_mask is not None:
        shown.append((item.true_mask, TRUTH[0], True))
    for mask, colour, label in shown:
        over = mask_picture(mask.mask, colour, picture.size, label).convert("RGBA")
        picture.paste(over, (0, 0), over)
    return picture


def _draw_boxes_3d(
    canvas: Canvas, item: ImageItem, truth: CameraBoxes | None, boxes2d: bool, alone: bool
) -> list[_Tag]:
    """Draw predicted and labelled boxes; return the tags of the predictions, or of the labels if `alone`."""
    if item.camera is None:
        return []
    found = item.predictions
    outlines = wireframes(found, item.camera, item.image_size)
    colours = [class_colour(str(name)) for name in found.classes]
    if truth is not None:
        true_outlines = wireframes(truth, item.camera, item.image_size)
        _draw_truth(canvas, truth, true_outlines, boxes2d, tinted=alone)
    _draw_predictions(canvas, found, outlines, colours, boxes2d)
    if alone and truth is not None:
        found, outlines, colours = truth, true_outlines, [TRUTH[0]] * len(truth)
    near_first = np.argsort(distances(found), kind="stable")
    return [
        _Tag(label_text(found, k), outline.bounds, colours[k])
        for k in near_first
        if (outline := outlines[k]) is not None
    ]


def _draw_boxes_2d(canvas: Canvas, item: ImageItem, truth: bool, alone: bool) -> list[_Tag]:
    """Draw predicted and labelled 2D boxes; return the tags as `_draw_boxes_3d` does."""
    tags: list[_Tag] = []
    if truth and item.true_boxes is not None:
        for box in item.true_boxes.boxes:
            canvas.line(_ring(box), INK, 3.4, 0.55)
            canvas.line(_ring(box), TRUTH[0], 1.7, dash=_DASH)
        tags = [] if not alone else _box_tags(item.true_boxes, TRUTH[0])
    if item.boxes is None:
        return tags
    for box, name in zip(item.boxes.boxes, item.boxes.classes, strict=True):
        canvas.line(_ring(box), INK, 3.8, 0.55)
        canvas.line(_ring(box), class_colour(str(name)), 2.0)
    return [*tags, *_box_tags(item.boxes, None)]


def _box_tags(boxes: ImageBoxes, colour: str | None) -> list[_Tag]:
    return [
        _Tag(_named(str(name), boxes.scores, k), box, colour or class_colour(str(name)))
        for k, (name, box) in enumerate(zip(boxes.classes, boxes.boxes, strict=True))
    ]


def _mask_tags(masks: tuple[PixelMask, ...] | list[PixelMask]) -> list[_Tag]:
    """Return the tags of masks that have a name or a score and are not empty."""
    tags = []
    for mask in masks:
        words = "  ".join([*([mask.name] if mask.name else []), *([] if mask.score is None else [f"{mask.score:.2f}"])])
        if words and mask.mask.any():
            tags.append(
                _Tag(words, mask_bounds(mask.mask), TRUTH[0] if mask.score is None else class_colour(mask.name or ""))
            )
    return tags


def _draw_wireframe(canvas: Canvas, outline: Wireframe, colour: str, dash: tuple[float, float] | None = None) -> None:
    for edge, hidden in zip(outline.edges, outline.hidden, strict=True):
        if not hidden:
            canvas.line(edge, INK, 3.4, 0.55)
    for edge, hidden in zip(outline.edges, outline.hidden, strict=True):
        canvas.line(edge, colour, 0.9 if hidden else 1.7, 0.75 if hidden else 1.0, dash)


def _draw_predictions(
    canvas: Canvas, found: CameraBoxes, outlines: list[Wireframe | None], colours: list[str], boxes2d: bool
) -> None:
    order = np.argsort(-distances(found), kind="stable")  # far boxes first, so that near boxes are drawn over them
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


def _draw_truth(
    canvas: Canvas, truth: CameraBoxes, outlines: list[Wireframe | None], boxes2d: bool, tinted: bool
) -> None:
    for k, outline in enumerate(outlines):
        if outline is not None:
            if tinted:
                canvas.polygon(outline.front, TRUTH[0], 0.2)
            _draw_wireframe(canvas, outline, TRUTH[0], _DASH)
        if boxes2d:
            canvas.line(_ring(truth.boxes2d[k]), TRUTH[0], 1.0, 0.6, dash=(2, 3))


def _draw_labels(canvas: Canvas, tags: list[_Tag]) -> None:
    """Write labels above their boxes.

    Earlier tags get their position first; later tags move up past them and get a leader line to their box.
    """
    taken: list[tuple[float, float, float, float]] = []
    words: list[tuple[tuple[float, float], str]] = []
    for tag in tags:
        width, height = text_size(tag.text, _LABEL)
        width, height = width + 8, height + 5
        x1, y1, x2, _ = tag.bounds
        x = float(np.clip((x1 + x2 - width) / 2, 1, max(1, canvas.size[0] - width - 1)))
        y = _free_row(x, max(1.0, y1 - height - 3), width, height, taken)
        taken.append((x, y, x + width, y + height))
        middle = min(max((x1 + x2) / 2, x), x + width)
        if y + height < y1 - 4:
            canvas.line(np.array([[middle, y + height], [middle, y1]]), tag.colour, 1.0, 0.9)
        canvas.box((x, y, x + width, y + height), tag.colour, 0.92, 3)
        words.append(((x + 4, y + height / 2), tag.text))
    canvas.flatten()
    for at, text in words:
        canvas.text(at, text, INK, _LABEL, "lm")


def _free_row(x: float, y: float, width: float, height: float, taken: list[tuple[float, float, float, float]]) -> float:
    """Return the first position at or above y where the label covers no other label, or y if there is none."""
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
