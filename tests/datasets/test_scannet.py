"""ScanNet as a data set: recognised folders, ground truth, and the evaluation of predictions files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.scans import draw_scans
from support.verbs import g3d

from g3d.data.predictions import write_predictions
from g3d.data.types import CameraBoxes, Prediction, SceneBoxes, SceneSource
from g3d.datasets.base import dataset_of, get_dataset
from g3d.datasets.scannet import DATASET
from g3d.errors import InputError, MissingDataError


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training scans, one of validation and a test scan; prepared, and in VoteNet's form; read only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 4, test=1)
    assert g3d("prepare", "scannet", "--data", str(root), "--published", "votenet")[0] == 0
    return root


@pytest.mark.parametrize("place", [".", "g3d", "g3d/scenes", "g3d/published/votenet"])
def test_prepared_and_published_folders_are_known(raw: Path, place: str) -> None:
    assert get_dataset("scannet") is DATASET
    assert dataset_of(raw / place) is DATASET


def test_a_raw_download_is_known_and_asks_to_be_prepared(tmp_path: Path) -> None:
    root = draw_scans(tmp_path, 1)
    assert dataset_of(root) is DATASET
    with pytest.raises(MissingDataError) as error:
        DATASET.split_ids(root, "train")
    assert "g3d prepare scannet" in str(error.value.hint)


def test_truth_has_classes_ids_and_aligned_boxes(raw: Path) -> None:
    (name,) = DATASET.split_ids(raw, "val")
    source = DATASET.sources(raw, "val", [name])[name]
    assert isinstance(source, SceneSource)
    assert (source.name, source.frame) == (name, "aligned")
    truth = DATASET.truth(raw, "val", [name])[name]
    assert isinstance(truth, SceneBoxes)
    assert len(truth) == 3  # wall and floor are no objects
    assert set(truth.classes) <= {"chair", "table", "refrigerator"}
    assert truth.ids.tolist() == [2, 3, 4]
    published = DATASET.truth(raw / "g3d" / "published" / "votenet", "all", [name])[name]
    assert isinstance(published, SceneBoxes)
    assert np.array_equal(published.centers, truth.centers)
    assert published.ids.tolist() == [-1] * 3


def test_scenes_without_annotation_have_no_truth(raw: Path) -> None:
    assert not DATASET.truth(raw, "all", ["scene0003_00"])
    (raw / "only_test.txt").write_text("scene0003_00\n")
    assert DATASET.evaluator(raw, str(raw / "only_test.txt"), SceneBoxes, {}) is None


def test_a_missing_scene_is_named(raw: Path) -> None:
    with pytest.raises(MissingDataError, match=r"scene scene0009_00 is not there .*did you mean"):
        DATASET.sources(raw, "all", ["scene0009_00"])


def predictions(raw: Path, shift: float) -> list[Prediction]:
    """The true boxes of validation as detections; those after the first of each scene are moved upwards."""
    made = []
    for name, truth in DATASET.truth(raw, "val", DATASET.split_ids(raw, "val")).items():
        assert isinstance(truth, SceneBoxes)
        centers = truth.centers.copy()
        centers[1:, 2] += shift
        boxes = SceneBoxes(truth.classes, centers, truth.sizes, scores=np.linspace(0.9, 0.5, len(truth)))
        made.append(Prediction(name, SceneSource(None, name, "aligned"), (boxes,)))
    return made


def test_predictions_files_are_evaluated(raw: Path, tmp_path: Path) -> None:
    for shift, wanted in ((0.0, 100.0), (9.0, None)):
        path = tmp_path / f"{shift}.jsonl"
        write_predictions(path, predictions(raw, shift))
        code, out, err = g3d("eval", "--predictions", str(path), "--data", str(raw), "--split", "val", "--json")
        assert code == 0, err
        metrics = json.loads(out)["metrics"]
        assert metrics["mAP25"] == metrics["mAP50"]
        assert metrics["mAP25"] == wanted if wanted else 0 < metrics["mAP25"] < 100


def test_bad_predictions_are_refused(raw: Path) -> None:
    (found,) = predictions(raw, 0.0)
    evaluator = DATASET.evaluator(raw, "val", SceneBoxes, {})
    assert evaluator is not None
    with pytest.raises(MissingDataError, match="1 of 1 scenes of the split are missing"):
        evaluator.compute()
    evaluator.update([found])
    with pytest.raises(InputError, match="comes twice"):
        evaluator.update([found])
    with pytest.raises(InputError, match="evaluates scene_boxes, found answers of camera_boxes"):
        DATASET.evaluator(raw, "val", CameraBoxes, {})
