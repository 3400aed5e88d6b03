"""Classes and unique or multiple objects of ScanRefer sentences over many scenes, with other systems' variants."""

import tempfile
from pathlib import Path

import numpy as np

from g3d.data.scannet.labels import OTHERS, SCANREFER18_NAMES, SEMANTIC20_IDS, LabelTable
from g3d.data.scanrefer.sentences import class_of_object, unique_or_multiple, unique_or_multiple_nyu40
from parity.describe import DescriptionError
from parity.kinds.ws3dvg_dataset_item import text_of

NOT_RUN = -1


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    if tuple(case["settings"]["classes"]) != SCANREFER18_NAMES:
        raise DescriptionError(f"settings.classes: {case['settings']['classes']}, expected those of ScanRefer")
    if tuple(case["settings"]["m3dref_valid_nyu40_ids"]) != SEMANTIC20_IDS:
        raise DescriptionError("settings.m3dref_valid_nyu40_ids: expected those of ScanNet's benchmark")
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "labels.tsv"
        file.write_bytes(arrays["in.label_tsv"].tobytes())
        table = LabelTable.read(file)
    rows = text_of(arrays["in.annotations"])
    objects = [(row["scene_id"], row["object_id"], row["object_name"]) for row in rows]
    classes = np.array([table.class_of_expression(name) for _, _, name in objects])
    stopped = {scene for scene, _, _ in objects if f"rows of {scene}" in case["notes"]}
    counted = [k for k, (scene, _, _) in enumerate(objects) if scene not in stopped]
    nyu40 = np.full(len(objects), NOT_RUN)
    nyu40[counted] = unique_or_multiple_nyu40([objects[k] for k in counted], table)
    return {
        "class": classes,
        "class_last_word": np.array([class_of_object(name, table) for _, _, name in objects]),
        "unique_multiple": np.array(unique_or_multiple(objects, table)),
        "m3dref_unique_multiple": nyu40,
        "others": classes == OTHERS,
    }
