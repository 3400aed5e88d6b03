"""The order of edges of equal weight is that of GNU's std::sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from g3d.kernels import edge_order

# {weight i * i % 7 % 4, i} for i < 60, sorted by weight with std::sort of g++ 12
SORTED = [
    0, 33, 35, 30, 37, 28, 40, 26, 42, 23, 21, 44, 19, 47, 16, 14, 49, 2, 12, 51,
    54, 9, 58, 7, 56, 5, 1, 36, 57, 41, 55, 43, 50, 48, 13, 15, 29, 6, 27, 8,
    34, 22, 20, 10, 11, 52, 53, 18, 4, 3, 59, 17, 46, 45, 24, 25, 39, 38, 31, 32,
]  # fmt: skip


def by_kernel(weights: Tensor) -> list[int]:
    keys = np.empty(len(weights), np.uint64)
    return (keys[: edge_order.cpu(weights.numpy(), keys)] & np.uint64(0xFFFFFFFF)).tolist()


def random_weights(count: int, values: int) -> Tensor:
    """Eighths, some of them negative, from a generator that any language can repeat."""
    seed, drawn = 1, []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        drawn.append((seed >> 16) % values - values // 10)
    return torch.tensor(drawn) / 8


def test_equal_weights_fall_as_std_sort_leaves_them() -> None:
    number = torch.arange(60)
    weights = (number * number % 7 % 4).float()
    assert by_kernel(weights) == SORTED
    assert edge_order.reference(weights).tolist() == SORTED


def test_long_lists_too() -> None:
    checksum = 0
    for number in by_kernel(random_weights(200_000, 997)):
        checksum = (checksum * 31 + number) % 2**32
    assert checksum == 995800950  # what g++ 12 gives


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 18, 33, 100, 3000])
@pytest.mark.parametrize("values", [1, 2, 40, 10**6])
def test_kernel_equals_oracle(count: int, values: int) -> None:
    weights = random_weights(count, values)
    for case in (weights, weights.sort().values, weights.sort(descending=True).values):
        found = by_kernel(case)
        assert found == edge_order.reference(case).tolist()
        assert torch.equal(case[found], case.sort().values)


def test_few_equal_weights_keep_their_order_and_nan_is_left_out() -> None:
    weights = torch.tensor([2.0, torch.nan, -1, 2, torch.inf, -0.5, torch.nan, 2, -torch.inf])
    assert by_kernel(weights) == edge_order.reference(weights).tolist() == [8, 2, 5, 0, 3, 7, 4]
