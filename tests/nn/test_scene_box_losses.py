"""Targets of boxes, and the loss terms that both detectors share, beside plain loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.errors import InputError
from g3d.nn.scene_box_losses import BoxPrediction, BoxTargets, RowTargets, box_targets, box_terms, mean_over

MEANS = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.5, 1.0]], dtype=torch.float64)


def head(scenes: int, proposals: int, bins: int = 2, classes: int = 2, seed: int = 0) -> BoxPrediction:
    g = torch.Generator().manual_seed(seed)
    shape = (scenes, proposals)

    def normal(*last: int) -> Tensor:
        return torch.randn(*shape, *last, generator=g, dtype=torch.float64)

    return BoxPrediction(
        normal(2), normal(3), normal(bins), normal(bins), normal(classes), normal(classes, 3), normal(classes)
    )


def test_unused_rows_have_zeros_and_the_given_centre() -> None:
    centers, sizes = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.75, 0.5, 1.5]])
    made = box_targets(centers, sizes, torch.tensor([1]), MEANS, rows=3, unused_center=1000.0)
    assert made.centers.tolist() == [[1, 2, 3], [1000] * 3, [1000] * 3]
    assert made.size_residuals.tolist() == [[0.25, 0, 0.5], [0] * 3, [0] * 3]
    assert made.used.tolist() == [True, False, False]
    assert made.classes.tolist() == [1, 0, 0]
    assert made.sizes[1:].eq(0).all()


def test_more_boxes_than_rows_are_an_input_error() -> None:
    with pytest.raises(InputError, match="found 3 boxes, expected at most 2"):
        box_targets(torch.zeros(3, 3), torch.ones(3, 3), torch.zeros(3, dtype=torch.int64), MEANS, 2, 0.0)


def test_a_mean_over_nothing_is_zero() -> None:
    assert mean_over(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_terms_agree_with_loops_over_positive_proposals() -> None:
    found = head(2, 5)
    g = torch.Generator().manual_seed(1)
    targets = BoxTargets(
        torch.zeros(2, 3, 3, dtype=torch.float64),
        torch.zeros(2, 3, 3, dtype=torch.float64),
        torch.randint(0, 2, (2, 3), generator=g),
        torch.rand(2, 3, generator=g, dtype=torch.float64),
        torch.randn(2, 3, 3, generator=g, dtype=torch.float64),
        torch.randint(0, 2, (2, 3), generator=g),
        torch.ones(2, 3, dtype=torch.bool),
    )
    rows = torch.randint(0, 3, (2, 5), generator=g)
    positive = torch.rand(2, 5, generator=g) > 0.4
    terms = box_terms(
        found,
        targets,
        RowTargets(rows, positive),
        MEANS,
        lambda a, b: (a - b).abs(),
        lambda a, b: (a - b).abs().sum(-1),
    )
    wanted = torch.zeros(5, dtype=torch.float64)
    for scene, proposal in positive.nonzero().tolist():
        row = int(rows[scene, proposal])
        label, turn = int(targets.classes[scene, row]), int(targets.heading_bins[scene, row])
        goal = targets.heading_residuals[scene, row] / (math.pi / 2)
        size = targets.size_residuals[scene, row] / MEANS[label]
        wanted += torch.stack(
            [
                -F.log_softmax(found.heading_scores[scene, proposal], 0)[turn],
                (found.heading_residuals[scene, proposal, turn] - goal).abs(),
                -F.log_softmax(found.size_scores[scene, proposal], 0)[label],
                (found.size_residuals[scene, proposal, label] - size).abs().sum(),
                -F.log_softmax(found.class_scores[scene, proposal], 0)[label],
            ]
        )
    wanted /= positive.sum() + 1e-6
    ours = (terms.heading_class, terms.heading_residual, terms.size_class, terms.size_residual, terms.semantic_class)
    assert torch.allclose(torch.stack(ours), wanted)
    total = terms.box(torch.tensor(5.0))
    assert torch.allclose(total, 5 + 0.1 * wanted[0] + wanted[1] + 0.1 * wanted[2] + wanted[3])
