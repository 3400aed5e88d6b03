"""VoteNet's losses: unused rows, scenes without boxes, vote targets, and the same in two processes as in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.detector_batches import MEANS, POINTS, QUERIES, SEEDS, leaves, random_boxes, random_head, scenes_of
from support.two_ranks import in_two_processes

from g3d.systems.votenet.losses import LossInputs, assign, losses, vote_loss
from g3d.systems.votenet.targets import VOTES, VoteTargets


def made(used: list[int], seed: int = 0) -> tuple[LossInputs, VoteTargets]:
    g = torch.Generator().manual_seed(seed)
    scenes = len(used)
    boxes = random_boxes(used, 0.0, seed)
    near = boxes.centers[:, torch.arange(QUERIES) % boxes.used.shape[1]]
    proposals = near + 0.2 * torch.randn(near.shape, generator=g, dtype=torch.float64)
    seeds = torch.randn(scenes, SEEDS, 3, generator=g, dtype=torch.float64)
    outputs = LossInputs(
        seeds,
        torch.randint(0, POINTS, (scenes, SEEDS), generator=g),
        (seeds + 0.1).requires_grad_(),
        proposals,
        random_head(scenes, 2, proposals, seed),
    )
    offsets = torch.randn(scenes, POINTS, VOTES, 3, generator=g, dtype=torch.float64)
    return outputs, VoteTargets(boxes, offsets, torch.rand(scenes, POINTS, generator=g) > 0.5)


def test_proposals_at_the_origin_are_objects_only_with_the_published_fault() -> None:
    outputs, targets = made([2])
    outputs = replace(outputs, proposal_xyz=torch.zeros_like(outputs.proposal_xyz))
    correct, published = (losses(outputs, targets, MEANS, match_unused_rows=fault) for fault in (False, True))
    assert correct["semantic_class"] == 0
    assert correct["size_residual"] == 0
    assert published["semantic_class"] > 0.1
    assert torch.isfinite(correct["total"])


def test_unused_rows_do_not_attract_predicted_centres() -> None:
    outputs, targets = made([2])
    first = targets.boxes.centers[:, :1]
    head = replace(outputs.head, centers=torch.zeros_like(outputs.head.centers))
    outputs = replace(outputs, proposal_xyz=first.expand_as(outputs.proposal_xyz), head=head)
    correct, published = (losses(outputs, targets, MEANS, match_unused_rows=fault) for fault in (False, True))
    used = targets.boxes.centers[0, :2].square().sum(-1)
    assert correct["center"] == pytest.approx(float(used[0] + used.mean()), rel=1e-5)
    assert published["center"] == pytest.approx(float(used.mean()), rel=1e-5)


@pytest.mark.parametrize("fault", [False, True])
def test_a_scene_without_boxes_has_finite_losses_and_gradients(fault: bool) -> None:
    outputs, targets = made([0])
    targets = replace(targets, on_object=torch.zeros_like(targets.on_object))
    terms = losses(outputs, targets, MEANS, fault)
    terms["total"].backward()
    assert terms["vote"] == 0
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves(outputs) if leaf.grad is not None)
    if not fault:
        assert terms["box"] == 0
        assert terms["objectness"] > 0  # every proposal is negative


def test_between_near_and_far_the_objectness_is_not_trained() -> None:
    places = torch.tensor([[[0.29, 0, 0], [0.31, 0, 0], [0.59, 0, 0], [0.61, 0, 0]]])
    labels = assign(places, torch.zeros(1, 1, 3))
    assert labels.boxes.positive.tolist() == [[True, False, False, False]]
    assert labels.counts.tolist() == [[True, False, False, True]]


def test_a_vote_goes_to_its_nearest_target() -> None:
    outputs, targets = made([2, 3])
    total, count = 0.0, 0
    for scene in range(2):
        for seed in range(SEEDS):
            point = int(outputs.seed_indices[scene, seed])
            if targets.on_object[scene, point]:
                goals = outputs.seed_xyz[scene, seed] + targets.offsets[scene, point]
                total += float((outputs.votes[scene, seed].detach() - goals).abs().sum(-1).min())
                count += 1
    assert 0 < count < 2 * SEEDS
    assert float(vote_loss(outputs, targets).detach()) == pytest.approx(total / count, rel=1e-6)


def _one_rank(rank: int) -> tuple[dict, list]:
    outputs, targets = made([3, 1, 5])
    part = slice(0, 1) if rank == 0 else slice(1, 3)
    own, of_own = scenes_of(outputs, part), scenes_of(targets, part)
    terms = losses(own, of_own, MEANS)  # type: ignore[arg-type]
    terms["total"].backward()
    return {name: value.detach() for name, value in terms.items()}, [leaf.grad for leaf in leaves(own)]


def test_two_processes_have_the_losses_and_gradients_of_one(tmp_path: Path) -> None:
    outputs, targets = made([3, 1, 5])
    terms = losses(outputs, targets, MEANS)
    terms["total"].backward()
    (first, grads), (second, others) = in_two_processes(_one_rank, tmp_path)
    for name, value in terms.items():
        assert torch.allclose((first[name] + second[name]) / 2, value), name
    whole = leaves(outputs)
    assert len(whole) == len(grads) == 8
    for leaf, one, other in zip(whole, grads, others, strict=True):
        assert leaf.grad is not None
        assert torch.allclose(torch.cat([one, other]) / 2, leaf.grad)
