"""KITTI's average precision: the published figures to the digit, the kernel against its reference, and one test for
each rule."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parity.kinds.monodle_evaluation import evaluate_case
from support import paths

from g3d.data.kitti.raw import parse_objects, read_split
from g3d.data.types import CameraBoxes
from g3d.kernels import kitti_ap as kernel
from g3d.metrics.kitti import CLASSES, DIFFICULTIES, KittiResult, evaluate

GOLDEN = paths.GOLDEN / "monodle"


def car(
    z: float = 15.0, score: float | None = None, name: str = "Car", height: float = 60, **changes: object
) -> CameraBoxes:
    """One object; two with z more than 5 m apart do not overlap in any measure."""
    line = f"{name} 0 0 0.1 {100 + 60 * z} 100 {180 + 60 * z} {100 + height} 1.5 1.6 3.6 0 1.6 {z} 0.1"
    objects = parse_objects(line if score is None else f"{line} {score}", "here", scored=score is not None)
    return replace(
        objects, **{field: np.array([value], dtype=getattr(objects, field).dtype) for field, value in changes.items()}
    )


def join(*parts: CameraBoxes) -> CameraBoxes:
    fields = ("classes", "boxes2d", "sizes", "locations", "rotation_y", "alpha", "truncated", "occluded", "scores")
    return CameraBoxes(
        *(None if getattr(parts[0], f) is None else np.concatenate([getattr(p, f) for p in parts]) for f in fields)
    )


def first_slot(result: KittiResult, measure: str = "3d", difficulty: str = "easy", name: str = "Car") -> float:
    """Interpolated precision at recall 0: the best of the curve."""
    return float(result.curves[measure][result.classes.index(name), DIFFICULTIES.index(difficulty), 0, 0])


def counted(result: KittiResult) -> list[int]:
    return result.counted[result.classes.index("Car")].tolist()


@pytest.mark.parametrize("name", ["eval_200", "eval_rules"])
def test_prints_what_the_published_evaluator_prints(name: str) -> None:
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    assert evaluate_case(case, GOLDEN, CLASSES).published_text() == "".join(case["printed"][label] for label in CLASSES)


@pytest.mark.parametrize("name", ["eval_200", "eval_rules"])
def test_curves_equal_the_published_ones(name: str) -> None:
    result = evaluate_case(json.loads((GOLDEN / f"{name}.json").read_text()), GOLDEN, CLASSES)
    published = np.load(GOLDEN / f"{name}.npz")
    for measure, curves in result.curves.items():
        for c, label in enumerate(CLASSES):
            assert np.abs(curves[c] - published[f"out.{label}.{measure}.curve"]).max() < 1e-12
            for recalls in (40, 11):
                difference = (
                    result.average_precision(measure, recalls)[c] - published[f"out.{label}.{measure}.R{recalls}"]
                )
                assert np.abs(difference).max() < 1e-10


def test_real_detector_gets_its_published_figures(real_kitti: Path) -> None:
    ids = read_split(real_kitti / "val_subset.txt")
    predictions = real_kitti / "predictions"
    with (
        zipfile.ZipFile(real_kitti / "label_2_official.zip") as labels,
        zipfile.ZipFile(predictions / "point_gnn_a_val.zip") as data,
    ):
        truth = [parse_objects(labels.read(f"label_2/{frame}.txt").decode(), frame, scored=False) for frame in ids]
        found = [parse_objects(data.read(f"data/{frame}.txt").decode(), frame, scored=True) for frame in ids]
    result = evaluate(truth, found)
    expected = json.loads((predictions / "expected_ap.json").read_text())["python_evaluator_point_gnn_a"]
    for measure, figures in expected.items():
        for recalls in (40, 11):
            assert result.average_precision(measure, recalls)[0, :, 0].round(4).tolist() == figures[f"R{recalls}"], (
                measure,
                recalls,
            )
        assert (result.curves[measure][0, :, 0] > 0).sum(-1).tolist() == figures["n_nonzero"], measure


def random_task(seed: int) -> dict[str, np.ndarray]:
    """A crowded random task with many ties, ignored objects and overlaps."""
    rng = np.random.default_rng(seed)
    labels, detections = int(rng.integers(1, 60)), int(rng.integers(1, 80))
    label_frame, detection_frame = np.sort(rng.integers(0, 9, labels)), np.sort(rng.integers(0, 9, detections))
    overlap = rng.uniform(0, 1, (labels, detections)).round(1) * (label_frame[:, None] == detection_frame)
    return {
        "label_frame": label_frame,
        "detection_frame": detection_frame,
        "overlap": overlap,
        "label_use": rng.integers(-1, 2, labels).astype(np.int8),
        "detection_use": rng.choice([-1, 0, 0, 1], detections).astype(np.int8),
        "label_alpha": rng.uniform(-3, 3, labels),
        "detection_alpha": rng.uniform(-3, 3, detections),
        "scores": rng.uniform(0, 1, detections).round(1),
        "excused": rng.random(detections) < 0.2,
    }


@pytest.mark.parametrize("seed", range(40))
def test_kernel_equals_reference(seed: int) -> None:
    task = random_task(seed)
    rows, columns = np.nonzero(task["overlap"])
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(task["label_use"])))])
    precision, similarity = np.zeros((2, 1, kernel.SLOTS))
    kernel.cpu(
        starts,
        columns,
        task["overlap"][rows, columns][None],
        task["label_use"][None],
        task["detection_use"][None],
        task["label_alpha"],
        task["detection_alpha"],
        task["scores"],
        np.argsort(-task["scores"]),
        task["excused"][None].astype(float),
        np.zeros((1, 2), np.int64),
        np.array([0.35]),
        precision,
        similarity,
    )
    expected = kernel.reference(**task, limit=0.35)
    assert np.allclose(precision[0], expected[0], rtol=0, atol=1e-12)
    assert np.allclose(similarity[0], expected[1], rtol=0, atol=1e-12)


def test_a_perfect_detector_with_enough_labels_gets_all() -> None:
    frames = [car(z) for z in np.linspace(10, 40, 41)]
    result = evaluate(frames, [replace(objects, scores=np.array([0.5])) for objects in frames], ["Car"])
    assert all(
        (result.average_precision(measure, recalls) == 100).all() for measure in result.curves for recalls in (40, 11)
    )
    assert result.table().notes == ()


def test_few_labels_are_said_to_limit_the_figure() -> None:
    frames = [car(z) for z in np.linspace(10, 40, 10)]
    result = evaluate(frames, [replace(objects, scores=np.array([0.5])) for objects in frames], ["Car"])
    assert result.average_precision("3d")[0, 0, 0] == pytest.approx(22.5)
    assert "fewer than 41 labels" in result.table().notes[0]
    assert "easy 10 (at most 22.5)" in result.table().notes[0]


def test_no_label_no_figure() -> None:
    table = evaluate([car()], [car(score=0.5)]).table()
    assert table.metrics["Car_3d_easy"] == pytest.approx(100 / 11)
    assert not [key for key in table.metrics if key.startswith("Cyclist")]
    assert [row.values for row in table.rows if row.group == "Cyclist"] == [(None,) * 6] * 6
    assert "Cyclist: no label counts in these frames, so there is no AP." in table.notes


def test_a_height_at_the_limit_is_ignored() -> None:
    assert counted(evaluate([car(height=40)], [car(score=0.5, height=40)])) == [0, 1, 1]
    assert counted(evaluate([car(height=25)], [CameraBoxes.empty(scored=True)])) == [0, 0, 0]
    assert counted(evaluate([car(height=40.01)], [CameraBoxes.empty(scored=True)])) == [1, 1, 1]


def test_hidden_and_cut_off_labels_are_ignored() -> None:
    for field, values in {"occluded": (0, 1, 2, 3), "truncated": (0.15, 0.3, 0.5, 0.51)}.items():
        counts = [counted(evaluate([car(**{field: value})], [CameraBoxes.empty(scored=True)])) for value in values]
        assert counts == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]], field


def test_a_van_found_as_a_car_neither_helps_nor_harms() -> None:
    labels = join(car(10), car(30, name="Van"))
    assert first_slot(evaluate([labels], [join(car(10, 0.5), car(30, 0.9))])) == 1
    assert counted(evaluate([labels], [CameraBoxes.empty(scored=True)])) == [1, 1, 1]
    sitting = join(car(10, name="Pedestrian"), car(30, name="Person_sitting"))
    found = join(car(10, 0.5, "Pedestrian"), car(30, 0.9, "Pedestrian"))
    assert first_slot(evaluate([sitting], [found]), name="Pedestrian") == 1


def test_a_truck_found_as_a_car_is_wrong() -> None:
    assert first_slot(evaluate([join(car(10), car(30, name="Truck"))], [join(car(10, 0.5), car(30, 0.9))])) == 0.5


def test_capitals_in_names_do_not_matter() -> None:
    assert first_slot(evaluate([car(name="car")], [car(score=0.5, name="CAR")])) == 1


def test_another_class_in_the_same_place_is_not_a_match() -> None:
    assert first_slot(evaluate([car()], [car(score=0.5, name="Cyclist")])) == 0


def test_a_second_detection_of_a_label_is_wrong() -> None:
    assert first_slot(evaluate([car(10)], [join(car(10, 0.5), car(10, 0.9))])) == 1  # at the better score it is alone
    assert first_slot(evaluate([join(car(10), car(30))], [join(car(10, 0.9), car(10, 0.8), car(30, 0.5))])) == 1
    late = evaluate([join(car(10), car(30))], [join(car(10, 0.9), car(10, 0.8), car(30, 0.5))])
    assert late.curves["3d"][0, 0, 0, :3].tolist() == [1, 2 / 3, 0]


def test_low_detections_of_any_class_are_ignored() -> None:
    low = car(30, 0.9, height=30)
    result = evaluate([car(10)], [join(car(10, 0.5), low)])
    assert first_slot(result, difficulty="easy") == 1
    assert first_slot(result, difficulty="moderate") == 0.5


def test_detections_in_unlabelled_regions_are_excused_in_the_image_only() -> None:
    region = replace(
        car(30, name="DontCare"), boxes2d=np.array([[0.0, 0, 5000, 300]]), locations=np.full((1, 3), -1000.0)
    )
    result = evaluate([join(car(10), region)], [join(car(10, 0.5), car(30, 0.9))])
    assert first_slot(result, "bbox") == 1
    assert first_slot(result, "3d") == 0.5
    assert first_slot(result, "bev") == 0.5


def test_overlap_must_exceed_the_threshold() -> None:
    half = replace(
        car(score=0.5, name="Cyclist"), boxes2d=np.array([[1000.0, 100, 1080, 130]])
    )  # exactly half of 60 rows
    assert first_slot(evaluate([car(name="Cyclist")], [half]), "bbox", "moderate", "Cyclist") == 0


def test_the_highest_score_sets_the_threshold_and_the_best_overlap_the_match() -> None:
    near, exact = car(10.2, 0.9, alpha=3.1), car(10, 0.6)
    result = evaluate([car(10), car(20)], [join(near, exact), car(20, 0.5)], ["Car"])
    assert result.curves["aos"][0, 0, 0, 1] == pytest.approx(
        2 / 3
    )  # at 0.5: exact and the far car match, near is wrong


def test_aos_weighs_by_the_angle() -> None:
    result = evaluate([car(alpha=0.0)], [car(score=0.5, alpha=np.pi / 2)])
    assert first_slot(result, "bbox") == 1
    assert first_slot(result, "aos") == pytest.approx(0.5)


def test_no_aos_without_angles() -> None:
    result = evaluate([car(), car()], [CameraBoxes.empty(scored=True), car(score=0.5, alpha=-10)])
    assert "aos" not in result.curves
    assert "aos" not in result.published_text()
    assert any("no AOS" in note for note in result.table().notes)
    assert not [key for key in result.metrics() if "aos" in key]


def test_distance_bands_include_their_far_end() -> None:
    where = replace(car(), locations=np.array([[0.0, 0, 30]]))
    beyond = replace(car(), locations=np.array([[0.0, 0, 70.01]]))
    result = evaluate([where, beyond, car(40)], [CameraBoxes.empty(scored=True)] * 3, ["Car"], distances=True)
    assert result.distance_counted is not None
    assert result.distance_counted.tolist() == [[1, 1, 0]]
    near = evaluate([car(10)], [car(10, 0.5)], ["Car"], distances=True).distance_table()
    assert near.metrics["Car_3d_30m"] == pytest.approx(100 / 11)
    assert near.rows[0].values[1:3] == (None, None)


def test_published_names_of_the_figures() -> None:
    frames = [join(car(10), car(30))] * 30
    metrics = evaluate(frames, [join(car(10, 0.5), car(30.3, 0.9))] * 30).table().metrics
    for key in ("Car_3d_moderate_R40", "Car_image_easy", "Car_aos_hard_R40", "Car_bev_hard", "Car_3d_easy_R40_loose"):
        assert key in metrics
    assert metrics["Car_3d_easy_R40_loose"] == pytest.approx(100)


def test_a_class_alone_gets_the_same_curves() -> None:
    frames, found = [join(car(10), car(30, name="Cyclist"))], [join(car(10, 0.5), car(30, 0.9, "Cyclist"))]
    both, alone = evaluate(frames, found), evaluate(frames, found, ["Cyclist"])
    assert all(np.array_equal(both.curves[measure][2:], alone.curves[measure]) for measure in both.curves)


def test_nothing_at_all() -> None:
    assert (evaluate([], []).counted == 0).all()
    result = evaluate([CameraBoxes.empty()], [CameraBoxes.empty(scored=True)], distances=True)
    assert (result.average_precision("3d") == 0).all()
    assert len(result.table().notes) == 4


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="detections: expected 2 frames as in labels, found 1"):
        evaluate([car(), car()], [car(score=0.5)])
    with pytest.raises(ValueError, match="detections: expected scores"):
        evaluate([car()], [car()])
    with pytest.raises(ValueError, match="classes: expected Car, Pedestrian, Cyclist, found Van"):
        evaluate([car()], [car(score=0.5)], ["Van"])
    with pytest.raises(ValueError, match="recalls: expected 40 or 11, found 41"):
        evaluate([car()], [car(score=0.5)]).average_precision("3d", 41)
    with pytest.raises(ValueError, match="distances=True"):
        evaluate([car()], [car(score=0.5)]).distance_table()
