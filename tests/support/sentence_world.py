"""Prepared made scans, and sentences about their objects in the forms of ScanRefer, WS-3DVG and ReferIt3D."""

from __future__ import annotations

import csv
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from support.detector_world import prepared_scans

WORDS = ("the", "it", "is", "a", "chair", "table", "refrigerator", "near", "wall", "on", "left", "brown", ".")
TRAIN, VAL = ("scene0000_00", "scene0001_00"), ("scene0002_00", "scene0003_00")
CSV_COLUMNS = (
    "assignmentid", "stimulus_id", "utterance", "correct_guess", "scan_id", "instance_type", "target_id", "tokens",
    "mentions_target_class",
)  # fmt: skip


def labels_of(root: Path, scene: str) -> dict[int, str]:
    """Return the labels of the objects of a made scan without wall and floor, by objectId."""
    content = json.loads((root / "scannet" / "scans" / scene / f"{scene}.aggregation.json").read_text())
    return {group["objectId"]: group["label"] for group in content["segGroups"] if group["objectId"] > 1}


def made_scans(root: Path) -> Path:
    """Draw and prepare four scans in root/scannet, two for training; return root."""
    prepared_scans(root / "scannet", 4)
    return root


def records(root: Path, scenes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return two ScanRefer records for each object of the scenes."""
    made = []
    for scene in scenes:
        for number, label in labels_of(root, scene).items():
            for annotation in (0, 1):
                words = ["the", "brown", label, "is", "near", "the", "wall", "."]
                words += ["it", "is", "on", "the", "left", "."] if annotation else []
                made.append(
                    {
                        "scene_id": scene,
                        "object_id": str(number),
                        "object_name": label,
                        "ann_id": str(annotation),
                        "description": " ".join(words),
                        "token": words,
                    }
                )
    return made


def masked(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with WS-3DVG's keyword lists: the colour, the wall, and the side as a relation."""
    words, first = record["token"], record["token"][: record["token"].index(".") + 1]
    marks = [int(word in ("wall", "left")) for word in words]
    first_marks = [int(word == "brown") for word in first]
    texts = (_shown(words, marks), _shown(first, first_marks))
    return {
        **record,
        "mask_list": marks,
        "mask_first_list": first_marks,
        "masked_sentence": texts[0],
        "masked_first_sentence": texts[1],
    }


def _shown(words: list[str], marks: list[int]) -> str:
    """Return a sentence with "[MASK]" for its marked words."""
    return " ".join("[MASK]" if mark else word for word, mark in zip(words, marks, strict=True))


def write_scanrefer(
    root: Path, train: list[dict[str, Any]], val: list[dict[str, Any]], with_masks: bool = True
) -> Path:
    """Write ScanRefer's files into root/scanrefer, with WS-3DVG's masks for training if asked; return the folder."""
    folder = root / "scanrefer"
    folder.mkdir(exist_ok=True)
    name = "Masked_ScanRefer_filtered_train.json" if with_masks else "ScanRefer_filtered_train.json"
    (folder / name).write_text(json.dumps([masked(r) for r in train] if with_masks else train))
    (folder / "ScanRefer_filtered_val.json").write_text(json.dumps(val))
    return folder


def scanrefer_world(root: Path) -> Path:
    """Make scans with ScanRefer sentences, masked for training; return the folder of the sentences."""
    made_scans(root)
    return write_scanrefer(root, records(root, TRAIN), records(root, VAL))


def stimuli(root: Path, scenes: tuple[str, ...]) -> list[tuple[str, str, int, str]]:
    """Return scene, label, objectId and stimulus_id of each object."""
    made = []
    for scene in scenes:
        labels = labels_of(root, scene)
        counts = Counter(labels.values())
        for number, label in labels.items():
            others = [str(k) for k, name in labels.items() if name == label and k != number]
            made.append((scene, label, number, "-".join([scene, label, str(counts[label]), str(number), *others])))
    return made


def nr3d_rows(root: Path) -> list[dict[str, str]]:
    """Return one row of nr3d.csv for each object of all scans; the second one does not name its class."""
    rows = []
    for k, (scene, label, number, stimulus) in enumerate(stimuli(root, TRAIN + VAL)):
        words = ["the", label if k != 1 else "thing", "on", "the", "left" if k % 2 else "wall"]
        rows.append(
            dict(
                zip(
                    CSV_COLUMNS,
                    (
                        str(100 + k),
                        stimulus,
                        " ".join(words),
                        str(k != 2),
                        scene,
                        label,
                        str(number),
                        str(words),
                        str(k != 1),
                    ),
                    strict=True,
                )
            )
        )
    return rows


def write_nr3d(root: Path, rows: list[dict[str, str]], bad: list[str]) -> Path:
    """Write nr3d.csv with its lists into root/nr3d; return the folder."""
    folder = root / "nr3d"
    folder.mkdir(exist_ok=True)
    with (folder / "nr3d.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    (folder / "train_scans.txt").write_text(json.dumps(TRAIN))
    (folder / "test_scans.txt").write_text(json.dumps(VAL))
    (folder / "manually_inspected_bad_contexts.csv").write_text("\n".join(["stimulus_id", *bad]) + "\n")
    return folder


def write_glove(path: Path, words: tuple[str, ...] = (*WORDS, "unk", "pad", "sos", "eos", "unused")) -> Path:
    """Write word vectors as the published pickle, or as text by the suffix .txt; return the path."""
    random = np.random.default_rng(0)
    vectors = {word: random.normal(size=6) for word in words}
    if path.suffix == ".txt":
        path.write_text("".join(f"{w} {' '.join(map(repr, v.tolist()))}\n" for w, v in vectors.items()))
    else:
        path.write_bytes(pickle.dumps(vectors))
    return path
