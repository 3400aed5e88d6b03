"""Draw predictions as PNG files, scene files and a page, for `g3d visualize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from g3d.data.answers import Answer
from g3d.data.types import Prediction, SceneSource
from g3d.errors import InputError, MissingDataError, did_you_mean
from g3d.metrics.table import Table
from g3d.progress import Progress, Silent
from g3d.visualize.images import draw_images
from g3d.visualize.page import PageTexts
from g3d.visualize.scene_answers import draw_scene_answers
from g3d.visualize.scenes import Format


def visualize_predictions(
    predictions: Sequence[Prediction],
    truth: Mapping[str, Answer] | None,
    out: Path,
    items: Sequence[str] | None = None,
    min_score: float = 0.3,
    title: str = "Predictions",
    table: Table | None = None,
    comparison: tuple[str, Table] | None = None,
    labels_only: bool = False,
    formats: Sequence[Format] = ("html",),
    progress: Progress | None = None,
) -> list[Path]:
    """Draw predictions, all about images or all about scenes.

    Each image becomes a PNG with 3D boxes (and a bird's-eye view), 2D boxes and masks, and one PNG per map in `maps/`.
    Each answer about a scene becomes a PLY or GLB file if `formats` requests it. One page, `index.html`, shows all.

    Args:
        predictions: the predictions to draw.
        truth: ground truth by sample, None if there is none; samples may be absent.
        out: output folder, created if it is missing.
        items: draw only these samples, in this order; all by default.
        min_score: objects with lower scores are omitted from PNG, PLY and GLB files; the page contains all objects and
            starts with this threshold. The best answer to a sentence is drawn whatever its score.
        title: heading of the page.
        table: figures to show on the page.
        comparison: a name and a table of the same columns, whose rows are shown under those of `table`.
        labels_only: True if there are no predictions; only labels are drawn.
        formats: "html" writes the page; "ply" and "glb" write one file for each answer about a scene.
        progress: receives an update for every image or scene.

    Returns:
        The written files, the page last.

    Raises:
        MissingDataError: an item has no prediction, or an image or a scene is missing.
        InputError: a prediction cannot be drawn, both images and scenes are to be drawn, or a format does not apply.
        EnvironmentProblem: a file cannot be written.
    """
    chosen = _choose(predictions, items)
    if not chosen:
        raise InputError("there are no predictions to draw")
    texts = PageTexts(title, min_score, table, comparison, labels_only=labels_only)
    named = list(zip(_names(chosen), chosen, strict=True))
    scenes = sum(isinstance(prediction.source, SceneSource) for prediction in chosen)
    if 0 < scenes < len(chosen):
        raise InputError(
            f"found predictions about images ({len(chosen) - scenes}) and scenes ({scenes}), expected one kind to draw",
            "Name samples of one kind with --item.",
        )
    if scenes:
        return draw_scene_answers(named, truth, out, texts, formats, progress or Silent())
    files = [form for form in formats if form != "html"]
    if files:
        raise InputError(f"format {files[0]}: found predictions about images, expected scenes")
    return draw_images(named, truth, out, texts, "html" in formats, progress or Silent())


def _choose(predictions: Sequence[Prediction], items: Sequence[str] | None) -> list[Prediction]:
    if items is None:
        return list(predictions)
    by_sample: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_sample.setdefault(prediction.sample, []).append(prediction)
    for item in items:
        if item not in by_sample:
            raise MissingDataError(f"sample {item!r}: there is no prediction for it{did_you_mean(item, by_sample)}")
    return [prediction for item in dict.fromkeys(items) for prediction in by_sample[item]]


def _names(predictions: Sequence[Prediction]) -> list[str]:
    """Return a unique name for each prediction: the sample's id, numbered if the sample has several predictions."""
    total, seen = Counter(prediction.sample for prediction in predictions), Counter[str]()
    names, taken = list[str](), {sample for sample, count in total.items() if count == 1}
    for prediction in predictions:
        name = prediction.sample
        if total[name] > 1:
            while True:
                seen[prediction.sample] += 1
                name = f"{prediction.sample}-{seen[prediction.sample]:02d}"
                if name not in taken:
                    break
            taken.add(name)
        names.append(name)
    return names
