"""One-to-one matching of queries with targets at minimum total cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Match = tuple[Tensor, Tensor]
"""Matched queries and targets, (N,) int64 each, N = min(queries, targets), queries ascending."""


def hungarian(costs: Sequence[Tensor]) -> list[Match]:
    """Return the matching of minimum total cost for every cost matrix, computed on the CPU without gradient.

    Args:
        costs: one (Q, T) floating point matrix for each image or sample, of any size, including no rows or columns. A
            cost that is not finite counts as higher than any sum of finite ones, so that such a pair is matched only if
            nothing else is left; its loss then shows that training diverged.

    Returns:
        A match for each matrix, on that matrix's device.

    Source: Kuhn (1955); the matching of facebookresearch/detr.
    """
    from scipy.optimize import linear_sum_assignment  # takes half a second, and networks with one query do not need it

    if not costs:
        return []
    flat = (
        torch.cat([cost.detach().flatten().double() for cost in costs]).cpu().numpy()
    )  # one copy from the device for all matrices
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
