"""Boxes from raw predictions, and detections from boxes: points, suppression, entries and their order."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g3d.nn.box_predictions import BoxPredictions, join_predictions, read_predictions
from g3d.nn.detections import detections, kept_proposals, points_inside

SIZES = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.5, 0.5]])


def predictions(boxes: list[list[float]], objectness: list[float], classes: list[int]) -> BoxPredictions:
    """One scene; the size cluster of each box is its class, of two."""
    rows, kinds = torch.tensor(boxes), torch.tensor(classes)
    count, semantic = len(boxes), torch.nn.functional.one_hot(kinds, 2).float()[None]
    residuals = torch.zeros(1, count, 2, 3)
    residuals[0, torch.arange(count), kinds] = rows[:, 3:] / SIZES[kinds] - 1
    residuals[0, torch.arange(count), 1 - kinds] = 7.0  # of the other cluster: must not matter
    zero = torch.zeros(1, count, 1)
    logits = torch.tensor(objectness).logit()[None, :, None]
    return BoxPredictions(logits, rows[None, :, :3], zero, zero, semantic, residuals, semantic, SIZES)


def grid() -> Tensor:
    """(1, 1331, 3): points 0.1 m apart in -0.5..0.5."""
    line = torch.linspace(-0.5, 0.5, 11)
    return torch.cartesian_prod(line, line, line)[None]


def test_columns_are_read_in_the_published_order() -> None:
    headings, classes = 2, 5
    columns = torch.arange(2 + 3 + 2 * headings + 4 * 2 + classes, dtype=torch.float32)[None, None]
    base = torch.tensor([[[100.0, 200.0, 300.0]]])
    found = read_predictions(columns, base, SIZES, headings, classes)
    assert found.objectness_scores.tolist() == [[[0, 1]]]
    assert found.center.tolist() == [[[102, 203, 304]]]
    assert found.heading_scores.tolist() == [[[5, 6]]]
    assert found.heading_residuals_normalized.tolist() == [[[7, 8]]]
    assert found.size_scores.tolist() == [[[9, 10]]]
    assert found.size_residuals_normalized.tolist() == [[[[11, 12, 13], [14, 15, 16]]]]
    assert found.sem_cls_scores.tolist() == [[[17, 18, 19, 20, 21]]]
    torch.testing.assert_close(found.heading_residuals, torch.tensor([[[7.0, 8.0]]]) * math.pi / 2)
    assert found.size_residuals.tolist() == [[[[11, 24, 39], [7, 7.5, 8]]]]
    assert found.pred_size.tolist() == [[[0.5 + 7, 0.5 + 7.5, 0.5 + 8]]]  # of the likelier cluster
    assert found.boxes.tolist() == [[[102, 203, 304, 7.5, 8, 8.5]]]


def test_objectness_is_a_sigmoid_of_one_logit_or_a_softmax_of_two() -> None:
    one = predictions([[0, 0, 0, 1, 1, 1]], [0.3], [0])
    torch.testing.assert_close(one.objectness, torch.tensor([[0.3]]))
    two = BoxPredictions(
        torch.tensor([[[0.0, math.log(3)]]]), *(getattr(one, name) for name in list(one.__dataclass_fields__)[1:])
    )
    torch.testing.assert_close(two.objectness, torch.tensor([[0.75]]))


def test_points_inside_counts_faces_and_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [0.51, 0, 0], [0, 0, -0.5], [3, 3, 3]])
    boxes = torch.tensor([[0.0, 0, 0, 1, 1, 1], [3, 3, 3, 0, 0, 0], [9, 9, 9, 1, 1, 1]])
    expected = torch.tensor([3, 1, 0])
    assert torch.equal(points_inside(points, boxes), expected)
    monkeypatch.setattr("g3d.nn.detections._PAIRS", 7)  # one box at a time
    assert torch.equal(points_inside(points, boxes), expected)
    assert points_inside(points, boxes[:0]).shape == (0,)


def test_boxes_without_points_are_dropped_before_suppression() -> None:
    given = predictions([[0, 0, 5, 1, 1, 11], [0, 0, 0.6, 1, 1, 0.6], [0, 0, 0, 1, 1, 1]], [0.5, 0.9, 0.8], [0, 0, 0])
    assert [rows.tolist() for rows in kept_proposals(given, grid())] == [[1, 2, 0]]
    empty = predictions([[0, 0, 9, 1, 1, 1], [0, 0, 0, 0.3, 0.15, 0.15]], [0.9, 0.5], [0, 0])
    assert [rows.tolist() for rows in kept_proposals(empty, grid())] == [[]]  # 0 and 3 points
    assert [rows.tolist() for rows in kept_proposals(empty, grid(), least_points=3)] == [[1]]
    assert [rows.tolist() for rows in kept_proposals(empty, grid(), least_points=0)] == [[0, 1]]


def test_only_boxes_of_a_class_suppress_each_other_the_better_objectness_first() -> None:
    box = [0.0, 0, 0, 1, 1, 1]
    given = predictions([box, box, box, [0.8, 0, 0, 1, 1, 1]], [0.5, 0.7, 0.6, 0.1], [0, 0, 1, 0])
    assert [rows.tolist() for rows in kept_proposals(given, grid())] == [[1, 2, 3]]
    assert [rows.tolist() for rows in kept_proposals(given, grid(), overlap=0.1)] == [[1, 2]]


def test_a_negative_extent_stands_for_the_box_between_the_same_corners() -> None:
    given = predictions([[0, 0, 0, -1, 1, 1], [0, 0, 0, 1, 1, 1]], [0.9, 0.5], [0, 0])
    kept = kept_proposals(given, grid())
    assert kept[0].tolist() == [0]
    torch.testing.assert_close(detections(given, kept)[0].boxes[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))


def test_entries_for_every_class_come_by_class_and_proposal() -> None:
    given = predictions([[0, 0, 0, 1, 1, 1], [0.9, 0, 0, 1, 1, 1]], [0.5, 0.75], [0, 1])
    (found,) = detections(given, kept_proposals(given, grid()))
    high, low = math.e / (1 + math.e), 1 / (1 + math.e)
    assert found.classes.tolist() == [0, 0, 1, 1]
    assert found.proposals.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([high * 0.5, low * 0.75, low * 0.5, high * 0.75]))
    (found,) = detections(given, kept_proposals(given, grid()), per_class=False)
    assert found.classes.tolist() == [0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.5, 0.75]))
    (found,) = detections(given, kept_proposals(given, grid()), least_objectness=0.5)
    assert found.proposals.tolist() == [1, 1]


def test_proposals_of_several_heads_are_joined() -> None:
    first = predictions([[0, 0, 0, 1, 1, 1]], [0.5], [0])
    second = predictions([[1, 0, 0, 1, 1, 1]], [0.7], [1])
    joined = join_predictions([first, second])
    torch.testing.assert_close(joined.boxes, torch.cat([first.boxes, second.boxes], 1))
    torch.testing.assert_close(joined.objectness, torch.tensor([[0.5, 0.7]]))
    assert joined.mean_sizes is SIZES
