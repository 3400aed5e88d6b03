"""One-to-one matching of queries with targets of least total cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Match = tuple[Tensor, Tensor]
"""Matched queries and targets, (N,) int64 each, N = min(queries, targets), queries ascending."""


def hungarian(costs: Sequence[Tensor]) -> list[Match]:
    """The matching of least total cost for every cost matrix, on the CPU and without gradient.

    Args:
        costs: one (Q, T) floating point matrix for each image or sample, of any sizes, also without rows or columns. A
            cost that is not finite counts as worse than any sum of finite ones, so that such a pair is taken only where
            nothing else is left: a loss on it then says that training diverged.

    Returns:
        A match for each matrix, on that matrix's device.

    Source: Kuhn (1955); the matching of facebookresearch/detr.
    """
    from scipy.optimize import linear_sum_assignment  # half a second that networks of one query never need

    if not costs:
        return []
    flat = (
        torch.cat([cost.detach().flatten().double() for cost in costs]).cpu().numpy()
    )  # one copy from the device for all of them
    parts = np.split(flat, np.cumsum([cost.numel() for cost in costs])[:-1])
    matches = []
    for cost, values in zip(costs, parts, strict=True):
        queries, targets = linear_sum_assignment(_finite(values.reshape(cost.shape)))
        matches.append((torch.from_numpy(queries).to(cost.device), torch.from_numpy(targets).to(cost.device)))
    return matches


def _finite(cost: np.ndarray) -> np.ndarray:
    fits = np.isfinite(cost)
    if fits.all():
        return cost
    largest = np.abs(cost[fits]).max(initial=1.0)
    return np.where(fits, cost, largest * 2 * (min(cost.shape) + 1))
