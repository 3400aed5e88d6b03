"""Answers against labels: which boxes count, how they overlap, and from which overlap an answer is right."""

from __future__ import annotations

import numpy as np
import pytest
from support.street_frames import objects

from g3d.data.answers import ImageBoxes, PixelMask, PointMask, SceneBoxes
from g3d.visualize.verdict import Verdict, box_overlaps, judge


def boxes(*rows: tuple[float, float | None], size: float = 1.0, yaw: float = 0.0) -> SceneBoxes:
    """Return cubes from (x of the centre, score or None)."""
    scores = np.array([score for _, score in rows], float)
    return SceneBoxes(
        np.full(len(rows), "chair"),
        np.array([[x, 0, 0] for x, _ in rows], float).reshape(-1, 3),
        np.full((len(rows), 3), size),
        np.full(len(rows), yaw),
        scores=None if rows and rows[0][1] is None else scores,
    )


@pytest.mark.parametrize(("shift", "iou", "right"), [(0.0, 1.0, True), (0.5, 1 / 3, True), (0.7, 0.3 / 1.7, False)])
def test_the_best_box_is_compared_with_the_one_label(shift: float, iou: float, right: bool) -> None:
    found = boxes((5.0, 0.2), (shift, 0.6), (0.0, 0.4))
    verdict = judge([found], boxes((0.0, None)), min_score=0.9)
    assert verdict.measure == "3D IoU"
    assert verdict.iou == pytest.approx(iou)
    assert verdict.right is right


def test_an_overlap_at_the_bound_is_right() -> None:
    verdict = judge([boxes((0.6, 0.5))], boxes((0.0, None)), 0.3)  # 0.4 / 1.6
    assert verdict.iou == pytest.approx(0.25)
    assert judge([boxes((0.59, 0.5))], boxes((0.0, None)), 0.3).right
    assert not judge([boxes((0.61, 0.5))], boxes((0.0, None)), 0.3).right


def test_several_labels_need_as_many_boxes() -> None:
    truth = boxes((0.0, None), (10.0, None))
    both = judge([boxes((10.0, 0.5), (0.5, 0.4))], truth, 0.3)
    assert (both.iou, both.right) == (pytest.approx((1 + 1 / 3) / 2), True)
    one = judge([boxes((10.0, 0.5), (0.0, 0.2))], truth, 0.3)
    assert (one.iou, one.right) == (pytest.approx(0.5), False)
    three = judge([boxes((10.0, 0.5), (0.0, 0.5), (20.0, 0.5))], truth, 0.3)
    assert (three.iou, three.right) == (pytest.approx(2 / 3), False)


def test_no_such_object_is_right_where_no_box_is_sure() -> None:
    nothing = boxes()
    assert judge([nothing], nothing, 0.3) == Verdict("3D IoU", None, True)
    assert judge([boxes((0.0, 0.2))], nothing, 0.3).right is True
    assert judge([boxes((0.0, 0.4))], nothing, 0.3).right is False
    assert judge([nothing], boxes((0.0, None)), 0.3).right is False


def test_without_a_label_of_its_kind_nothing_is_judged() -> None:
    assert judge([boxes((0.0, 0.5))], None, 0.3) == Verdict()
    assert judge([boxes((0.0, 0.5))], PointMask(np.ones(3, bool)), 0.3).right is None


def test_turned_boxes_have_the_rotated_overlap() -> None:
    straight, turned = boxes((0.0, 0.5)), boxes((0.0, None), yaw=np.pi / 4)
    overlap = 2 * (np.sqrt(2) - 1)  # a regular octagon inside the unit square
    assert box_overlaps(straight, turned)[0, 0] == pytest.approx(overlap / (2 - overlap), abs=1e-6)
    assert box_overlaps(straight, boxes((0.0, None), yaw=np.pi / 2))[0, 0] == pytest.approx(1, abs=1e-6)


def test_points_of_the_surest_mask_are_compared() -> None:
    truth = PointMask(np.array([1, 1, 1, 1, 0, 0], bool))
    sure, unsure = PointMask(np.array([0, 1, 1, 0, 1, 0], bool), 0.8), PointMask(truth.mask, 0.7)
    assert judge([unsure, sure], truth, 0.3) == Verdict("point IoU", 0.4, True)
    empty = PointMask(np.zeros(6, bool), 0.5)
    assert judge([empty], empty, 0.3).right is True
    assert judge([sure], empty, 0.3).right is False
    assert judge([empty], truth, 0.3) == Verdict("point IoU", None, False)


def test_images_are_judged_at_one_half() -> None:
    truth = PixelMask(np.array([[1, 1, 1, 1]], bool))
    assert judge([PixelMask(np.array([[0, 0, 1, 1]], bool), 0.5)], truth, 0.3) == Verdict("mask IoU", 0.5, True, 0.5)
    assert judge([PixelMask(np.array([[0, 0, 0, 1]], bool), 0.5)], truth, 0.3).right is False
    label = ImageBoxes(np.array(["car"]), np.array([[0.0, 0, 10, 10]]))
    found = ImageBoxes(np.array(["car"]), np.array([[0.0, 0, 10, 4]]), np.array([0.9]))
    assert judge([found], label, 0.3) == Verdict("2D IoU", pytest.approx(0.4), False, 0.5)


def test_boxes_of_a_camera_are_compared_in_space() -> None:
    verdict = judge([objects(("Car", 0.9, (2, 1, 10), 0))], objects(("Car", None, (0, 1, 10), 0)), 0.3)
    assert verdict == Verdict("3D IoU", pytest.approx(1 / 3, abs=1e-3), True)
