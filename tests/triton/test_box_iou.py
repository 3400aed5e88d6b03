"""The rotated overlap's Triton kernel equals the reference, and suppression by it drops the same boxes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from g3d.kernels import box_iou
from g3d.kernels import nms as suppression
from g3d.kernels.box_iou_cuda import nms, rotated_iou, rotated_iou_kernel

_SIGNATURE = {
    "a": "*fp64",
    "b": "*fp64",
    "rows": "*i64",
    "columns": "*i64",
    "out": "*fp64",
    "n": "i32",
    "m": "i32",
    "total": "i32",
    "PAIRS": "constexpr",
    "BLOCK": "constexpr",
}
AHEAD = [
    (rotated_iou_kernel, _SIGNATURE, {"PAIRS": pairs, "BLOCK": 256}, {"enable_fp_fusion": False})
    for pairs in (False, True)
]


def random_boxes(count: int, spread: float, seed: int) -> Tensor:
    u = torch.rand(count, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([(u[:, :3] - 0.5) * spread, 0.2 + u[:, 3:6] * 4, (u[:, 6:] - 0.5) * 7], 1)


def coinciding_boxes() -> Tensor:
    rows = [
        [x, 0, z, 1, w, 2, turn * math.pi]
        for x in (-1.0, 0, 1)
        for z in (0, 0.5)
        for w in (1, 2, 1e-3)
        for turn in (0, 0.25, 0.5, 1)
    ]
    return torch.tensor([*rows, [0, 0, 0, 1, 0, 2, 0], [0, 0, 0, 0, 2, 2, 0]], dtype=torch.float64)


@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("spread", [0.5, 6.0, 30.0])
def test_equals_reference(device: str, volume: bool, spread: float) -> None:
    first, second = random_boxes(40, spread, 1).to(device), random_boxes(30, spread, 2).to(device)
    expected = box_iou.reference(first[:, None], second[None], volume)
    assert (rotated_iou(first, second, None, None, volume) - expected).abs().max() < 1e-12
    rows, columns = torch.arange(300, device=device) % 40, torch.arange(300, device=device) % 30
    assert (rotated_iou(first, second, rows, columns, volume) - expected[rows, columns]).abs().max() < 1e-12


@pytest.mark.parametrize("volume", [False, True])
def test_equals_reference_where_edges_coincide_and_boxes_have_no_extent(device: str, volume: bool) -> None:
    boxes = coinciding_boxes().to(device)
    expected = box_iou.reference(boxes[:, None], boxes[None], volume)
    assert (rotated_iou(boxes, boxes, None, None, volume) - expected).abs().max() < 1e-12


def test_no_boxes_and_float32(device: str) -> None:
    boxes = random_boxes(3, 2.0, 3).float().to(device)
    assert rotated_iou(boxes[:0], boxes, None, None, True).shape == (0, 3)
    assert rotated_iou(boxes, boxes, None, None, True).dtype == torch.float32


@pytest.mark.parametrize("columns", [6, 7])
def test_suppression_equals_reference(device: str, columns: int) -> None:
    boxes = random_boxes(80, 6.0, 4).to(device)
    if columns == 6:
        boxes = torch.cat([boxes[:, :3], boxes[:, :3] + boxes[:, 3:6]], 1)
    classes = torch.arange(80, device=device) % 2
    assert torch.equal(nms(boxes, classes, 0.2), suppression.reference(boxes, classes, 0.2))
