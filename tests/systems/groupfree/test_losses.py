"""Group-Free 3D's losses: seeds of other objects, scenes without boxes, and the same in two processes as in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.detector_batches import MEANS, POINTS, QUERIES, ROWS, SEEDS, leaves, random_boxes, random_head, scenes_of
from support.two_ranks import in_two_processes

from g3d.systems.groupfree.config import LossConfig
from g3d.systems.groupfree.losses import LossInputs, losses, query_targets, seed_labels
from g3d.systems.groupfree.targets import GroupFreeTargets


def made(used: list[int], seed: int = 0, heads: int = 3) -> tuple[LossInputs, GroupFreeTargets]:
    g = torch.Generator().manual_seed(seed)
    scenes = len(used)
    boxes = random_boxes(used, 1000.0, seed)
    rows = torch.stack([torch.randint(-1, max(count, 1), (POINTS,), generator=g) for count in used])
    rows[[k for k, count in enumerate(used) if not count]] = -1
    seeds = torch.randn(scenes, SEEDS, 3, generator=g, dtype=torch.float64)
    queries = torch.randn(scenes, QUERIES, 3, generator=g, dtype=torch.float64)
    outputs = LossInputs(
        seeds,
        torch.stack([torch.randperm(POINTS, generator=g)[:SEEDS] for _ in used]),
        torch.randn(scenes, SEEDS, generator=g, dtype=torch.float64).requires_grad_(),
        torch.randint(0, SEEDS, (scenes, QUERIES), generator=g),
        tuple(random_head(scenes, 1, queries, seed + k) for k in range(heads)),
    )
    return outputs, GroupFreeTargets(boxes, rows)


def test_the_nearest_own_seeds_of_every_box_are_positive() -> None:
    outputs, targets = made([3, 5])
    labels = seed_labels(outputs.seed_xyz, outputs.seed_indices, targets, LossConfig(nearest=2))
    for scene in range(2):
        wanted = set()
        for row in range(int(targets.boxes.used[scene].sum())):
            own = [s for s in range(SEEDS) if targets.box_rows[scene, outputs.seed_indices[scene, s]] == row]
            apart = (outputs.seed_xyz[scene] - targets.boxes.centers[scene, row]) / targets.boxes.sizes[scene, row]
            wanted |= set(sorted(own, key=lambda s: float(apart[s].norm()))[:2])
        assert labels[scene].nonzero()[:, 0].tolist() == sorted(wanted)


def test_seeds_of_other_objects_are_positive_only_with_the_published_fault() -> None:
    """The first of two boxes has one seed, so that three of its four places are left for others."""
    _, targets = made([2])
    rows = torch.full((1, POINTS), 1)
    rows[0, 0] = 0
    targets = replace(targets, box_rows=rows)
    seeds, indices = torch.rand(1, SEEDS, 3, dtype=torch.float64), torch.arange(SEEDS)[None]
    correct = seed_labels(seeds, indices, targets, LossConfig())
    published = seed_labels(seeds, indices, targets, LossConfig(foreign_seeds=True))
    assert correct.sum() == 1 + 4
    assert bool(correct[0, 0])
    assert bool((published | ~correct).all())
    assert 5 < int(published.sum()) <= 8


def test_background_queries_have_the_last_row_and_do_not_count() -> None:
    outputs, targets = made([3, 0])
    queries = query_targets(outputs, targets)
    under = targets.box_rows.gather(1, outputs.seed_indices).gather(1, outputs.query_indices)
    assert torch.equal(queries.positive, under >= 0)
    assert queries.rows[~queries.positive].eq(ROWS - 1).all()
    assert not queries.positive[1].any()


def test_a_scene_without_boxes_has_finite_losses_and_gradients() -> None:
    outputs, targets = made([0])
    terms = losses(outputs, targets, MEANS)
    terms["total"].backward()
    assert terms["box"] == terms["semantic_class"] == 0
    assert terms["objectness"] > 0
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves(outputs) if leaf.grad is not None)


def test_the_total_weights_the_terms_as_published() -> None:
    outputs, targets = made([3, 5], heads=4)
    terms = losses(outputs, targets, MEANS)
    of_heads = 0.1 * terms["objectness"] + terms["box"] + 0.1 * terms["semantic_class"]
    assert torch.allclose(terms["total"], 10 * (0.8 * terms["sampling"] + of_heads / 4))


def test_the_centre_loss_is_smooth_below_its_delta() -> None:
    outputs, targets = made([3])
    queries = query_targets(outputs, targets)
    goal = targets.boxes.centers.gather(1, queries.rows[..., None].expand(-1, -1, 3))
    near = replace(outputs, heads=(replace(outputs.heads[0], centers=goal + 0.02),))
    far = replace(outputs, heads=(replace(outputs.heads[0], centers=goal + 1.0),))
    for found, error in ((near, 0.02**2 / 0.08), (far, 1 - 0.02)):
        other = replace(found, heads=(replace(found.heads[0], centers=goal),))
        gained = losses(found, targets, MEANS)["box"] - losses(other, targets, MEANS)["box"]
        assert float(gained.detach()) == pytest.approx(3 * error, rel=1e-5)


def _one_rank(rank: int) -> tuple[dict, list]:
    outputs, targets = made([3, 0, 5])
    part = slice(0, 1) if rank == 0 else slice(1, 3)
    own, of_own = scenes_of(outputs, part), scenes_of(targets, part)
    terms = losses(own, of_own, MEANS)  # type: ignore[arg-type]
    terms["total"].backward()
    return {name: value.detach() for name, value in terms.items()}, [leaf.grad for leaf in leaves(own)]


def test_two_processes_have_the_losses_and_gradients_of_one(tmp_path: Path) -> None:
    outputs, targets = made([3, 0, 5])
    terms = losses(outputs, targets, MEANS)
    terms["total"].backward()
    (first, grads), (second, others) = in_two_processes(_one_rank, tmp_path)
    for name, value in terms.items():
        assert torch.allclose((first[name] + second[name]) / 2, value), name
    whole = leaves(outputs)
    assert len(whole) == len(grads) == 1 + 3 * 7
    for leaf, one, other in zip(whole, grads, others, strict=True):
        assert leaf.grad is not None
        assert torch.allclose(torch.cat([one, other]) / 2, leaf.grad)
