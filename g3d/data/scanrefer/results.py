"""Result files of ScanRefer and WS-3DVG.

    pred.json        of ScanRefer's benchmark: [{scene_id, object_id, ann_id, bbox (8 corners), unique_multiple,
                     others}, ...]
    predictions.p    pickle: {scene: {object: {sentence: {pred_bbox (8, 3), gt_bbox (8, 3), iou}}}}
    scores.p         pickle: {ious, masks (0 unique, 1 multiple), others, ...}, each with a list for every repetition

Boxes are parallel to the axes, in the aligned frame, in metres; `scene_box_corners` has the order of the corners.

Source: benchmark/predict.py and scripts/joint_scripts/ground_eval.py of ZzZZCHS/WS-3DVG, after daveredrum/ScanRefer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data import pickles
from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.scannet.labels import OTHERS
from g3d.data.scanrefer.index import IndexedSentence
from g3d.data.types import Prediction, SceneBoxes, SceneSource
from g3d.errors import InputError, MissingDataError
from g3d.geometry.boxes import scene_box_corners
from g3d.metrics.scene_grounding import Overlaps, scene_grounding_table
from g3d.metrics.table import Table, mean_table

log = logging.getLogger(__name__)
FILE = "pred.json"
_ENTRY = ("scene_id", "object_id", "ann_id", "bbox")
_CLASS = "object"  # the files do not state a class
_PICKLES = (".p", ".pkl", ".pickle")
_SLACK = 1e-3  # metres by which corners may leave the faces of a box that is parallel to the axes


def write_benchmark(path: Path, predictions: Sequence[Prediction], sentences: Mapping[str, IndexedSentence]) -> None:
    """Write the first answer to each sentence in the form of ScanRefer's benchmark.

    Args:
        path: the file.
        predictions: answers with boxes, the answer first.
        sentences: the sentences by id.

    Raises:
        InputError: a prediction has no box, or a number that is not finite.
        EnvironmentProblem: the file cannot be written.
    """
    entries = []
    for prediction in predictions:
        boxes, sentence = prediction.answer(SceneBoxes), sentences[prediction.sample]
        if not len(boxes):
            raise InputError(
                f"{path}: prediction for {prediction.sample!r}: found no box, expected one: the benchmark has one "
                f"for every sentence"
            )
        corners = scene_box_corners(boxes.centers[:1], boxes.sizes[:1], boxes.yaws[:1])[0]
        if not np.isfinite(corners).all():
            raise InputError(f"{path}: prediction for {prediction.sample!r}: found a number that is not finite")
        entries.append(
            {
                "scene_id": sentence.scene,
                "object_id": str(sentence.object),
                "ann_id": sentence.annotation,
                "bbox": corners.tolist(),
                "unique_multiple": int(sentence.several),
                "others": int(sentence.whole_name_class == OTHERS),
            }
        )
    with atomic_write(path) as file:
        file.write(json.dumps(entries, indent=1, allow_nan=False).encode() + b"\n")


def is_result_file(path: Path) -> bool:
    """Return whether a file looks like benchmark results, or is a pickle of predictions by its name."""
    if path.is_dir():
        return (path / FILE).is_file()
    if not path.is_file():
        return False
    if path.suffix in _PICKLES:
        return True
    with path.open("rb") as file:
        start = file.read(4000).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    return start.startswith("[") and '"bbox"' in start and '"scene_id"' in start


def read_results(path: Path, ids: Sequence[str]) -> list[Prediction]:
    """Return the predictions of a benchmark file or of predictions.p, in the order of `ids`.

    Entries of other sentences are not used; their number is logged.

    Raises:
        MissingDataError: the file does not exist, or has no entry for a sentence.
        InputError: the file would run code, is damaged, or an entry cannot be used. The message names the file, the
            entry, the field, the found and the expected value.
    """
    path = path / FILE if path.is_dir() else path
    boxes = _from_pickle(path) if path.suffix in _PICKLES else _from_json(path)
    missing = [name for name in ids if name not in boxes]
    if missing:
        raise MissingDataError(
            f"{path}: {len(missing)} of {len(ids)} sentences have no entry (first: {missing[0]})",
            "Is it the result of another --split?",
        )
    wanted = set(ids)
    extra = [name for name in boxes if name not in wanted]
    if extra:
        log.info("%s: entries of sentences outside the split are not used: %d (first: %s)", path, len(extra), extra[0])
    return [Prediction(name, SceneSource(None, boxes[name][0], "aligned"), (boxes[name][1],)) for name in ids]


Boxes = dict[str, tuple[str, SceneBoxes]]


def _from_json(path: Path) -> Boxes:
    with reading(path, "results", problem="not valid JSON, expected ScanRefer's benchmark results"):
        entries = json.loads(path.read_bytes())
    if not isinstance(entries, list) or not entries:
        raise InputError(f"results {path}: expected a list with an entry for each sentence")
    found: Boxes = {}
    for k, entry in enumerate(entries):
        where = f"results {path}: entry {k}"
        if not isinstance(entry, dict) or any(field not in entry for field in _ENTRY):
            raise InputError(f"{where}: expected an object with the fields {', '.join(_ENTRY)}")
        names = [entry[field] for field in _ENTRY[:3]]
        if not all(isinstance(name, str | int) and not isinstance(name, bool) for name in names):
            raise InputError(f"{where}: scene_id, object_id, ann_id: found {names}, expected names")
        _add(found, where, [str(name) for name in names], entry["bbox"], "bbox")
    return found


def _from_pickle(path: Path) -> Boxes:
    content = pickles.read(path, "results")
    if isinstance(content, dict) and "ious" in content:
        raise InputError(f"results {path}: found scores without boxes", "give the predictions.p that lies beside it")
    found: Boxes = {}
    for scene, objects in _items(path, "content", content):
        for number, sentences in _items(path, f"scene {scene}", objects):
            for annotation, entry in _items(path, f"scene {scene}, object {number}", sentences):
                where = f"results {path}: {scene}, object {number}, sentence {annotation}"
                if not isinstance(entry, dict) or "pred_bbox" not in entry:
                    raise InputError(f"{where}: expected pred_bbox, gt_bbox and iou")
                _add(found, where, [str(scene), str(number), str(annotation)], entry["pred_bbox"], "pred_bbox")
    if not found:
        raise InputError(f"results {path}: found no predictions")
    return found


def _items(path: Path, what: str, content: Any) -> list[tuple[Any, Any]]:
    if not isinstance(content, dict):
        raise InputError(f"results {path}: {what}: found {type(content).__name__}, expected a dict")
    return list(content.items())


def _add(found: Boxes, where: str, names: Sequence[str], corners: Any, field: str) -> None:
    """Add the box of eight corners under the sentence's id."""
    name = "-".join(names)
    if name in found:
        raise InputError(f"{where}: the sentence {name} comes twice")
    try:
        points = np.asarray(corners, np.float64)
    except (ValueError, TypeError):
        points = np.zeros(0)
    if points.shape != (8, 3) or not np.isfinite(points).all():
        raise InputError(f"{where}: {field}: expected 8 corners of 3 finite numbers")
    low, high = points.min(0), points.max(0)
    if np.minimum(points - low, high - points).max() > _SLACK:
        raise InputError(f"{where}: {field}: expected the corners of a box that is parallel to the axes")
    center, size = (low + high) / 2, high - low
    box = SceneBoxes(np.array([_CLASS], np.str_), center[None], size[None], scores=np.ones(1))
    found[name] = (names[0], box)


