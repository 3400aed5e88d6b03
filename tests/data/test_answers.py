"""Answers of every type read back to the same bits from a predictions file; a bad one is refused with its field."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g3d.data.answers import Answer, CameraBoxes, ImageBoxes, PixelMask, PointMask, SceneBoxes
from g3d.data.predictions import read_predictions, to_record, write_predictions
from g3d.data.types import ImageSource, Prediction, SceneSource
from g3d.errors import InputError

RANDOM = np.random.default_rng(3)
IMAGE = ImageSource("a.png", (6, 4), np.eye(3, 4))
SCENE = SceneSource("scans/scene0000_00", "scene0000_00", "aligned")
NAMES = np.array(["chair", "table"])
ANSWERS: dict[str, Answer] = {
    "camera boxes without KITTI's columns": CameraBoxes(
        NAMES,
        RANDOM.normal(size=(2, 4)),
        RANDOM.random((2, 3)),
        RANDOM.normal(size=(2, 3)),
        RANDOM.normal(size=2),
        scores=RANDOM.random(2),
    ),
    "no camera boxes": CameraBoxes.empty(scored=True),
    "scene boxes": SceneBoxes(NAMES, RANDOM.normal(size=(2, 3)), RANDOM.random((2, 3)), scores=RANDOM.random(2)),
    "turned scene boxes with ids": SceneBoxes(
        NAMES,
        RANDOM.normal(size=(2, 3)),
        RANDOM.random((2, 3)),
        np.array([0.0, 0.3]),
        np.array([7, -1]),
        RANDOM.random(2),
    ),
    "no scene boxes": SceneBoxes(np.zeros(0, "<U5"), np.zeros((0, 3)), np.zeros((0, 3)), scores=np.zeros(0)),
    "image boxes": ImageBoxes(NAMES, RANDOM.normal(size=(2, 4)), RANDOM.random(2)),
    "no image boxes": ImageBoxes(np.zeros(0, "<U5"), np.zeros((0, 4)), np.zeros(0)),
    "points": PointMask(RANDOM.random(1000) < 0.1, 0.1 + 0.2, "chair"),
    "no point": PointMask(np.zeros(5, bool), 0.5),
    "no points at all": PointMask(np.zeros(0, bool), 0.0),
    "pixels": PixelMask(RANDOM.random((4, 6)) < 0.5, 1.0),
    "no pixel": PixelMask(np.zeros((4, 6), bool), 0.0, "nothing"),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype.kind == b.dtype.kind and a.shape == b.shape and np.array_equal(a, b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_reads_back_to_the_same_bits(tmp_path: Path, name: str) -> None:
    answer = ANSWERS[name]
    source = SCENE if isinstance(answer, (SceneBoxes, PointMask)) else IMAGE
    write_predictions(tmp_path / "p.jsonl", [Prediction("a", source, (answer,), "the chair")])
    (found,) = read_predictions(tmp_path / "p.jsonl")
    assert all(same(getattr(found.source, field), value) for field, value in vars(source).items())
    read = found.answer(type(answer))  # type: ignore[type-var]
    assert {field: same(getattr(read, field), value) for field, value in vars(answer).items()} == dict.fromkeys(
        vars(answer), True
    )


def test_a_prediction_may_hold_several_masks(tmp_path: Path) -> None:
    masks = (PointMask(np.eye(4, dtype=bool)[0], 0.9), PointMask(np.eye(4, dtype=bool)[2], 0.4))
    write_predictions(tmp_path / "p.jsonl", [Prediction("a", SCENE, masks, "all chairs")])
    (found,) = read_predictions(tmp_path / "p.jsonl")
    assert [answer.score for answer in found.answers if isinstance(answer, PointMask)] == [0.9, 0.4]
    with pytest.raises(InputError, match="found point_mask, point_mask, expected one answer point_mask"):
        found.answer(PointMask)
    with pytest.raises(InputError, match="expected one answer scene_boxes"):
        found.answer(SceneBoxes)


def test_unknown_values_are_left_out() -> None:
    (boxes,) = to_record(Prediction("a", IMAGE, (ANSWERS["camera boxes without KITTI's columns"],)))["answers"]
    assert set(boxes["objects"][0]) == {"class", "score", "box2d", "size_hwl", "location", "rotation_y"}
    (boxes,) = to_record(Prediction("a", SCENE, (ANSWERS["turned scene boxes with ids"],)))["answers"]
    assert [set(thing) for thing in boxes["objects"]] == [
        {"class", "score", "center", "size", "id"},
        {"class", "score", "center", "size", "yaw"},
    ]


def test_rows_are_chosen_and_checked() -> None:
    boxes = ANSWERS["turned scene boxes with ids"]
    assert isinstance(boxes, SceneBoxes)
    assert boxes[1].classes.tolist() == ["table"]
    assert boxes[np.array([True, False])].ids.tolist() == [7]
    with pytest.raises(ValueError, match=r"SceneBoxes\.sizes: expected 2 rows as in classes, found 1"):
        replace(boxes, sizes=np.ones((1, 3)))


@pytest.mark.parametrize("answer", [PointMask(np.ones(3, bool)), PixelMask(np.ones((2, 2), bool))])
def test_labels_are_not_predictions(answer: Answer) -> None:
    with pytest.raises(InputError, match="prediction for 'a': a mask without a score is a label"):
        to_record(Prediction("a", SCENE, (answer,)))


def record(**changes: Any) -> dict[str, Any]:
    answer = {"kind": "point_mask", "points": 4, "runs": "13", "score": 0.5}
    source = {"kind": "scene", "path": None, "name": "room", "frame": "scene"}
    good = {"schema": 2, "sample": "a", "expression": "it", "source": source, "answers": [answer]}
    for name, value in changes.items():
        part, _, field = name.partition("_")
        where: dict[str, Any] = {"answer": answer, "source": source}.get(part, good) if field else good
        where[field or name] = value
    return good


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answer_kind": "voxels"}, r"answers\[0\]\.kind: found \"voxels\", expected camera_boxes or scene_boxes"),
        ({"answer_runs": "!!"}, r"answers\[0\]\.runs: found \"!!\", expected a run-length text of 4 values"),
        ({"answer_points": 5}, r"answers\[0\]\.runs: .*expected a run-length text of 5 values"),
        ({"answer_points": -1}, r"answers\[0\]\.points: found -1, expected a whole number"),
        ({"answer_points": 10**30}, r"answers\[0\]\.points: found 1000.*expected a whole number"),
        ({"answer_points": 0}, r"answers\[0\]\.runs: found \"13\", expected a run-length text of 0 values"),
        ({"answer_runs": 4}, r"answers\[0\]\.runs: found 4, expected a run-length text"),
        ({"answer_score": None}, r"answers\[0\]\.score: found null, expected a finite number"),
        ({"answer_scroe": 1}, r"answers\[0\]\.scroe is not a known field; did you mean 'score'"),
        ({"answers": [3]}, r"answers\[0\]: found 3, expected a JSON object"),
        ({"answers": {}}, r"answers: found \{\}, expected a list"),
        ({"source": None}, r"source: found null, expected a JSON object"),
        ({"source_kind": "room"}, r"source\.kind: found \"room\", expected image or scene"),
        ({"source_frame": "world"}, r"source\.frame: found \"world\", expected scene or aligned"),
        ({"source_name": ""}, r"source\.name: found \"\", expected the scene's name"),
        ({"source_size": None}, r"source\.size is not a known field"),
        ({"image": None}, r"image is not a known field"),
        (
            {
                "answers": [
                    {
                        "kind": "scene_boxes",
                        "objects": [{"class": "a", "score": 1, "center": [0] * 3, "size": [1] * 3, "id": 10**30}],
                    }
                ]
            },
            r"answers\[0\]\.objects\[0\]\.id: found 1000.*expected an integer",
        ),
    ],
)
def test_a_bad_record_is_refused_with_its_field(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(record(**changes)))
    with pytest.raises(InputError, match=r"p\.jsonl:1: " + says):
        read_predictions(tmp_path / "p.jsonl")
    (tmp_path / "p.jsonl").write_text(json.dumps(record()))
    assert len(read_predictions(tmp_path / "p.jsonl")) == 1


def test_a_sentence_is_answered_once(tmp_path: Path) -> None:
    lines = [record(), record(expression="that"), record()]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(InputError, match=r":3: sample 'a' with the sentence 'it' is already on line 1"):
        read_predictions(tmp_path / "p.jsonl")
