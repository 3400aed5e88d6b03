"""ScanRefer as a data set: truth, the published table from predictions files, and its own result files."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.scans import draw_scans
from support.sentence_world import VAL, scanrefer_world
from support.verbs import g3d, refused

from g3d.data.predictions import write_predictions
from g3d.data.scanrefer.results import FILE
from g3d.data.types import CameraBoxes, Prediction, SceneBoxes, SceneSource
from g3d.datasets.base import dataset_of, dataset_of_results, get_dataset
from g3d.datasets.scanrefer import DATASET
from g3d.errors import InputError, MissingDataError
from g3d.geometry.boxes import scene_box_corners
from g3d.prepare.scene_sentences import prepare_sentences


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared ScanRefer sentences about four made scans; read only."""
    folder = scanrefer_world(tmp_path_factory.mktemp("world"))
    prepare_sentences("scanrefer", folder)
    return folder


def predictions(data: Path, shift: float = 0.0) -> list[Prediction]:
    """The true box of each validation sentence, moved, as second answer; first for every other sentence."""
    ids = DATASET.split_ids(data, "val")
    truth, said = DATASET.truth(data, "val", ids), DATASET.expressions(data, "val", ids)
    made = []
    for k, name in enumerate(ids):
        true = truth[name]
        assert isinstance(true, SceneBoxes)
        centers = np.concatenate([true.centers, true.centers + np.array([0, 0, 50 + shift])])[:: 1 if k % 2 else -1]
        boxes = SceneBoxes(
            np.repeat(true.classes, 2), centers, np.repeat(true.sizes, 2, 0), scores=np.array([0.9, 0.2])
        )
        made.append(Prediction(name, SceneSource(None, name.split("-")[0], "aligned"), (boxes,), said[name]))
    return made


def test_raw_and_prepared_folders_are_known(data: Path) -> None:
    assert get_dataset("scanrefer") is DATASET
    assert dataset_of(data) is DATASET
    assert dataset_of(data / "g3d") is DATASET
    assert DATASET.split_ids(data / "g3d", "val") == DATASET.split_ids(data, "val")


def test_samples_have_scene_sentence_and_one_box(data: Path) -> None:
    ids = DATASET.split_ids(data, "val")
    assert len(ids) == 12
    assert ids[:2] == [f"{VAL[0]}-2-0", f"{VAL[0]}-2-1"]
    source = DATASET.sources(data, "val", ids)[ids[0]]
    assert isinstance(source, SceneSource)
    assert (source.name, source.frame) == (VAL[0], "aligned")
    assert source.path is not None
    true = DATASET.truth(data, "val", ids[:1])[ids[0]]
    scene = get_dataset("scannet").truth(data.parent / "scannet", "all", [VAL[0]])[VAL[0]]
    assert isinstance(true, SceneBoxes)
    assert isinstance(scene, SceneBoxes)
    assert true.ids.tolist() == [2]
    assert np.array_equal(true.centers, scene[scene.ids == 2].centers)
    assert DATASET.expressions(data, "val", ids[:1])[ids[0]].startswith("the brown")


def test_a_list_of_ids_is_a_split(data: Path, tmp_path: Path) -> None:
    wanted = DATASET.split_ids(data, "train")[3:5]
    (tmp_path / "some.txt").write_text("\n".join(wanted) + "\n")
    assert DATASET.split_ids(data, str(tmp_path / "some.txt")) == wanted
    (tmp_path / "some.txt").write_text("scene0000_00-99-0\n")
    with pytest.raises(InputError, match=r"some.txt: found scene0000_00-99-0, expected ids of sentences"):
        DATASET.split_ids(data, str(tmp_path / "some.txt"))
    with pytest.raises(InputError, match=r"split vall: unknown; expected train, val, or .*; did you mean 'val'"):
        DATASET.split_ids(data, "vall")


def test_predictions_files_are_evaluated(data: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "found.jsonl", predictions(data))
    code, out, err = g3d("eval", "--predictions", str(tmp_path / "found.jsonl"), "--data", str(data), "--json")
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    assert (metrics["overall_acc25"], metrics["overall_acc50"]) == (50, 50)
    assert metrics["overall_top3_acc25"] == 100
    code, out, _ = g3d("eval", "--predictions", str(tmp_path / "found.jsonl"), "--data", str(data))
    assert code == 0
    assert "filters: none; 12 sentences count" in " ".join(out.split())
    assert "unique, not in others" in out


def test_options_choose_the_rules(data: Path) -> None:
    ids = DATASET.split_ids(data, "val")
    evaluator = DATASET.evaluator(data, "val", SceneBoxes, {"top_answers": 1, "others": "whole_name"})
    assert evaluator is not None
    evaluator.update(predictions(data))
    table = evaluator.compute()
    assert table.metrics["overall_top1_acc25"] == table.metrics["overall_acc25"]
    assert '"others" by the rule whole_name.' in table.notes
    with pytest.raises(InputError, match=r"data.others: found 'all', expected last_word or whole_name"):
        DATASET.evaluator(data, "val", SceneBoxes, {"others": "all"})
    with pytest.raises(InputError, match="evaluates scene_boxes, found answers of camera_boxes"):
        DATASET.evaluator(data, "val", CameraBoxes, {})
    with pytest.raises(InputError, match="comes twice"):
        evaluator.update(predictions(data)[:1])
    empty = DATASET.evaluator(data, "val", SceneBoxes, {})
    assert empty is not None
    with pytest.raises(MissingDataError, match=f"12 of 12 sentences of the split are missing .first: {ids[0]}"):
        empty.compute()


