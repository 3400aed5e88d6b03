"""Nr3D as a data set: filters state their counts, and the table has the groups of ReferIt3D."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.sentence_world import made_scans, nr3d_rows, write_nr3d
from support.verbs import g3d

from g3d.data.predictions import write_predictions
from g3d.data.referit3d.filters import REFERIT3D
from g3d.data.scanrefer.index import SentenceRoot
from g3d.data.types import CameraBoxes, Prediction, SceneBoxes, SceneSource
from g3d.datasets.base import dataset_of
from g3d.datasets.referit3d import DATASET
from g3d.errors import InputError
from g3d.prepare.scene_sentences import prepare_sentences


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared Nr3D sentences about four made scans, two of them about bad contexts; read only."""
    root = made_scans(tmp_path_factory.mktemp("world"))
    rows = nr3d_rows(root)
    folder = write_nr3d(root, rows, [rows[0]["stimulus_id"], rows[7]["stimulus_id"]])
    prepare_sentences("referit3d", folder)
    return folder


def predictions(data: Path, ids: list[str]) -> list[Prediction]:
    """The true box of each sentence with the id of its object."""
    truth = DATASET.truth(data, "test", ids)
    made = []
    for name in ids:
        true = truth[name]
        assert isinstance(true, SceneBoxes)
        boxes = SceneBoxes(true.classes, true.centers, true.sizes, ids=true.ids, scores=np.ones(1))
        made.append(Prediction(name, SceneSource(None, name.split("-")[0], "aligned"), (boxes,)))
    return made


def test_splits_have_short_names_and_default_filters(data: Path) -> None:
    assert dataset_of(data) is DATASET
    for name in ("test", "val", "nr3d-test"):
        assert len(DATASET.split_ids(data, name)) == 5
    assert len(DATASET.split_ids(data, "train")) == 5
    with pytest.raises(InputError, match="split tset: unknown; expected nr3d-train, nr3d-test"):
        DATASET.split_ids(data, "tset")


def test_predictions_files_are_evaluated_with_the_filters_in_a_note(data: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "found.jsonl", predictions(data, DATASET.split_ids(data, "val")))
    code, out, err = g3d("eval", "--predictions", str(tmp_path / "found.jsonl"), "--data", str(data), "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["metrics"]["overall_acc50"] == 100
    assert result["metrics"]["overall_right"] == 100
    assert any(note.startswith("filters: 5 sentences count; left out: bad contexts 1.") for note in result["notes"])


def test_other_filters_leave_out_more(data: Path) -> None:
    evaluator = DATASET.evaluator(data, "test", SceneBoxes, {"filters": REFERIT3D})
    assert evaluator is not None
    evaluator.update(predictions(data, DATASET.split_ids(data, "test")))
    table = evaluator.compute()
    unique = sum(s.same_class == 1 for s in SentenceRoot.find(data, "referit3d").sentences("nr3d-test"))
    note = table.notes[0]
    assert "class not mentioned 0" in note
    assert "unique targets" in note
    assert unique > 0
    assert any("predictions for sentences that do not count" in line for line in table.notes)


def test_the_groups_are_easy_hard_and_by_view(data: Path) -> None:
    sentences = SentenceRoot.find(data, "referit3d").sentences("nr3d-test")
    ids = DATASET.split_ids(data, "test")
    evaluator = DATASET.evaluator(data, "test", SceneBoxes, {})
    assert evaluator is not None
    evaluator.update(predictions(data, ids))
    table = evaluator.compute()
    labels = {row.label for row in table.rows}
    assert {"easy", "hard", "overall", "easy, view-dependent", "overall, view-independent"} <= labels
    kept = [s for s in sentences if s.id in ids]
    easy = sum((s.same_class or 0) <= 2 for s in kept)
    dependent = sum("left" in s.words for s in kept)
    counts = next(note for note in table.notes if note.startswith("sentences:"))
    assert f"easy {easy};" in counts
    assert f"overall, view-dependent {dependent};" in counts


def test_other_answers_are_refused(data: Path) -> None:
    with pytest.raises(InputError, match="evaluates scene_boxes, found answers of camera_boxes"):
        DATASET.evaluator(data, "test", CameraBoxes, {})
