"""One scene with its sentences as WS-3DVG reads it: words, masks, classes, groups, boxes and votes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import paths

from g3d.data.scannet.detection import SCANREFER18, DetectionScene, draw_item, floor_height
from g3d.data.scannet.labels import LabelTable, scanrefer18
from g3d.data.scannet.mean_sizes import SCANREFER_MEAN_SIZES
from g3d.data.scanrefer.sentences import (
    class_of_object,
    keyword_mask,
    unique_or_multiple,
    view_dependent,
    vocabulary,
    word_numbers,
)
from g3d.systems.votenet.targets import vote_targets
from parity.check import Check
from parity.describe import DescriptionError, stated

HARD_FROM = 3  # objects of the class of the target, in Nr3D


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    table = LabelTable.read(label_table(case["settings"]["label_map"]))
    sentences, glove = text_of(arrays["in.annotations"]), text_of(arrays["in.glove_words"])
    found: dict[str, np.ndarray | Check] = words_of(case, arrays, sentences, glove)
    classes = [class_of_object(s["object_name"], table) for s in sentences]
    several = unique_or_multiple([(s["scene_id"], s["object_id"], s["object_name"]) for s in sentences], table)
    probe = {name: class_or_none(name, table) for name in text_of(arrays["out.raw2label_probe"])}
    found |= {
        "out.raw2label_probe": same_text("raw2label_probe", probe, arrays),
        "object_cat": np.array(classes),
        "unique_multiple": np.array(several, np.int64),
        "easy_hard": np.array([int(s["hardness"]) >= HARD_FROM for s in sentences], np.int64),
        "dep_indep": np.array([not view_dependent(s["token"]) for s in sentences], np.int64),
    }
    return found | scene_of(arrays, [int(s["object_id"]) for s in sentences])


def words_of(
    case: dict, arrays: dict[str, np.ndarray], sentences: list[dict[str, Any]], glove: list[str]
) -> dict[str, np.ndarray | Check]:
    """Return vocabulary, word numbers, masks and lengths."""
    longest = case["settings"]["max_sentence_length"]
    numbers = vocabulary([s["token"] for s in sentences], set(glove))
    read = [word_numbers(s["token"], numbers) for s in sentences]
    if len(read[0][0]) != longest:
        raise DescriptionError(f"settings.max_sentence_length: {longest}, g3d reads {len(read[0][0])} words")
    masks = [
        keyword_mask(len(s["token"]), s.get("mask_list"), s.get("mask_first_list"), published=True) for s in sentences
    ]
    return {
        "out.vocabulary": same_text("vocabulary", numbers, arrays),
        "ground_ids": np.stack([ids for ids, _ in read]),
        "ground_known": np.stack([known for _, known in read]).astype(np.int64),
        "masks": np.stack(masks),
        "len": np.array([min(len(s["token"]), longest) for s in sentences]),
    }


def scene_of(arrays: dict[str, np.ndarray], targets: list[int]) -> dict[str, np.ndarray]:
    """Return box labels, votes, and the box of each sentence's object."""
    boxes = arrays["in.bboxes"]
    scene = DetectionScene(
        "made",
        arrays["in.vertices"][:, :3],
        arrays["in.vertices"][:, 3:6].astype(np.uint8),
        arrays["in.instance"].astype(np.int64),
        arrays["in.semantic"].astype(np.int64),
        boxes[:, :6].astype(np.float64),
        boxes[:, 6].astype(np.int64),
        boxes[:, 7].astype(np.int64),
    )
    item = draw_item(scene, np.arange(len(scene.points)), False, SCANREFER18)
    rows = len(arrays["out.center_label"])
    labels = vote_targets(item, torch.from_numpy(SCANREFER_MEAN_SIZES), rows)
    row_of = {number: row for row, number in enumerate(item.ids.tolist())}
    chosen = item.boxes[[row_of[number] for number in targets]]
    signs = np.array([[x, y, z] for z in (1, -1) for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1))])
    return {
        "center_label": labels.boxes.centers.numpy(),
        "size_class_label": labels.boxes.classes.numpy(),
        "size_residual_label": labels.boxes.size_residuals.numpy(),
        "ref_center": chosen[:, :3],
        "ref_corners": chosen[:, None, :3] + signs * chosen[:, None, 3:] / 2,
        "vote_label_sum": labels.offsets.flatten(1).sum(0, dtype=torch.float64).numpy(),
        "vote_count": labels.on_object.sum().reshape(1).numpy(),
        "height_floor": floor_height(scene.points).reshape(1),
    }


def class_or_none(name: str, table: LabelTable) -> int | None:
    """Return the class of a raw name; None if the table does not have it."""
    return int(scanrefer18(np.array(table[name].nyu40))) if name in table else None


def same_text(name: str, found: Any, arrays: dict[str, np.ndarray]) -> Check:
    """Return whether a value equals that of a JSON text."""
    expected = text_of(arrays[f"out.{name}"])
    wrong = sum(found.get(key) != value for key, value in expected.items()) + len(set(found) - set(expected))
    return Check(name, float(wrong), "equal", found == expected, f"{len(expected)} entries")


def text_of(content: np.ndarray) -> Any:
    """Return the value of JSON text stored as bytes."""
    return json.loads(content.tobytes().decode())


def label_table(text: str) -> Path:
    """Return the path of the label table that a case names.

    Raises:
        DescriptionError: the file is not among the public files beside the repository.
    """
    (name,) = stated(text, r"^(\S+\.tsv) of daveredrum/ScanRefer$", "settings.label_map")
    path = paths.REAL / "scannet" / "meta" / name
    if not path.is_file():
        raise DescriptionError(f"settings.label_map: the public file {path} is not there")
    return path
