"""KITTI as a data set: the test split is in testing/, which has no labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.drawn import micro
from support.verbs import g3d

from g3d.data.types import CameraBoxes, ImageSource, PointMask
from g3d.datasets.base import dataset_of, get_dataset
from g3d.datasets.kitti import DATASET
from g3d.errors import InputError, MissingDataError
from g3d.prepare.kitti import prepare_kitti


@pytest.fixture
def with_test_folder(drawn_kitti: Path, tmp_path: Path) -> Path:
    """A drawn KITTI folder whose testing/ holds other pictures under the same numbers as training/."""
    root = Path(shutil.copytree(drawn_kitti, tmp_path / "kitti"))
    for name in ("image_2", "calib"):
        (root / "testing" / name).mkdir(parents=True)
    for frame in ("000000", "000001"):
        Image.new("RGB", (100, 70), (9, 9, 9)).save(root / "testing" / "image_2" / f"{frame}.png")
        shutil.copy(root / "training" / "calib" / f"{frame}.txt", root / "testing" / "calib")
    (root / "ImageSets" / "test.txt").write_text("000000\n000001\n")
    return root


def test_the_test_split_reads_testing_and_has_no_figures(with_test_folder: Path, tmp_path: Path) -> None:
    prepare_kitti(with_test_folder)
    run, data = str(tmp_path / "run"), ("--data", str(with_test_folder))
    code, _, err = g3d("train", "--preset", "monodle-ddml-tiny", *data, "--out", run, *micro("train.epochs=1"))
    assert code == 0, err
    test = (*data, "--split", "test")
    code, out, err = g3d("eval", "--ckpt", run, *test, "--native", str(tmp_path / "native"))
    assert (code, out) == (0, "")
    assert "split test has no labels: predicted 2 samples, no figures" in err
    assert sorted(path.name for path in (tmp_path / "native").iterdir()) == ["000000.txt", "000001.txt"]
    lines = (Path(run) / "predictions" / "test.jsonl").read_text().splitlines()
    sources = [json.loads(line)["source"] for line in lines]
    assert [source["size"] for source in sources] == [[100, 70]] * 2
    assert all(f"{Path('testing') / 'image_2'}" in source["path"] for source in sources)

    code, out, err = g3d("eval", "--predictions", str(tmp_path / "native"), *test, "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"] is None
    code, out, err = g3d(
        "visualize", "--predictions", str(tmp_path / "native"), *test, "--out", str(tmp_path / "drawn")
    )
    assert code == 0, err
    assert (tmp_path / "drawn" / "000001.png").is_file()


def test_predictions_of_the_test_split_never_meet_labels_of_training(with_test_folder: Path, tmp_path: Path) -> None:
    run, data = str(tmp_path / "run"), ("--data", str(with_test_folder))
    assert g3d("train", "--preset", "monodle", *data, "--out", run, *micro("train.epochs=1"))[0] == 0
    assert g3d("eval", "--ckpt", run, "--split", "test")[0] == 0
    drawn = ("visualize", "--predictions", f"{run}/predictions/test.jsonl", *data, "--out", str(tmp_path / "drawn"))
    for args in (drawn, ("eval", *drawn[1:3], *data, "--split", "train")):
        code, _, err = g3d(*args)
        assert code == 2
        assert "testing/image_2/000000.png, but in split " in err
        assert "training/image_2/000000.png" in err
        assert "--split" in err
    assert not (tmp_path / "drawn").exists()
    assert g3d(*drawn, "--split", "test")[0] == 0
    code, out, _ = g3d("eval", *drawn[1:3], *data, "--split", "test", "--json")
    assert code == 0
    assert '"metrics": null' in out


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_training_that_cannot_be_evaluated_does_not_begin(
    drawn_kitti: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    train = ("train", "--preset", "monodle", "--data", str(drawn_kitti), "--out", str(tmp_path / "run"), *more)
    for split, says in (("nonsense", "split 'nonsense' is unknown"), ("test", "expected testing/")):
        code, _, err = g3d(*train, *micro(f"data.val={split}", "train.eval_epochs=2"))
        assert code in (2, 3)
        assert says in err
    assert not (tmp_path / "run").exists()


def test_a_split_without_labels_is_not_predicted_while_training(
    with_test_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("g3d.engine.evaluate.predict", lambda *args, **options: pytest.fail("predicted in vain"))
    train = ("train", "--preset", "monodle", "--data", str(with_test_folder), "--out", str(tmp_path / "run"))
    code, _, err = g3d(*train, *micro("data.val=test", "train.eval_epochs=1", "train.epochs=1"))
    assert code == 0, err
    assert "split test has no labels: there is nothing to evaluate" in err


def test_without_a_testing_folder_the_test_split_is_missing(drawn_kitti: Path) -> None:
    with pytest.raises(MissingDataError, match="expected testing/"):
        DATASET.split_ids(drawn_kitti, "test")


def test_a_training_split_without_labels_is_no_test_split(with_test_folder: Path) -> None:
    shutil.rmtree(with_test_folder / "training" / "label_2")
    with pytest.raises(MissingDataError, match="label folder"):
        DATASET.evaluator(with_test_folder, "val", CameraBoxes, {})


def test_sources_and_truth(drawn_kitti: Path) -> None:
    ids = DATASET.split_ids(drawn_kitti, "val")
    sources, truth = DATASET.sources(drawn_kitti, "val", ids), DATASET.truth(drawn_kitti, "val", ids)
    source = sources[ids[0]]
    assert isinstance(source, ImageSource)
    assert source.size == (96, 64)
    assert source.camera is not None
    assert source.camera.shape == (3, 4)
    assert list(truth) == ids
    assert {type(answer) for answer in truth.values()} == {CameraBoxes}
    assert DATASET.expressions(drawn_kitti, "val", ids) == {}


def test_other_answers_than_boxes_have_no_evaluation(drawn_kitti: Path) -> None:
    with pytest.raises(InputError, match=r"kitti: evaluates camera_boxes, found answers of point_mask"):
        DATASET.evaluator(drawn_kitti, "val", PointMask, {})


def test_a_data_set_is_found_by_name_and_by_folder(drawn_kitti: Path, mini_mono3drefer: Path, tmp_path: Path) -> None:
    assert get_dataset("kitti") is DATASET
    with pytest.raises(InputError, match="'kiti': there is none of that name; did you mean 'kitti'"):
        get_dataset("kiti")
    assert dataset_of(drawn_kitti).name == "kitti"
    assert dataset_of(mini_mono3drefer).name == "mono3drefer"
    with pytest.raises(MissingDataError, match="no such folder"):
        dataset_of(tmp_path / "gone")


def test_classes_of_the_preset_are_evaluated(drawn_kitti: Path) -> None:
    ids = DATASET.split_ids(drawn_kitti, "val")
    labels = DATASET.truth(drawn_kitti, "val", ids)
    for classes, expected in (({"classes": ("Car",)}, {"Car"}), ({}, {"Car", "Pedestrian", "Cyclist"})):
        evaluator = DATASET.evaluator(drawn_kitti, "val", CameraBoxes, classes)
        assert evaluator is not None
        evaluator.update([_perfect(sample, labels[sample]) for sample in ids])
        assert {row.group or row.label for row in evaluator.compute().rows} >= expected


def _perfect(sample: str, labels: object) -> object:
    from dataclasses import replace

    from g3d.data.types import Prediction

    assert isinstance(labels, CameraBoxes)
    return Prediction(sample, ImageSource(), (replace(labels, scores=np.ones(len(labels))),))
