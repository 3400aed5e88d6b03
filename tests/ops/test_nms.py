"""Non-maximum suppression in space: the kernels keep what the reference keeps, and each rule has its own test."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g3d.kernels import nms
from g3d.ops.box_iou import axis_aligned_iou_3d, camera_from_scene_boxes, rotated_iou_3d, scene_box_bounds
from g3d.ops.nms import nms_3d


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def scene_boxes(count: int, columns: int, spread: float, seed: int) -> Tensor:
    u = torch.rand(count, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([(u[:, :3] - 0.5) * spread, 0.2 + u[:, 3:6] * 2, (u[:, 6:] - 0.5) * 7], 1)[:, :columns]


def one_by_one(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor) -> list[int]:
    """The rule in plain words."""
    rows = camera_from_scene_boxes(boxes) if boxes.shape[1] == 7 else boxes
    overlap = rotated_iou_3d(rows, rows) if boxes.shape[1] == 7 else axis_aligned_iou_3d(rows, rows)
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)):
        if not any(overlap[j, i] > threshold and classes[j] == classes[i] for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("columns", [6, 7])
@pytest.mark.parametrize("spread", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.7])
def test_keeps_what_the_rule_keeps(device: str, columns: int, spread: float, threshold: float) -> None:
    boxes = scene_boxes(120, columns, spread, 1)
    scores = torch.rand(120, generator=torch.Generator().manual_seed(2)).round(decimals=1)  # many are equal
    classes = torch.arange(120) % 3
    found = nms_3d(boxes.to(device), scores.to(device), threshold, classes.to(device))
    assert found.tolist() == one_by_one(boxes, scores, threshold, classes)
    assert nms_3d(boxes.to(device), scores.to(device), threshold).tolist() == one_by_one(
        boxes, scores, threshold, classes * 0
    )


@pytest.mark.parametrize("columns", [6, 7])
def test_reference_keeps_the_same_in_blocks(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = torch.cat([scene_boxes(90, 6, 3.0, 3), torch.zeros(90, columns - 6)], 1)
    rows = camera_from_scene_boxes(boxes) if columns == 7 else scene_box_bounds(boxes)
    expected = torch.ops.g3d.nms_3d(rows, torch.arange(90) % 2, 0.1)
    assert torch.equal(nms.reference(rows, torch.arange(90) % 2, 0.1), expected)
    monkeypatch.setattr(nms, "_BLOCK_PAIRS", 500)
    assert torch.equal(nms.reference(rows, torch.arange(90) % 2, 0.1), expected)


def test_a_dropped_box_drops_nothing() -> None:
    chain = torch.tensor([[0.0, 0, 0, 2, 1, 1], [1, 0, 0, 2, 1, 1], [2, 0, 0, 2, 1, 1]])
    assert nms_3d(chain, torch.tensor([0.9, 0.8, 0.7]), 0.25).tolist() == [0, 2]


def test_at_the_threshold_a_box_stays() -> None:
    pair = torch.tensor([[0.0, 0, 0, 2, 1, 1], [1, 0, 0, 2, 1, 1]])  # IoU 1/3
    assert nms_3d(pair, torch.tensor([0.1, 0.2]), 1 / 3).tolist() == [1, 0]
    assert nms_3d(pair, torch.tensor([0.1, 0.2]), 0.333).tolist() == [1]


def test_of_equal_scores_the_lower_index_goes_first() -> None:
    same = torch.ones(5, 6)
    assert nms_3d(same, torch.full((5,), 0.5), 0.5).tolist() == [0]
    assert nms_3d(same, torch.full((5,), 0.5), 0.5, torch.tensor([1, 0, 1, 0, 2])).tolist() == [0, 1, 4]


def test_heading_turns_boxes_about_z() -> None:
    crossed = torch.tensor([[0.0, 0, 0, 4, 0.5, 1, 0], [0, 0, 0, 4, 0.5, 1, math.pi / 2]])
    assert nms_3d(crossed, torch.tensor([0.9, 0.8]), 0.25).tolist() == [0, 1]
    assert nms_3d(crossed[:, :6], torch.tensor([0.9, 0.8]), 0.25).tolist() == [0]


@pytest.mark.parametrize("choice", ["auto", "reference"])
def test_infinite_scores_no_boxes_and_boxes_without_extent(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", choice)
    boxes = torch.tensor([[0.0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1]])
    assert nms_3d(boxes, torch.tensor([-torch.inf, 1, torch.inf]), 0.0).tolist() == [2, 1, 0]
    assert nms_3d(boxes[:0], torch.zeros(0), 0.5).tolist() == []


def test_bad_arguments_are_named() -> None:
    boxes, scores = torch.rand(3, 6), torch.rand(3)
    with pytest.raises(ValueError, match=r"boxes: expected \(N, 6\) or \(N, 7\), found \(3, 5\)"):
        nms_3d(boxes[:, :5], scores, 0.5)
    with pytest.raises(ValueError, match="boxes: row 0 is not finite"):
        nms_3d(boxes * torch.nan, scores, 0.5)
    with pytest.raises(ValueError, match=r"scores: expected \(3,\) floating point on cpu, found \(2,\)"):
        nms_3d(boxes, scores[:2], 0.5)
    with pytest.raises(ValueError, match="scores: row 1 is NaN"):
        nms_3d(boxes, torch.tensor([0, torch.nan, 0]), 0.5)
    with pytest.raises(ValueError, match=r"threshold: expected 0\.\.1, found 25"):
        nms_3d(boxes, scores, 25)
    with pytest.raises(ValueError, match=r"classes: expected \(3,\) integers on cpu"):
        nms_3d(boxes, scores, 0.5, scores)


def test_registration() -> None:
    rows = camera_from_scene_boxes(scene_boxes(9, 7, 2.0, 4))
    torch.library.opcheck(torch.ops.g3d.nms_3d, (rows, torch.zeros(9, dtype=torch.int64), 0.3))


def test_compiles_with_a_result_of_unknown_length() -> None:
    torch._dynamo.config.capture_dynamic_output_shape_ops = True
    try:
        boxes, scores = scene_boxes(20, 7, 2.0, 5), torch.rand(20, generator=torch.Generator().manual_seed(6))
        compiled = torch.compile(lambda b, s: nms_3d(b, s, 0.2) * 1, backend="eager", fullgraph=True)
        assert torch.equal(compiled(boxes, scores), nms_3d(boxes, scores, 0.2))
    finally:
        torch._dynamo.config.capture_dynamic_output_shape_ops = False
