"""From a predictions file's records to pictures and a page: what `g3d visualize` calls."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.images.image import image_size
from g3d.data.types import ImageSource, Objects, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.metrics.table import Table
from g3d.progress import Progress, Silent
from g3d.visualize.frame import Frame
from g3d.visualize.maps import render_map_png
from g3d.visualize.overlay import render_frame_png
from g3d.visualize.page import write_page


def visualize_predictions(
    predictions: Sequence[Prediction],
    labels: Mapping[str, Any] | None,
    out: Path,
    items: Sequence[str] | None = None,
    image_root: Path | None = None,
    min_score: float = 0.3,
    boxes2d: bool = False,
    title: str = "Predictions",
    table: Table | None = None,
    comparison: tuple[str, Table] | None = None,
    published: tuple[str, Mapping[str, float]] | None = None,
    notes: Sequence[str] = (),
    labels_only: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a PNG per prediction (image with boxes and bird's-eye view), one per map in `maps/`, and one page,
    `index.html`, over all.

    Args:
        predictions: what to draw, each with an image and a camera.
        labels: ground truth by sample, None where there is none; samples may be absent.
        out: folder to write to, made if it is not there.
        items: draw only these samples, in this order; all by default.
        image_root: folder that the images lie in, by path or by file name; by default paths are taken as they are.
        min_score: detections below it are left out of the PNGs; the page starts with this threshold and has them all.
            It does not apply to answers to sentences: those are drawn however sure the system is.
        boxes2d: draw 2D boxes in the PNGs too; they always are where a sentence was asked.
        title, table, comparison, published, notes, labels_only: for the page, see `write_page`.
        progress: told of every picture.

    Returns:
        The files written, the page last.

    Raises:
        MissingDataError: an item has no prediction, or an image is not there.
        InputError: a record has no camera or no image, or an image cannot be used.
        EnvironmentProblem: a file cannot be written.
    """
    chosen = _choose(predictions, items)
    if not chosen:
        raise InputError("there are no predictions to draw")
    frames = [
        _frame(prediction, name, labels, image_root) for prediction, name in zip(chosen, _names(chosen), strict=True)
    ]
    progress = progress or Silent()
    progress.begin("pictures", len(frames))
    written = []
    for frame, file_name in zip(frames, _file_names(frames), strict=True):
        sure = frame if frame.expression else replace(frame, predictions=frame.predictions[_scores(frame) >= min_score])
        written.append(render_frame_png(sure, out / f"{file_name}.png", boxes2d=boxes2d))
        written += [render_map_png(sure, name, out / "maps" / f"{file_name}-{name}.png") for name in frame.maps or ()]
        progress.advance()
    progress.end()
    threshold = 0.0 if all(frame.expression for frame in frames) else min_score
    page = write_page(
        out / "index.html", frames, title, table, comparison, published, notes, threshold, labels_only=labels_only
    )
    return [*written, page]


def _scores(frame: Frame) -> np.ndarray:
    scores = frame.predictions.scores
    assert scores is not None  # they are predictions
    return scores


def _choose(predictions: Sequence[Prediction], items: Sequence[str] | None) -> list[Prediction]:
    if items is None:
        return list(predictions)
    by_sample: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_sample.setdefault(prediction.sample, []).append(prediction)
    for item in items:
        if item not in by_sample:
            near = difflib.get_close_matches(item, by_sample, 1)
            raise MissingDataError(
                f"sample {item!r}: there is no prediction for it", f"Did you mean {near[0]}?" if near else None
            )
    return [prediction for item in dict.fromkeys(items) for prediction in by_sample[item]]


def _names(predictions: Sequence[Prediction]) -> list[str]:
    """The sample's id, numbered where there is more than one sentence about it."""
    total, seen = Counter(prediction.sample for prediction in predictions), Counter[str]()
    names = []
    for prediction in predictions:
        seen[prediction.sample] += 1
        names.append(
            prediction.sample if total[prediction.sample] == 1 else f"{prediction.sample}-{seen[prediction.sample]:02d}"
        )
    return names


def _file_names(frames: Sequence[Frame]) -> list[str]:
    """Frames' names without what a file name may not hold (an id such as "../0001" must not lead out of the folder),
    each one once."""
    names: list[str] = []
    for frame in frames:
        plain = name = re.sub(r"[^\w.-]+", "_", frame.name).lstrip(".") or "_"
        number = 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _frame(prediction: Prediction, name: str, labels: Any, image_root: Path | None) -> Frame:
    source = prediction.source
    if not isinstance(source, ImageSource) or source.camera is None:
        raise InputError(
            f"prediction for {prediction.sample!r}: it has no camera; expected a 3x4 projection matrix to draw boxes with"
        )
    image = _image(prediction, image_root)
    truth = None if labels is None else labels.get(prediction.sample)
    found = prediction.answer(Objects) if prediction.answers else Objects.empty(scored=True)
    size = source.size or image_size(image)
    return Frame(name, image, source.camera, size, found, truth, prediction.expression, prediction.maps)


def _image(prediction: Prediction, image_root: Path | None) -> Path:
    if prediction.source.path is None:
        raise InputError(f"prediction for {prediction.sample!r}: it names no image")
    path = Path(prediction.source.path)
    tried = [path] if image_root is None else [image_root / path, image_root / path.name]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    places = " nor ".join(str(candidate) for candidate in dict.fromkeys(tried))
    raise MissingDataError(
        f"image of sample {prediction.sample!r}: not found at {places}", "--data DIR finds those of a data set"
    )