def read_scores(path: Path) -> Table:
    """Return the published table of a scores.p: the mean over its repetitions.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file would run code, is damaged, or its lists do not fit each other.
    """
    content = pickles.read(path, "scores")
    keys = ("ious", "masks", "others")
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise InputError(f"scores {path}: expected a dict with {', '.join(keys)}")
    with reading(path, "scores", problem="its lists are no numbers of one length"):
        ious, masks, others = (np.atleast_2d(np.asarray(content[key], np.float64)) for key in keys)
        best = np.atleast_2d(np.asarray(content["topk_ious"], np.float64)) if "topk_ious" in content else ious
    if not ious.shape == masks.shape == others.shape == best.shape or not ious.size:
        shapes = ", ".join(str(array.shape) for array in (ious, masks, others, best))
        raise InputError(
            f"scores {path}: found lists of shapes {shapes}, expected one number for each sentence in each"
        )
    top = 3 if "topk_ious" in content else 1
    tables = [
        scene_grounding_table(
            Overlaps(ious[k], best[k], top),
            {"unique": masks[k] == 0, "multiple": masks[k] == 1},
            {"not in others": others[k] == 0, "in others": others[k] == 1},
            "published scores",
        )
        for k in range(len(ious))
    ]
    return mean_table(tables)
