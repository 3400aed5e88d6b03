"""Targets, losses, decoding and evaluation agree: free outputs that minimise the loss find every object."""

from __future__ import annotations

import torch
from support.detection_items import free_head, furnished, mean_precision

from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.systems.votenet.losses import LossInputs, losses
from g3d.systems.votenet.targets import VoteTargets, vote_targets


def test_minimising_the_loss_finds_every_object() -> None:
    item, means = furnished(), torch.from_numpy(DETECTION_MEAN_SIZES)
    targets = VoteTargets.stack([vote_targets(item, means, rows=8)])
    seeds = torch.from_numpy(item.points)[None]
    votes = seeds.clone().requires_grad_()
    goal = (seeds + targets.offsets[:, :, 0])[:, ::10]
    head = free_head(goal.shape[1], 2, goal)
    outputs = LossInputs(seeds, torch.arange(seeds.shape[1])[None], votes, goal, head)
    before = mean_precision(head, item)
    optimiser = torch.optim.Adam([votes, *vars(head).values()], lr=0.05)
    first = None
    for _ in range(120):
        optimiser.zero_grad()
        total = losses(outputs, targets, means)["total"]
        first = first if first is not None else float(total.detach())
        total.backward()
        optimiser.step()
    assert float(total.detach()) < first / 20
    assert (votes.detach()[:, :300] - (seeds + targets.offsets[:, :, 0])[:, :300]).abs().max() < 0.1
    assert before < 50
    assert mean_precision(head, item) == 100
