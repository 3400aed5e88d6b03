"""Proposals become detections: empty boxes, suppression within a class, scores, sizes of untrained networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g3d.nn import box_proposals
from g3d.nn.box_proposals import (
    DetectionSettings,
    Proposals,
    decode_proposals,
    detections,
    joined_proposals,
    kept_proposals,
    points_inside,
)
from g3d.nn.scene_box_losses import BoxPrediction

ALL = DetectionSettings(min_points=0)
NAMES = ("bed", "chair")


def proposals(rows: list[list[float]]) -> Proposals:
    """Rows are x y z dx dy dz, objectness, and the probability of the second of two classes."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 8)
    return Proposals(table[:, :3], table[:, 3:6], table[:, 6], torch.stack([1 - table[:, 7], table[:, 7]], 1))


def test_the_better_box_of_a_class_drops_the_other_one() -> None:
    found = proposals([[0, 0, 0, 1, 1, 1, 0.6, 0.1], [0.1, 0, 0, 1, 1, 1, 0.9, 0.2], [0, 0, 0, 1, 1, 1, 0.5, 0.9]])
    assert kept_proposals(found, None, ALL).tolist() == [1, 2]  # the third has another class


def test_the_heads_of_a_scene_are_suppressed_together() -> None:
    first = [proposals([[0, 0, 0, 1, 1, 1, 0.6, 0.1]]), proposals([[5, 0, 0, 1, 1, 1, 0.6, 0.1]])]
    last = [proposals([[0, 0, 0, 1, 1, 1, 0.9, 0.1]]), proposals([[9, 0, 0, 1, 1, 1, 0.9, 0.1]])]
    joined = joined_proposals([first, last])
    assert [kept_proposals(found, None, ALL).tolist() for found in joined] == [[1], [1, 0]]
    assert joined[1].centers[:, 0].tolist() == [5, 9]


def test_suppression_ignores_the_sign_of_sizes() -> None:
    found = proposals([[0, 0, 0, -1, 1, -1, 0.6, 0.1], [0, 0, 0, 1, 1, 1, 0.9, 0.1]])
    assert kept_proposals(found, None, ALL).tolist() == [1]


def test_boxes_with_few_points_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    points = torch.from_numpy(random.uniform(-1, 1, (400, 3)).astype(np.float32))
    centers = torch.from_numpy(random.uniform(-1, 1, (30, 3)))
    sizes = torch.from_numpy(random.uniform(0.1, 1, (30, 3)))
    expected = [
        sum(bool(((p.double() - c).abs() <= s / 2).all()) for p in points) for c, s in zip(centers, sizes, strict=True)
    ]
    assert len({count >= 5 for count in expected}) == 2
    monkeypatch.setattr(box_proposals, "_CHUNK", 7 * 400)  # several chunks, the last of another length
    assert points_inside(centers, sizes, points).tolist() == expected
    rows = torch.cat([centers, sizes, torch.full((30, 1), 0.5), torch.full((30, 1), 0.2)], 1)
    found = proposals(rows.tolist())
    kept = kept_proposals(found, points, replace(DetectionSettings(), nms_iou=1.0))
    assert sorted(kept.tolist()) == [k for k, count in enumerate(expected) if count >= 5]
    with pytest.raises(ValueError, match="min_points"):
        kept_proposals(found, None, DetectionSettings())


def test_a_point_on_a_face_is_inside() -> None:
    points = torch.tensor([[0.5, 0.0, 0.0], [0.5001, 0.0, 0.0]])
    assert points_inside(torch.zeros(1, 3), torch.ones(1, 3), points).tolist() == [1]


def test_every_class_of_a_box_is_a_detection() -> None:
    found = proposals([[0, 0, 0, 1, 1, 1, 0.5, 0.25], [3, 0, 0, 1, 1, 1, 0.04, 0.5]])
    boxes = detections(found, torch.tensor([0, 1]), NAMES, replace(ALL, min_objectness=0.05))
    assert boxes.classes.tolist() == ["bed", "chair"]
    assert boxes.scores is not None
    assert boxes.scores.tolist() == [0.375, 0.125]
    alone = detections(found, torch.tensor([0, 1]), NAMES, replace(ALL, per_class=False))
    assert alone.classes.tolist() == ["bed", "bed"]
    assert alone.scores is not None
    assert alone.scores.tolist() == [0.5, 0.04]


@pytest.mark.parametrize("per_class", [True, False])
def test_no_box_is_an_empty_answer(per_class: bool) -> None:
    boxes = detections(proposals([]), torch.zeros(0, dtype=torch.int64), NAMES, replace(ALL, per_class=per_class))
    assert len(boxes) == 0
    assert boxes.centers.shape == boxes.sizes.shape == (0, 3)


def test_negative_sizes_become_what_the_published_overlap_takes_them_for() -> None:
    found = proposals([[0, 0, 0, -1, 2, -3, 0.5, 0.0]])
    assert detections(found, torch.tensor([0]), NAMES, replace(ALL, per_class=False)).sizes.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(("logits", "probability"), [([[[1.0, 3.0]]], 2.0), ([[[2.0]]], 2.0)])
def test_objectness_and_size_class_are_decoded(logits: list, probability: float) -> None:
    zeros = torch.zeros(1, 1, 1)
    residuals = torch.tensor([[[[0.0, 0, 0], [0.5, -0.5, 1.0]]]])
    head = BoxPrediction(
        torch.tensor(logits),
        torch.tensor([[[1.0, 2.0, 3.0]]]),
        zeros,
        zeros,
        torch.tensor([[[0.0, 1.0]]]),
        residuals,
        torch.tensor([[[1.0, 0.0]]]),
    )
    (found,) = decode_proposals(head, torch.tensor([[9.0, 9.0, 9.0], [1.0, 2.0, 3.0]]))
    assert found.sizes.tolist() == [[1.5, 1.0, 6.0]]  # of the second size class, though the class is the first
    assert found.objectness.item() == pytest.approx(torch.tensor(probability, dtype=torch.float64).sigmoid().item())
    assert found.class_scores.argmax(1).tolist() == [0]
