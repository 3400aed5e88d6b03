"""Result files of ScanRefer and WS-3DVG: bad content is refused in one line, scores give the published table."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g3d.data.scanrefer.index import IndexedSentence
from g3d.data.scanrefer.results import is_result_file, read_results, read_scores, write_benchmark
from g3d.data.types import Prediction, SceneBoxes, SceneSource
from g3d.errors import InputError, MissingDataError
from g3d.geometry.boxes import scene_box_corners

CORNERS = scene_box_corners(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0]]), np.zeros(1))[0]
ENTRY = {"scene_id": "a", "object_id": "1", "ann_id": "0", "bbox": CORNERS.tolist()}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(content))
    return path


def test_corners_have_the_published_order() -> None:
    assert CORNERS.tolist() == [
        [2, 4, 6], [2, 0, 6], [0, 0, 6], [0, 4, 6], [2, 4, 0], [2, 0, 0], [0, 0, 0], [0, 4, 0],
    ]  # fmt: skip
    turned = scene_box_corners(np.zeros((1, 3)), np.array([[2.0, 1.0, 1.0]]), np.array([np.pi / 2]))[0]
    assert np.allclose(turned[0], [-0.5, 1, 0.5], rtol=0, atol=1e-12)  # +x turned towards +y


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bbox": [[0, 0, 0]] * 7}, "bbox: expected 8 corners of 3 finite numbers"),
        ({"bbox": [["x", 0, 0]] * 8}, "bbox: expected 8 corners"),
        ({"bbox": [[0, 0, 1e400]] * 8}, "bbox: expected 8 corners"),
        (
            {"bbox": scene_box_corners(np.zeros((1, 3)), np.ones((1, 3)), np.array([0.3]))[0].tolist()},
            "bbox: expected the corners of a box that is parallel to the axes",
        ),
        ({"object_id": None}, "scene_id, object_id, ann_id: found"),
        ({"ann_id": "0", "object_id": "1"}, "the sentence a-1-0 comes twice"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = written(tmp_path, [ENTRY, {**ENTRY, "ann_id": "1", **change}])
    with pytest.raises(InputError, match=rf"results .*pred.json: entry 1: {says}"):
        read_results(path, ["a-1-0"])


@pytest.mark.parametrize("content", [[], {}, [7], [{"scene_id": "a"}]])
def test_other_json_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(InputError, match=r"results .*pred.json"):
        read_results(written(tmp_path, content), ["a-1-0"])


def test_a_sentence_without_entry_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"1 of 2 sentences have no entry .first: b-1-0"):
        read_results(written(tmp_path, [ENTRY]), ["a-1-0", "b-1-0"])


def test_the_benchmark_needs_a_box_for_every_sentence(tmp_path: Path) -> None:
    sentence = IndexedSentence("a", 1, "chair", "0", "a chair", ("a", "chair"))
    source, box = SceneSource(None, "a", "aligned"), SceneBoxes(np.array(["x"]), np.zeros((1, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match="prediction for 'a-1-0': found no box, expected one"):
        write_benchmark(tmp_path / "p.json", [Prediction("a-1-0", source, (box[:0],))], {"a-1-0": sentence})
    lost = SceneBoxes(np.array(["x"]), np.full((1, 3), np.nan), np.ones((1, 3)))
    with pytest.raises(InputError, match="found a number that is not finite"):
        write_benchmark(tmp_path / "p.json", [Prediction("a-1-0", source, (lost,))], {"a-1-0": sentence})
    assert not (tmp_path / "p.json").exists()


class _Hostile:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit",))


def test_pickles_never_run_code(tmp_path: Path) -> None:
    path = tmp_path / "predictions.p"
    path.write_bytes(pickle.dumps({"a": _Hostile()}))
    assert is_result_file(path)
    for read in (lambda: read_results(path, []), lambda: read_scores(path)):
        with pytest.raises(InputError, match=r"predictions.p: refused: it would run code"):
            read()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1], "content: found list, expected a dict"),
        ({"a": [1]}, "scene a: found list"),
        ({"a": {"1": {"0": {}}}}, "a, object 1, sentence 0: expected pred_bbox"),
        ({}, "found no predictions"),
        ({"ious": [[0.5]]}, "found scores without boxes"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "predictions.p"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=rf"results .*predictions.p: {says}"):
        read_results(path, ["a-1-0"])


def test_scores_give_the_published_table(tmp_path: Path) -> None:
    path = tmp_path / "scores.p"
    content = {
        "ious": [[0.3, 0.6, 0.1, 0.25], [0.3, 0.6, 0.1, 0.1]],
        "masks": [[0, 1, 1, 0]] * 2,
        "others": [[0, 0, 1, 1]] * 2,
        "topk_ious": np.array([[0.3, 0.6, 0.5, 0.25]] * 2),
        "lang_acc": [[0.5], [0.5]],
    }
    path.write_bytes(pickle.dumps(content))
    table = read_scores(path)
    assert table.metrics["overall_acc25"] == pytest.approx((75 + 50) / 2)
    assert table.metrics["unique_acc25"] == pytest.approx((100 + 50) / 2)
    assert table.metrics["multiple_top3_acc50"] == 100
    assert table.metrics["best_overall_acc25"] == 75
    path.write_bytes(pickle.dumps({**content, "masks": [[0, 1]] * 2}))
    with pytest.raises(InputError, match="found lists of shapes"):
        read_scores(path)
    path.write_bytes(pickle.dumps({"ious": []}))
    with pytest.raises(InputError, match="expected a dict with ious, masks, others"):
        read_scores(path)
