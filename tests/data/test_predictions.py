"""A predictions file reads back to the same bits, and a bad one is refused with the line and the field."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g3d.data.predictions import read_predictions, write_predictions
from g3d.data.types import CameraBoxes, ImageSource, Prediction, SceneBoxes, SceneSource
from g3d.errors import EnvironmentProblem, InputError, MissingDataError

NOWHERE = ImageSource()
CAMERA = np.array([[721.5377, 0, 609.5593, 44.85728], [0, 721.5377, 172.854, 0.2163791], [0, 0, 1, 0.002745884]])
ARRAYS = ("boxes2d", "sizes", "locations", "rotation_y", "alpha", "truncated", "occluded", "scores")


def some_objects(count: int, seed: int = 0) -> CameraBoxes:
    random = np.random.default_rng(seed)
    return CameraBoxes(
        np.array(["Car", "Pedestrian", "Person_sitting"])[random.integers(0, 3, count)],
        random.normal(500, 99, (count, 4)),
        random.random((count, 3)),
        random.normal(0, 20, (count, 3)),
        random.normal(0, 1, count),
        random.normal(0, 1, count),
        np.full(count, -1.0),
        np.full(count, -1),
        np.sort(random.random(count))[::-1],
    )


def record(**changes: Any) -> dict[str, Any]:
    thing: dict[str, Any] = {
        "class": "Car",
        "score": 0.5,
        "box2d": [1, 2, 3, 4],
        "size_hwl": [1.5, 1.6, 4],
        "location": [0, 1.6, 20],
        "rotation_y": 0,
        "alpha": 0,
    }
    good: dict[str, Any] = {
        "schema": 1,
        "sample": "000001",
        "expression": None,
        "image": None,
        "image_size": None,
        "camera": None,
        "objects": [thing],
    }
    for name, value in changes.items():
        if name.startswith("object_"):
            thing[name.removeprefix("object_")] = value
        else:
            good[name] = value
    return good


def write_lines(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def assert_equal(a: Prediction, b: Prediction) -> None:
    assert (a.sample, a.expression) == (b.sample, b.expression)
    assert isinstance(a.source, ImageSource)
    assert isinstance(b.source, ImageSource)
    assert (a.source.path, a.source.size) == (b.source.path, b.source.size)
    assert (a.source.camera is None) == (b.source.camera is None)
    if a.source.camera is not None and b.source.camera is not None:
        assert np.array_equal(a.source.camera, b.source.camera)
    mine, other = a.answer(CameraBoxes), b.answer(CameraBoxes)
    assert mine.classes.tolist() == other.classes.tolist()
    for name in ARRAYS:
        ours, theirs = getattr(mine, name), getattr(other, name)
        assert ours.dtype == theirs.dtype, name
        assert ours.shape == theirs.shape, name
        assert np.array_equal(ours, theirs), name


def test_every_bit_comes_back(tmp_path: Path) -> None:
    odd = some_objects(4, seed=1)
    odd.truncated[:] = [-1, 0, 0.1 + 0.2, 1]
    odd.occluded[:] = [3, -1, 0, 2]
    odd.locations[0] = [1e-300, -0.0, 1e22]
    written = [
        Prediction("000008", ImageSource("image_2/000008.png", (1242, 375), CAMERA), (some_objects(5),)),
        Prediction("000008", NOWHERE, (odd,), 'the "left" van </script> – naïve\nnew line'),
        Prediction("empty", NOWHERE, (CameraBoxes.empty(scored=True),)),
    ]
    write_predictions(tmp_path / "deep" / "predictions.jsonl", written)
    read = read_predictions(tmp_path / "deep" / "predictions.jsonl")
    assert len(read) == 3
    for a, b in zip(read, written, strict=True):
        assert_equal(a, b)


def test_the_transform_of_a_scene_comes_back_and_is_optional(tmp_path: Path) -> None:
    transform = np.diag([0.001, 0.001, 0.001, 1])
    transform[:3, 3] = [-452_345.1, 5_411_948 / 7, 0]
    nothing = SceneBoxes(np.zeros(0, str), np.zeros((0, 3)), np.zeros((0, 3)), scores=np.zeros(0))
    written = [
        Prediction("a", SceneSource("a.ply", "a", "scene", transform), (nothing,)),
        Prediction("b", SceneSource("b", "b", "aligned"), (nothing,)),
    ]
    write_predictions(tmp_path / "p.jsonl", written)
    first, second = (p.source for p in read_predictions(tmp_path / "p.jsonl"))
    assert isinstance(first, SceneSource)
    assert isinstance(second, SceneSource)
    assert first.transform is not None
    assert np.array_equal(first.transform, transform)
    assert (first.path, first.name, first.frame) == ("a.ply", "a", "scene")
    assert second.transform is None
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert set(lines[1]["source"]) == {"kind", "path", "name", "frame"}  # as files of earlier versions
    lines[0]["source"]["transform"] = [[1, 0, 0, 0]] * 3
    with pytest.raises(InputError, match=r":1: source\.transform: found .*, expected 4 rows of 4 numbers"):
        read_predictions(write_lines(tmp_path / "bad.jsonl", lines[0]))


def test_one_line_per_record_and_unknown_values_left_out(tmp_path: Path) -> None:
    write_predictions(
        tmp_path / "p.jsonl",
        [
            Prediction("a", NOWHERE, (some_objects(2),), "two\nlines\u2028here"),
            Prediction("b", NOWHERE, (some_objects(1),)),
        ],
    )
    lines = (tmp_path / "p.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 3
    assert lines[2] == b""
    assert "truncated" not in json.loads(lines[1])["answers"][0]["objects"][0]


def test_float32_scores_are_kept_exactly(tmp_path: Path) -> None:
    objects = some_objects(1)
    narrow = replace(objects, scores=np.array([0.1], np.float32))
    write_predictions(tmp_path / "p.jsonl", [Prediction("a", NOWHERE, (narrow,))])
    assert read_predictions(tmp_path / "p.jsonl")[0].answer(CameraBoxes).scores[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"p\.jsonl:2: not a JSON record"),
        ("[]", r"p\.jsonl:2: record: found \[\], expected a JSON object"),
        (record(schema=3), r":2: schema: found 3, expected 1 or 2"),
        ({"sample": "a"}, r":2: schema: found null, expected 1"),
        ({k: v for k, v in record().items() if k != "camera"}, r":2: camera is missing \(found: schema, sample"),
        (record(imagesize=None), r":2: imagesize is not a known field; did you mean 'image_size'"),
        (record(sample=8), r":2: sample: found 8, expected the sample's id"),
        (record(expression=["a"]), r":2: expression: found \[\"a\"\], expected a string or null"),
        (record(image_size=[1242, 0]), r":2: image_size: found \[1242, 0\], expected \[width, height\]"),
        (record(camera=[[1, 2, 3, 4]]), r":2: camera: found .*expected 3 rows of 4 numbers"),
        (
            record(camera=[[1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 4]]),
            r":2: camera\[1\]: found \[1, 2, 3\], expected 4 finite numbers",
        ),
        (record(objects={}), r":2: objects: found \{\}, expected a list"),
        (record(objects=[3]), r":2: objects\[0\]: found 3, expected a JSON object"),
        (record(object_score="0.5"), r":2: objects\[0\]\.score: found \"0\.5\", expected a finite number"),
        (record(object_score=None), r":2: objects\[0\]\.score: found null, expected a finite number"),
        (record(object_score=True), r":2: objects\[0\]\.score: found true, expected a finite number"),
        (record(object_score=float("nan")), r":2: objects\[0\]\.score: found NaN, expected a finite number"),
        (record(object_box2d=[1, 2, 3]), r":2: objects\[0\]\.box2d: found \[1, 2, 3\], expected 4 finite numbers"),
        (record(object_location=[1, 2, float("inf")]), r":2: objects\[0\]\.location: .*expected 3 finite numbers"),
        (record(object_score=10**400), r":2: objects\[0\]\.score: found \[1000.*expected a finite number"),
        (record(object_occluded=0.5), r":2: objects\[0\]\.occluded: found 0\.5, expected an integer"),
        (record(object_class=""), r":2: objects\[0\]\.class: found \"\", expected a class name"),
        (record(object_aplha=1.0), r":2: objects\[0\]\.aplha is not a known field; did you mean 'alpha'"),
        (record(sample="first"), r":2: sample 'first' is already on line 1"),
    ],
)
def test_bad_record_is_named(tmp_path: Path, line: Any, message: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", record(sample="first"), line)
    with pytest.raises(InputError, match=message):
        read_predictions(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b"\x80\x04\x95")
    with pytest.raises(InputError, match=r":1: not a JSON record: not UTF-8 text"):
        read_predictions(tmp_path / "p.jsonl")


def test_blank_lines_are_skipped_and_sentences_may_repeat(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", "", record(expression="a car"), "  ", record(expression="a car"), "")
    assert len(read_predictions(path)) == 2


def test_missing_file_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"nothing\.jsonl: not found"):
        read_predictions(tmp_path / "nothing.jsonl")


def test_diverged_numbers_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_predictions(path, [Prediction("old", NOWHERE, (some_objects(1),))])
    bad = some_objects(1)
    bad.locations[0, 2] = np.nan
    with pytest.raises(InputError, match=r"'new'.*not finite in location"):
        write_predictions(path, [Prediction("fine", NOWHERE, (some_objects(1),)), Prediction("new", NOWHERE, (bad,))])
    assert [p.sample for p in read_predictions(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_labels_are_not_predictions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without scores"):
        write_predictions(tmp_path / "p.jsonl", [Prediction("a", NOWHERE, (CameraBoxes.empty(scored=False),))])
    assert not list(tmp_path.iterdir())


def test_unwritable_place_is_an_environment_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_predictions(tmp_path / "file" / "p.jsonl", [])
