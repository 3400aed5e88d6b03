"""Matching: the least total cost, matrices of any shape, costs that are not finite."""

from __future__ import annotations

import itertools

import pytest
import torch

from g3d.nn.matcher import hungarian


@pytest.mark.parametrize(("queries", "targets"), [(5, 3), (3, 5), (4, 4), (1, 1)])
def test_no_other_assignment_costs_less(queries: int, targets: int) -> None:
    cost = torch.randn(queries, targets, generator=torch.Generator().manual_seed(queries), dtype=torch.float64)
    ((rows, columns),) = hungarian([cost])
    few, many = sorted((queries, targets))
    table = cost if queries == many else cost.T
    least = min(
        sum(float(table[row, k]) for k, row in enumerate(chosen)) for chosen in itertools.permutations(range(many), few)
    )
    assert cost[rows, columns].sum().item() == pytest.approx(least)
    assert len(rows) == few
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(set(columns.tolist())) == few


def test_matrices_of_different_sizes_are_matched_each_for_itself() -> None:
    matches = hungarian(
        [
            torch.tensor([[3.0, 1.0], [1.0, 3.0]]),
            torch.zeros(4, 0),
            torch.tensor([[2.0], [1.0], [5.0]]),
            torch.zeros(0, 2),
        ]
    )
    assert [(rows.tolist(), columns.tolist()) for rows, columns in matches] == [
        ([0, 1], [1, 0]),
        ([], []),
        ([1], [0]),
        ([], []),
    ]
    assert all(part.dtype is torch.int64 for match in matches for part in match)
    assert hungarian([]) == []


def test_costs_keep_their_graph_out_of_it() -> None:
    cost = torch.rand(2, 2, requires_grad=True)
    assert not any(part.requires_grad for part in hungarian([cost.half(), cost])[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_cost_that_is_not_finite_is_taken_last(bad: float) -> None:
    ((rows, columns),) = hungarian([torch.tensor([[bad, 900.0], [1.0, 2.0]])])
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
    ((rows, columns),) = hungarian([torch.full((2, 2), bad)])
    assert len(rows) == 2