def test_the_benchmark_file_is_written_and_read(data: Path, tmp_path: Path) -> None:
    found = predictions(data)
    assert DATASET.native is not None
    (path,) = DATASET.native.write(found, tmp_path, False, data)
    entries = json.loads(path.read_text())
    assert set(entries[0]) == {"scene_id", "object_id", "ann_id", "bbox", "unique_multiple", "others"}
    assert np.array(entries[0]["bbox"]).shape == (8, 3)
    for place in (path, tmp_path):
        assert dataset_of_results(place, data) is DATASET
    again = DATASET.native.read(tmp_path, [p.sample for p in found])
    for before, after in zip(found, again, strict=True):
        old, new = before.answer(SceneBoxes), after.answer(SceneBoxes)
        assert np.allclose(old.centers[:1], new.centers, rtol=0, atol=1e-12)
        assert np.allclose(old.sizes[:1], new.sizes, rtol=0, atol=1e-12)
    code, out, err = g3d("eval", "--predictions", str(path), "--data", str(data), "--split", "val", "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["overall_acc25"] == 50


def test_the_published_pickle_is_evaluated(data: Path, tmp_path: Path) -> None:
    content: dict = {}
    for prediction in predictions(data):
        scene, number, annotation = prediction.sample.split("-")
        boxes = prediction.answer(SceneBoxes)
        corners = scene_box_corners(boxes.centers, boxes.sizes, boxes.yaws)[0].astype(np.float32)
        entry = {"pred_bbox": corners, "gt_bbox": corners, "iou": np.float64(0.5)}
        content.setdefault(scene, {}).setdefault(number, {})[annotation] = entry
    path = tmp_path / "predictions.p"
    path.write_bytes(pickle.dumps(content))
    code, out, err = g3d("eval", "--predictions", str(path), "--data", str(data), "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["overall_acc50"] == 50


def test_a_file_of_another_split_is_refused(data: Path, tmp_path: Path) -> None:
    assert DATASET.native is not None
    (path,) = DATASET.native.write(predictions(data)[:5], tmp_path, False, data)
    refused(
        3,
        *("eval", "--predictions", str(path), "--data", str(data)),
        says=(FILE, "7 of 12 sentences have no entry"),
        hint="another --split",
    )


def test_data_without_scenes_or_preparation_is_refused(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data, tmp_path / "scanrefer", ignore=shutil.ignore_patterns("g3d")))
    with pytest.raises(MissingDataError, match="not prepared") as error:
        DATASET.split_ids(folder, "val")
    assert "g3d prepare scanrefer" in str(error.value.hint)
    labels = data.parent / "scannet" / "scannetv2-labels.combined.tsv"
    code, out, err = g3d("prepare", "scanrefer", "--data", str(folder), "--labels", str(labels))
    assert code == 0, err
    assert "no scenes: the objects of the sentences are not checked" in out
    with pytest.raises(MissingDataError, match="was prepared without scenes"):
        DATASET.split_ids(folder, "val")


def test_a_part_of_the_scenes_is_enough_and_stated(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = tmp_path / "scenes"
    shutil.copytree(data.parent / "scannet" / "g3d" / "scenes" / VAL[0], scenes / VAL[0])
    folder = Path(shutil.copytree(data, tmp_path / "scanrefer", ignore=shutil.ignore_patterns("g3d")))
    labels = ("--labels", str(data.parent / "scannet" / "scannetv2-labels.combined.tsv"))
    code, out, err = g3d("prepare", "scanrefer", "--data", str(folder), "--scenes", str(scenes), *labels)
    assert code == 0, err
    assert f"val: 6 sentences are about 1 scenes that are not there (first: {VAL[1]}" in " ".join(out.split())
    assert len(DATASET.split_ids(folder, "val")) == 6
    assert "6 of 12 sentences are used" in capsys.readouterr().err
    evaluator = DATASET.evaluator(folder, "val", SceneBoxes, {})
    assert evaluator is not None
    evaluator.update([p for p in predictions(data) if p.sample.startswith(VAL[0])])
    assert "sentences about scenes that are not there, which do not count: 6." in evaluator.compute().notes


def test_scenes_without_annotation_have_no_figures(data: Path, tmp_path: Path) -> None:
    scans = draw_scans(tmp_path / "scannet", 2, test=1)
    assert g3d("prepare", "scannet", "--data", str(scans))[0] == 0
    record = {"scene_id": "scene0001_00", "object_id": "2", "object_name": "chair", "ann_id": "0"}
    folder = tmp_path / "scanrefer"
    folder.mkdir()
    sentence = {**record, "description": "a chair", "token": ["a", "chair"]}
    (folder / "ScanRefer_filtered_test.json").write_text(json.dumps([sentence]))
    code, out, err = g3d("prepare", "scanrefer", "--data", str(folder))
    assert code == 0, err
    assert "test: scenes of sentences without annotated boxes: 1" in out
    assert DATASET.split_ids(folder, "test") == ["scene0001_00-2-0"]
    assert DATASET.evaluator(folder, "test", SceneBoxes, {}) is None
