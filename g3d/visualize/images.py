"""Draw predictions about images: one PNG for each prediction, one for each map, and one page for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from g3d.data.answers import Answer, AnswerT, CameraBoxes, ImageBoxes, PixelMask
from g3d.data.images.image import image_size
from g3d.data.types import ImageSource, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.names import file_name
from g3d.progress import Progress
from g3d.visualize.image_item import ImageItem
from g3d.visualize.image_page import write_image_page
from g3d.visualize.maps import render_map_png
from g3d.visualize.overlay import render_image_png
from g3d.visualize.page import PageTexts

_KINDS = (CameraBoxes, ImageBoxes, PixelMask)


def draw_images(
    predictions: Sequence[tuple[str, Prediction]],
    truth: Mapping[str, Answer] | None,
    out: Path,
    texts: PageTexts,
    page: bool,
    progress: Progress,
) -> list[Path]:
    """Write a PNG for each prediction, one for each of its maps in `maps/`, and the page `index.html`.

    Args:
        predictions: names and predictions about images; names are unique.
        truth: labels by sample, None if there are no labels.
        out: output folder.
        texts: texts of the page; objects below its threshold are omitted from the PNGs, except the best answer to a
            sentence.
        page: write the page.
        progress: receives an update for every image.

    Returns:
        The written files, the page last.

    Raises:
        MissingDataError: an image is missing.
        InputError: a prediction cannot be drawn.
        EnvironmentProblem: a file cannot be written.
    """
    items = [image_item(prediction, name, truth, not texts.labels_only) for name, prediction in predictions]
    if all(item.expression and item.candidates < 2 for item in items):
        texts = replace(texts, threshold=0.0)  # one object for each sentence: it is the answer, whatever its score
    progress.begin("pictures", len(items))
    written = []
    for item in items:
        sure, file = _sure(item, texts.threshold), file_name(item.name)
        written.append(render_image_png(sure, out / f"{file}.png"))
        written += [render_map_png(sure, name, out / "maps" / f"{file}-{name}.png") for name in item.maps or ()]
        progress.advance()
    progress.end()
    return [*written, write_image_page(out / "index.html", items, texts)] if page else written


def image_item(prediction: Prediction, name: str, truth: Mapping[str, Answer] | None, answered: bool) -> ImageItem:
    """Return the drawable item of a prediction about an image.

    Raises:
        MissingDataError: the image is missing.
        InputError: the prediction has no image path, has 3D boxes but no camera, or has answers or a label of a scene.
    """
    source = prediction.source
    assert isinstance(source, ImageSource)
    for answer in prediction.answers:
        if not isinstance(answer, _KINDS):
            raise InputError(f"prediction for {prediction.sample!r}: found {answer.kind} about an image")
    boxes3d = _one(prediction, CameraBoxes)
    if source.camera is None and boxes3d is not None and len(boxes3d):
        raise InputError(
            f"prediction for {prediction.sample!r}: it has no camera; expected a 3x4 projection matrix to draw boxes"
        )
    path = _image(prediction, source)
    label = None if truth is None else truth.get(prediction.sample)
    if label is not None and not isinstance(label, _KINDS):
        raise InputError(f"label of sample {prediction.sample!r}: found {label.kind} about an image")
    flat = isinstance(label, CameraBoxes) and source.camera is None
    if flat:
        assert isinstance(label, CameraBoxes)
        label = ImageBoxes(label.classes, label.boxes2d)
    return ImageItem(
        name,
        path,
        source.camera,
        source.size or image_size(path),
        CameraBoxes.empty(scored=True) if boxes3d is None else boxes3d,
        label if isinstance(label, CameraBoxes) else None,
        prediction.expression,
        prediction.maps,
        _one(prediction, ImageBoxes),
        tuple(answer for answer in prediction.answers if isinstance(answer, PixelMask)),
        label if isinstance(label, ImageBoxes) else None,
        label if isinstance(label, PixelMask) else None,
        answered,
    )


def _one(prediction: Prediction, kind: type[AnswerT]) -> AnswerT | None:
    """Return the answer of one type, or None if there is none; several answers raise an InputError."""
    return prediction.answer(kind) if any(isinstance(answer, kind) for answer in prediction.answers) else None


def _image(prediction: Prediction, source: ImageSource) -> Path:
    if source.path is None:
        raise InputError(f"prediction for {prediction.sample!r}: it names no image")
    path = Path(source.path)
    if not path.is_file():
        raise MissingDataError(
            f"image of sample {prediction.sample!r}: not found at {path}", "--data DIR finds those of a data set"
        )
    return path


def _sure(item: ImageItem, min_score: float) -> ImageItem:
    """Return the item without objects below a score; the best answer to a sentence is kept whatever its score."""
    asked = item.expression is not None
    masks = np.array([mask.score or 0.0 for mask in item.masks])
    return replace(
        item,
        predictions=item.predictions[_kept(item.predictions.scores, min_score, asked)],
        boxes=None if item.boxes is None else item.boxes[_kept(item.boxes.scores, min_score, asked)],
        masks=tuple(mask for mask, kept in zip(item.masks, _kept(masks, min_score, asked), strict=True) if kept),
    )


def _kept(scores: np.ndarray | None, min_score: float, asked: bool) -> np.ndarray:
    assert scores is not None  # they are predictions
    kept = scores >= min_score
    if asked and len(scores):
        kept[np.argmax(scores)] = True
    return kept
