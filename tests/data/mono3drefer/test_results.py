"""The published result.json: what is written reads back, and damaged files are said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g3d.data.mono3drefer.raw import Expression
from g3d.data.predictions import write_predictions
from g3d.data.types import Objects, Prediction
from g3d.errors import InputError, MissingDataError
from g3d.systems.jln.results import FILE, is_result_file, read_results, write_results

KEY = "000152_37_181"


def objects(name: str = "van", x: float = 1.25, scored: bool = True) -> Objects:
    scores = np.array([0.87]) if scored else None
    return Objects(
        np.array([name]),
        np.array([[10.5, 20.25, 110.1, 90.7]]),
        np.array([[1.5, 1.6, 4.0]]),
        np.array([[x, 1.7, 21.3]]),
        np.array([0.3]),
        np.array([0.1 + 0.2]),
        np.zeros(1),
        np.zeros(1, np.int64),
        scores,
    )


def expression(annotation: int = 181) -> Expression:
    return Expression(
        f"000152_37_{annotation}",
        "000152",
        37,
        annotation,
        "van",
        "The white van – near the kerb",
        objects(scored=False),
    )


def written(folder: Path) -> Path:
    expressions = [expression(), expression(182)]
    predictions = [
        Prediction(e.id, objects("car", x), e.sentence) for e, x in zip(expressions, (1.25, 2.0), strict=True)
    ]
    write_results(folder / FILE, predictions, expressions)
    return folder / FILE


def damaged(folder: Path, **fields: Any) -> Path:
    """A file whose first entry has other fields; None takes one away."""
    path = written(folder)
    entries = json.loads(path.read_text())
    entries[KEY] = {name: value for name, value in (entries[KEY] | fields).items() if value is not None}
    path.write_text(json.dumps(entries))
    return path


def test_entries_are_the_published_ones(tmp_path: Path) -> None:
    entries = json.loads(written(tmp_path).read_text())
    assert list(entries) == [KEY, "000152_37_182"]
    assert entries[KEY] == {
        "im_name": "000152",
        "instanceID": 37,
        "ann_id": 181,
        "label_2_pre": "[1, 0.30000000000000004, 10.5, 20.25, 110.1, 90.7, 1.5, 1.6, 4.0, 1.25, 1.7, 21.3, 0.3, 0.87]",
        "label_2_gt": [1.5, 1.6, 4.0, 1.25, 1.7, 21.3],
        "IoU": pytest.approx(1),
        "description": "The white van – near the kerb",
    }
    assert entries["000152_37_182"]["IoU"] == pytest.approx(0.75 / 2.25)


def test_what_is_written_reads_back_to_the_bit(tmp_path: Path) -> None:
    found = read_results(written(tmp_path), ["000152_37_182", KEY])
    assert [p.sample for p in found] == ["000152_37_182", KEY]
    assert found[1].expression == "The white van – near the kerb"
    expected = objects("car")
    for name in ("classes", "boxes2d", "sizes", "locations", "rotation_y", "alpha", "scores"):
        np.testing.assert_array_equal(getattr(found[1].objects, name), getattr(expected, name))


def test_numbers_as_numpy_2_prints_them(tmp_path: Path) -> None:
    row = "[1, np.float32(0.5), " + ", ".join(f"np.float64({k}.5e-1)" for k in range(12)) + "]"
    (found,) = read_results(damaged(tmp_path, label_2_pre=row), [KEY])
    assert found.objects.alpha.tolist() == [0.5]
    assert found.objects.boxes2d.tolist() == [[0.05, 0.15, 0.25, 0.35]]


def test_result_files_are_told_from_others(tmp_path: Path) -> None:
    assert is_result_file(written(tmp_path))
    assert is_result_file(damaged(tmp_path, label_2_pre="rubbish"))
    write_predictions(tmp_path / "predictions.jsonl", [Prediction(KEY, objects())])
    assert not is_result_file(tmp_path / "predictions.jsonl")
    assert not is_result_file(tmp_path)
    assert not is_result_file(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"label_2_pre": None}, "label_2_pre is missing"),
        ({"label_2_pre": [1, 2]}, "label_2_pre: found [1, 2], expected the text of a list"),
        ({"label_2_pre": "__import__('os')"}, "label_2_pre: found"),
        ({"label_2_pre": "[1, 2, 3]"}, "expected the text of a list of 14 numbers"),
        ({"label_2_pre": str([1] * 13 + ["0.5"])}, "label_2_pre, score: found '0.5', expected a finite number"),
        ({"label_2_pre": str([1] * 11 + ["X", 1, 1]).replace("'X'", "1e999")}, "label_2_pre, z: found inf"),
        ({"label_2_pre": str([10**400] * 14)}, "label_2_pre, class: found 1000"),
        ({"label_2_pre": str([9] + [1] * 13)}, "label_2_pre, class: found 9, expected 0..8"),
        ({"label_2_pre": str([0.5] + [1] * 13)}, "label_2_pre, class: found 0.5, expected 0..8"),
        ({"label_2_pre": "[" * 500}, "label_2_pre: found '[[["),
        ({"instanceID": "37"}, "instanceID: found '37', expected a whole number"),
        ({"ann_id": 5}, "found '000152_37_5', expected the same as the key"),
        ({"description": 3}, "description: found 3"),
    ],
)
def test_damaged_entries_are_refused(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    path = damaged(tmp_path, **fields)
    with pytest.raises(InputError) as refusal:
        read_results(path, [KEY])
    assert f"{path}: entry '{KEY}': " in refusal.value.message
    assert says in refusal.value.message
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not the JSON"),
        ('{"000152_37_181": {', "not the JSON"),
        ("[]", "found a list"),
        (f'{{"{KEY}": 3}}', "found 3, expected a JSON object"),
        (f'{{"{KEY}": {{}}, "{KEY}": {{}}}}', f"the key '{KEY}' comes twice"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=FILE) as refusal:
        read_results(tmp_path / FILE, [KEY])
    assert says in refusal.value.message


def test_other_expressions_are_passed_over_and_missing_ones_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path)
    with caplog.at_level("INFO"):
        assert len(read_results(path, [KEY])) == 1
    assert "are not used: 1 (first: 000152_37_182)" in caplog.text
    with pytest.raises(MissingDataError, match="1 of 2 expressions have no entry"):
        read_results(path, [KEY, "000152_37_999"])
    with pytest.raises(MissingDataError, match="not found"):
        read_results(tmp_path / "absent.json", [])


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Objects.empty(scored=True), "found no object"),
        (objects("Car"), "class: found 'Car'"),
        (objects(x=np.nan), "not finite in x"),
    ],
)
def test_predictions_that_the_file_cannot_hold(tmp_path: Path, found: Objects, says: str) -> None:
    with pytest.raises(InputError) as refusal:
        write_results(tmp_path / FILE, [Prediction(KEY, found)], [expression()])
    assert says in refusal.value.message
    assert not (tmp_path / FILE).exists()
