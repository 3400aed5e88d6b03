"""Targets, losses, decoding and evaluation agree: free outputs that minimise the loss find every object."""

from __future__ import annotations

import torch
from support.detection_items import free_head, furnished, mean_precision

from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.systems.groupfree.losses import LossInputs, losses
from g3d.systems.groupfree.targets import GroupFreeTargets, groupfree_targets


def test_minimising_the_loss_finds_every_object() -> None:
    item, means = furnished(), torch.from_numpy(DETECTION_MEAN_SIZES)
    targets = GroupFreeTargets.stack([groupfree_targets(item, means, rows=8)])
    seeds = torch.from_numpy(item.points)[None]
    queries = torch.arange(0, seeds.shape[1], 10)[None]
    head = free_head(queries.shape[1], 1, seeds[:, queries[0]])
    objectness = torch.zeros(1, seeds.shape[1], requires_grad=True)
    outputs = LossInputs(seeds, torch.arange(seeds.shape[1])[None], objectness, queries, (head,))
    before = mean_precision(head, item)
    optimiser = torch.optim.Adam([objectness, *vars(head).values()], lr=0.05)
    first = None
    for _ in range(120):
        optimiser.zero_grad()
        total = losses(outputs, targets, means)["total"]
        first = first if first is not None else float(total.detach())
        total.backward()
        optimiser.step()
    assert float(total.detach()) < first / 20
    assert int((objectness.detach() > 0).sum()) == 5 * 4  # four seeds of each object
    assert before < 50
    assert mean_precision(head, item) == 100
