"""Draw predictions about scenes: PLY and GLB files of each answer, and one page for all."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from g3d.data.answers import Answer, PointMask, SceneBoxes
from g3d.data.types import Prediction, SceneSource
from g3d.errors import InputError
from g3d.names import file_name
from g3d.progress import Progress
from g3d.visualize.class_colours import class_colours, neighbours
from g3d.visualize.page import PageTexts
from g3d.visualize.room import Room
from g3d.visualize.room_files import write_room_glb, write_room_ply
from g3d.visualize.scene_item import SceneItem, answered_room
from g3d.visualize.scene_page import ScenePage
from g3d.visualize.scenes import Format, check_scene, load_room

log = logging.getLogger(__name__)

_KINDS = (SceneBoxes, PointMask)
_MOST_BOXES = 200  # of one prediction


def draw_scene_answers(
    predictions: Sequence[tuple[str, Prediction]],
    truth: Mapping[str, Answer] | None,
    out: Path,
    texts: PageTexts,
    formats: Sequence[Format],
    progress: Progress,
) -> list[Path]:
    """Write the PLY and GLB files that `formats` requests, one for each prediction, and the page `index.html`.

    Args:
        predictions: names and predictions about scenes; names are unique.
        truth: labels by sample, None if there are no labels.
        out: output folder.
        texts: texts of the page; boxes below its threshold are omitted from the files, except the answer to a sentence.
        formats: "html", "ply", "glb".
        progress: receives an update for every scene.

    Returns:
        The written files, the page last.

    Raises:
        MissingDataError: a scene is missing.
        InputError: a prediction cannot be drawn.
        EnvironmentProblem: a file cannot be written.
    """
    groups: dict[tuple[str | bytes | None, ...], list[tuple[SceneSource, SceneItem]]] = {}
    for name, prediction in predictions:
        source, item = scene_item(prediction, name, truth, not texts.labels_only)
        transform = None if source.transform is None else source.transform.tobytes()
        groups.setdefault((source.path, source.name, source.frame, transform), []).append((source, item))
    page = ScenePage(_colours([item for group in groups.values() for _, item in group]), texts.threshold)
    files = [form for form in dict.fromkeys(formats) if form != "html"]
    progress.begin("scenes", len(groups))
    written: list[Path] = []
    for group in groups.values():
        items = [item for _, item in group]
        if page.full and not files:
            page.skip(items)
        else:
            room = _room(group[0][0])
            placed = [item.placed(room) for item in items]
            page.add(room, placed)
            for item in placed:
                written += _write_files(out / file_name(item.name), room, item, files, texts.threshold)
        progress.advance()
    progress.end()
    return [*written, page.write(out / "index.html", texts)] if "html" in formats else written


def _colours(items: Sequence[SceneItem]) -> dict[str, str]:
    """Return the colours of all classes; classes that are neighbours in a scene of detections differ most."""
    near: set[tuple[str, str]] = set()
    for item in items:
        boxes = item.boxes if item.true_boxes is None else item.true_boxes
        if item.expression is None and boxes is not None:
            near |= neighbours([str(name) for name in boxes.classes], boxes.centers)
    return class_colours({name for item in items for name in item.class_names}, near)


def scene_item(
    prediction: Prediction, name: str, truth: Mapping[str, Answer] | None, answered: bool
) -> tuple[SceneSource, SceneItem]:
    """Return the source and the drawable item of a prediction about a scene.

    Raises:
        MissingDataError: the scene is missing.
        InputError: the prediction has no path of its scene, or has answers or a label of an image.
    """
    source = prediction.source
    assert isinstance(source, SceneSource)
    if source.path is None:
        raise InputError(f"prediction for {prediction.sample!r}: it does not say where scene {source.name!r} is")
    check_scene(Path(source.path), f"scene {source.name!r} of sample {prediction.sample!r}")
    label = None if truth is None else truth.get(prediction.sample)
    for answer, what in [*((answer, "prediction for") for answer in prediction.answers), (label, "label of")]:
        if answer is not None and not isinstance(answer, _KINDS):
            raise InputError(f"{what} {prediction.sample!r}: found {answer.kind} about a scene")
    boxes = any(isinstance(answer, SceneBoxes) for answer in prediction.answers)
    return source, SceneItem(
        name,
        prediction.expression,
        _best(prediction) if boxes else None,
        tuple(answer for answer in prediction.answers if isinstance(answer, PointMask)),
        label if isinstance(label, SceneBoxes) else None,
        label if isinstance(label, PointMask) else None,
        answered,
    )


def _best(prediction: Prediction) -> SceneBoxes:
    """Return the boxes of a prediction; of more than 200, the ones with the highest scores, in their order.

    An evaluated detector states each box once for every class, most of them with tiny scores.
    """
    boxes: SceneBoxes = prediction.answer(SceneBoxes)
    if boxes.scores is None or len(boxes) <= _MOST_BOXES:
        return boxes
    kept = np.sort(np.argsort(-boxes.scores, kind="stable")[:_MOST_BOXES])
    least, count = float(boxes.scores[kept].min()), len(boxes) - len(kept)
    log.info("%s: %d boxes are not drawn, whose scores are at most %.3g", prediction.sample, count, least)
    return boxes[kept]


def _room(source: SceneSource) -> Room:
    assert source.path is not None
    return load_room(Path(source.path), aligned=source.frame == "aligned", placed=source.transform)


def _write_files(base: Path, room: Room, item: SceneItem, files: Sequence[Format], min_score: float) -> list[Path]:
    """Write an item's files at `base` with the suffix of each format."""
    if not files:
        return []
    shown = answered_room(room, item, min_score)
    written = []
    for form in files:
        path = base.with_name(f"{base.name}.{form}")
        if form == "ply":
            written.append(write_room_ply(path, shown, "answer", boxes=True))
        else:
            written.append(write_room_glb(path, shown, "answer"))
    return written
