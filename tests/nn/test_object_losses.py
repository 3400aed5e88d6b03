"""Losses of objects that several systems share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from g3d.nn.object_losses import generalised_iou, sigmoid_focal_loss
from g3d.ops.box_iou import axis_aligned_iou


def boxes(count: int, seed: int) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([corners.amin(1), corners.amax(1)], 1)


def test_generalised_iou_is_the_iou_less_the_empty_share_of_the_hull() -> None:
    first, second = boxes(30, 0), boxes(30, 1)
    found = generalised_iou(first[:, None], second[None])
    iou = axis_aligned_iou(first, second)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (first, second)]
    union = (areas[0][:, None] + areas[1][None]) / (1 + iou)
    low, high = (
        torch.minimum(first[:, None, :2], second[None, :, :2]),
        torch.maximum(first[:, None, 2:], second[None, :, 2:]),
    )
    hull = (high - low).prod(-1)
    torch.testing.assert_close(found, iou - (hull - union) / hull)
    assert found.min() < 0  # some lie apart
    torch.testing.assert_close(generalised_iou(first, first), torch.ones(30, dtype=torch.float64))


def test_generalised_iou_has_the_right_gradient() -> None:
    first, second = boxes(5, 2).requires_grad_(), boxes(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(generalised_iou, (first, second))


def test_generalised_iou_of_points_is_finite() -> None:
    point = torch.tensor([0.5, 0.5, 0.5, 0.5], requires_grad=True)
    for other in (point.detach(), torch.tensor([0.1, 0.1, 0.1, 0.1]), torch.tensor([0.0, 0.0, 1.0, 1.0])):
        value = generalised_iou(point, other)
        value.backward()
        assert -1 <= value.item() <= 0
        assert point.grad is not None
        assert point.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_of_certain_answers_and_without_focus(gamma: float) -> None:
    logits, labels = torch.tensor([-3.0, 0.0, 4.0, 2.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    p = logits.sigmoid()
    of_truth, weight = torch.where(labels == 1, p, 1 - p), torch.where(labels == 1, 0.25, 0.75)
    expected = weight * (1 - of_truth) ** gamma * F.binary_cross_entropy(p, labels, reduction="none")
    torch.testing.assert_close(sigmoid_focal_loss(logits, labels, gamma=gamma), expected)
