"""Without a preset, `eval` and `visualize` tell the data set from its folder, or from the format of its result
files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from support.verbs import g3d

from g3d.data.predictions import write_predictions
from g3d.data.types import CameraBoxes, PixelMask, Prediction
from g3d.datasets.mono3drefer import DATASET
from g3d.engine.results import labels_alone


@pytest.fixture
def refer(mini_mono3drefer: Path) -> Path:
    """The four drawn Mono3DRefer images, prepared."""
    code, _, err = g3d("prepare", "mono3drefer", "--data", str(mini_mono3drefer))
    assert code == 0, err
    return mini_mono3drefer


def perfect(root: Path) -> list[Prediction]:
    """The labels of the test split as answers."""
    ids = DATASET.split_ids(root, "test")
    truth = cast("Mapping[str, CameraBoxes]", DATASET.truth(root, "test", ids))
    blanks = labels_alone(DATASET, root, "test", ids)
    return [replace(blank, answers=(replace(truth[blank.sample], scores=np.array([0.01])),)) for blank in blanks]


def native_file(answers: list[Prediction], folder: Path, root: Path) -> Path:
    assert DATASET.native is not None
    (written,) = DATASET.native.write(answers, folder, True, root)
    return written


def page_of(out: str) -> str:
    return Path(out.split()[-1]).read_text()


def test_answers_are_evaluated_and_drawn_from_either_file(refer: Path, tmp_path: Path) -> None:
    answers = perfect(refer)
    write_predictions(tmp_path / "test.jsonl", answers)
    native = native_file(answers, tmp_path / "native", refer)
    of_test = ("--data", str(refer), "--split", "test")
    for file in (tmp_path / "test.jsonl", native, native.parent):
        code, out, err = g3d("eval", "--predictions", str(file), *of_test, "--json")
        assert code == 0, err
        assert json.loads(out)["metrics"]["Overall_oriented_acc50"] == 100
        pictures = tmp_path / f"pictures of {file.name}"
        code, out, err = g3d(
            "visualize", "--predictions", str(file), *of_test, "--item", answers[2].sample, "--out", str(pictures)
        )
        assert code == 0, err
        assert {path.name for path in pictures.iterdir()} == {f"{answers[2].sample}.png", "index.html"}
        page = (pictures / "index.html").read_text()
        assert '"iou":1.0' in page  # the label of this sentence, and an answer that is drawn though its score is 0.01
        assert '"threshold":0.0' in page


def test_a_predictions_file_is_drawn_without_its_data_and_result_files_ask_for_it(refer: Path, tmp_path: Path) -> None:
    answers = perfect(refer)
    write_predictions(tmp_path / "test.jsonl", answers)
    native = native_file(answers, tmp_path / "native", refer)
    code, out, err = g3d("visualize", "--predictions", str(tmp_path / "test.jsonl"), "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert len(out.split()) == len(answers) + 1
    code, _, err = g3d("visualize", "--predictions", str(native), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "do not say where their images are" in err
    assert "--data DIR" in err


def test_labels_are_drawn_alone_with_their_sentence(refer: Path, drawn_kitti: Path, tmp_path: Path) -> None:
    wanted = perfect(refer)[1]
    code, out, err = g3d("visualize", "--data", str(refer), "--item", wanted.sample, "--out", str(tmp_path / "a"))
    assert code == 0, err
    shown = page_of(out)
    assert '"labels_only":true' in shown
    assert f'"expression":"{wanted.expression}"' in shown
    code, out, err = g3d("visualize", "--data", str(drawn_kitti), "--item", "000009", "--out", str(tmp_path / "b"))
    assert code == 0, err
    assert '"expression":null' in page_of(out)
    code, _, err = g3d("visualize", "--data", str(refer), "--item", "000031_1_1", "--out", str(tmp_path / "c"))
    assert code == 3
    assert "no expression '000031_1_1'" in err


def test_data_that_no_data_set_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calib").mkdir()  # of KITTI, of Mono3DRefer, of anything
    (tmp_path / "p.jsonl").write_text("")
    for args in (("visualize", "--item", "1"), ("eval", "--predictions", str(tmp_path / "p.jsonl"))):
        code, _, err = g3d(*args, "--data", str(tmp_path))
        assert code == 2
        assert "found none of kitti, mono3drefer, referit3d, scannet, scanrefer; expected one data set" in err
        assert "--preset NAME" in err
    assert g3d("visualize", "--item", "1", "--data", str(tmp_path / "gone"))[0] == 3
    (tmp_path / "empty").mkdir()
    code, _, err = g3d("eval", "--predictions", str(tmp_path / "empty"), "--data", str(tmp_path))
    assert code == 2
    assert "no result files of kitti or mono3drefer or referit3d or scanrefer in it" in err


def test_answers_of_files_are_evaluated_by_their_type(refer: Path, tmp_path: Path) -> None:
    data, file = ("--data", str(refer), "--split", "test"), tmp_path / "p.jsonl"
    answers = perfect(refer)
    mask = PixelMask(np.ones((2, 2), bool), 0.5)
    write_predictions(file, [replace(answers[0], answers=())])
    code, _, err = g3d("eval", "--predictions", str(file), *data)
    assert code == 2
    assert "found no prediction with an answer" in err
    with_masks = [replace(answer, answers=(mask, *answer.answers)) for answer in answers]
    write_predictions(file, with_masks)
    code, _, err = g3d("eval", "--predictions", str(file), *data)
    assert code == 2
    assert "found answers of camera_boxes and pixel_mask" in err
    code, out, err = g3d("eval", "--predictions", str(file), *data, "--preset", "jln", "--json")
    assert code == 0, err
    assert max(json.loads(out)["metrics"].values()) == 100


def test_the_split_of_the_preset_is_drawn_unless_another_is_named(refer: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: jln\ndata: {val: test}\n")
    mine, out = ("--preset", str(tmp_path / "mine.yaml")), tmp_path / "drawn"
    code, printed, err = g3d("visualize", "--data", str(refer), *mine, "--out", str(out))
    assert code == 0, err
    names = sorted(Path(line).stem for line in printed.splitlines() if line.endswith(".png"))
    assert names == sorted(DATASET.split_ids(refer, "test"))
    assert names != sorted(DATASET.split_ids(refer, "val"))
