"""Losses: absent objects, switches, several queries, precision, other resolutions, and several processes as one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.overrides import TorchFunctionMode

from g3d.systems.jln.config import LossConfig
from g3d.systems.jln.losses import contrastive_loss, losses
from g3d.systems.jln.model import Outputs
from g3d.systems.jln.targets import Targets

MAP = (8, 12)  # cells of stride 16: a network input of 192 x 128
POSITIONS = (16 * 24, 8 * 12, 4 * 6, 2 * 3)
JOINT = {"region", "depth_region", "contrastive"}
OBJECT_TERMS = {"box", "giou", "center", "size", "angle", "depth"}


def targets_of(present: list[bool], seed: int = 0, dtype: torch.dtype = torch.float64) -> Targets:
    g = torch.Generator().manual_seed(seed)
    count = len(present)

    def values(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=g, dtype=dtype)

    return Targets(
        label=torch.randint(0, 9, (count,), generator=g),
        box=torch.cat([values(2, low=0.2, high=0.8), values(2, low=0.1, high=0.4)], 1),
        box3d=torch.cat([values(2, low=0.2, high=0.8), values(4, low=0.02, high=0.2)], 1),
        depth=values(low=4, high=50),
        size=values(3, low=1, high=4),
        heading_bin=torch.randint(0, 12, (count,), generator=g),
        heading_res=values(low=-0.2, high=0.2),
        present=torch.tensor(present),
        regions=torch.randint(0, 2, (count, sum(POSITIONS)), generator=g, dtype=torch.uint8),
        depth_regions=torch.randint(0, 2, (count, POSITIONS[1]), generator=g, dtype=torch.uint8),
    )


def outputs_of(count: int, queries: int = 1, seed: int = 1, dtype: torch.dtype = torch.float64) -> Outputs:
    g = torch.Generator().manual_seed(seed)

    def leaf(*shape: int, squash: bool = False) -> Tensor:
        values = torch.randn(count, *shape, generator=g, dtype=dtype)
        return (values.sigmoid() if squash else values).requires_grad_()

    return Outputs(
        leaf(queries, 9),
        leaf(queries, 6, squash=True),
        leaf(queries, 3),
        leaf(queries, 2),
        leaf(queries, 24),
        leaf(81, *MAP),
        leaf(*MAP),
        leaf(sum(POSITIONS)),
        leaf(POSITIONS[1]),
        leaf(16),
        leaf(16),
    )


def run(outputs: Outputs, targets: Targets, **settings: Any) -> dict[str, Tensor]:
    return losses(outputs, targets, LossConfig(**settings), 60.0)


def detached(outputs: Outputs, rows: slice = slice(None)) -> Outputs:
    """Some samples' outputs as leaves of their own."""
    return Outputs(*(leaf.detach()[rows].clone().requires_grad_() for leaf in outputs if leaf is not None))


def gradients(outputs: Outputs) -> dict[str, Tensor]:
    return {name: leaf.grad for name, leaf in outputs._asdict().items() if leaf.grad is not None}


def test_terms_are_the_schema_s_and_total_is_their_weighted_sum() -> None:
    targets = targets_of([True, False, True])
    terms = run(outputs_of(3), targets)
    weights = LossConfig().model_dump()
    assert set(terms) - {"total"} <= set(weights)
    assert terms["total"].item() == pytest.approx(
        sum(weights[name] * value.item() for name, value in terms.items() if name != "total")
    )
    doubled = run(outputs_of(3), targets, center=20)
    assert doubled["center"] == terms["center"]
    assert doubled["total"].item() == pytest.approx(terms["total"].item() + 10 * terms["center"].item())


def test_without_joint_outputs_there_are_no_joint_terms() -> None:
    outputs = outputs_of(2)._replace(regions=None, depth_regions=None, visual_token=None, text_token=None)
    assert set(run(outputs_of(2), targets_of([True, True]))) - set(run(outputs, targets_of([True, True]))) == JOINT


def test_an_absent_object_is_as_no_object() -> None:
    """Whatever its targets hold: the terms are those of the other samples, which alone get gradients."""
    targets, outputs = targets_of([True, False]), outputs_of(2)
    broken = replace(
        targets,
        **{
            f.name: _spoilt(getattr(targets, f.name))
            for f in fields(targets)
            if f.name in ("box", "box3d", "depth", "size", "heading_res")
        },
    )
    terms = run(outputs, broken)
    terms["total"].backward()
    first = {f.name: getattr(targets, f.name)[:1] for f in fields(targets) if getattr(targets, f.name) is not None}
    alone = run(detached(outputs, slice(0, 1)), Targets(**first))
    for name in OBJECT_TERMS:
        assert terms[name].item() == pytest.approx(alone[name].item()), name
    found = gradients(outputs)
    assert all(gradient.isfinite().all() for gradient in found.values())
    for name in ("boxes", "sizes", "depth", "angle"):
        assert found[name][0].any()
        assert not found[name][1].any()
    assert found["logits"][1].gt(0).all()  # no class is right


def _spoilt(values: Tensor) -> Tensor:
    """The second sample's values made 0."""
    values = values.clone()
    values[1] = 0
    return values


def test_a_batch_without_objects_has_finite_gradients() -> None:
    outputs = outputs_of(2)
    terms = run(outputs, targets_of([False, False]))
    terms["total"].backward()
    assert {name for name, value in terms.items() if value == 0} == OBJECT_TERMS
    assert all(gradient.isfinite().all() for gradient in gradients(outputs).values())


def test_of_several_queries_the_cheapest_one_learns() -> None:
    targets, outputs = targets_of([True, False, True]), outputs_of(3, queries=4)
    with torch.no_grad():
        outputs.boxes[0, 2], outputs.boxes[2, 1] = targets.box3d[0], targets.box3d[2]
        outputs.logits[0, 2, targets.label[0]] = outputs.logits[2, 1, targets.label[2]] = 5
    terms = run(outputs, targets)
    terms["total"].backward()
    found = gradients(outputs)
    assert found["sizes"].any(-1).nonzero().tolist() == [[0, 2], [2, 1]]
    assert terms["center"] == 0
    raised = (found["logits"] < 0).nonzero().tolist()
    assert raised == [[0, 2, int(targets.label[0])], [2, 1, int(targets.label[2])]]


def test_region_terms_count_each_level_alike() -> None:
    targets, outputs = targets_of([True, True]), outputs_of(2)
    with torch.no_grad():
        assert outputs.regions is not None
        outputs.regions.copy_(targets.regions)
        outputs.regions[:, -POSITIONS[-1] :] += 2  # the coarsest level only
    assert run(outputs, targets)["region"].item() == pytest.approx(4 / 4)


def test_region_outputs_of_another_input_size_are_refused() -> None:
    outputs = outputs_of(1)
    assert outputs.regions is not None
    with pytest.raises(ValueError, match=r"regions: expected 510 positions, levels of \[384, 96, 24, 6\], found 509"):
        run(outputs._replace(regions=outputs.regions[:, 1:]), targets_of([True]))


def test_depth_map_boxes_beyond_the_border() -> None:
    targets = targets_of([True])
    beyond = replace(targets, box=torch.tensor([[0.1, 0.5, 0.4, 0.4]], dtype=torch.float64))  # starts at -0.1
    values = {
        mode: run(outputs_of(1), beyond, depth_map_boxes=mode)["depth_map"].item() for mode in ("clamped", "published")
    }
    assert values["clamped"] > 2 * values["published"]  # nothing is painted: all is background, of weight 1


def test_a_scene_s_depth_map_shows_all_its_objects() -> None:
    targets, outputs = targets_of([True, True]), outputs_of(2)
    own = {"scene_boxes": targets.box[:, None], "scene_depths": targets.depth[:, None]}
    alone, same = (run(outputs, each)["depth_map"].item() for each in (targets, replace(targets, **own)))
    assert same == pytest.approx(alone)
    unused = {
        "scene_boxes": torch.cat([targets.box[:, None], targets.box[:, None].flip(0)], 1),
        "scene_depths": torch.stack([targets.depth, torch.zeros(2, dtype=torch.float64)], 1),
    }
    assert run(outputs, replace(targets, **unused))["depth_map"].item() == pytest.approx(alone)
    unused["scene_depths"] = targets.depth[:, None].expand(2, 2)
    assert run(outputs, replace(targets, **unused))["depth_map"].item() != pytest.approx(alone, rel=1e-3)


def test_contrastive_loss_wants_each_pair_on_the_diagonal() -> None:
    tokens = torch.eye(4, 16)
    assert contrastive_loss(tokens, 3 * tokens, 0.06).item() == pytest.approx(0, abs=1e-5)  # lengths do not matter
    assert contrastive_loss(tokens, tokens.roll(1, 0), 0.06).item() == pytest.approx(1 / 0.06, rel=1e-3)
    same = torch.ones(4, 16)
    assert contrastive_loss(same, same, 0.06).item() == pytest.approx(torch.tensor(4.0).log().item())


def test_bfloat16_outputs_give_float32_losses() -> None:
    outputs, targets = outputs_of(2, dtype=torch.bfloat16), targets_of([True, True], dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        terms = run(outputs, targets)
        wide = run(Outputs(*(leaf.float() for leaf in detached(outputs) if leaf is not None)), targets)
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert all(torch.equal(terms[name], wide[name]) for name in terms)


class _NoLook(TorchFunctionMode):
    """Refuses what would make the host wait for a GPU: a look at values, shapes that depend on them, copies from the
    host."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert function not in (
            Tensor.item,
            Tensor.tolist,
            Tensor.__bool__,
            Tensor.__float__,
            Tensor.__int__,
            Tensor.nonzero,
            Tensor.cpu,
            Tensor.numpy,
            torch.nonzero,
            torch.masked_select,
            torch.tensor,
            Tensor.new_tensor,
        )
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(place, Tensor) and place.dtype is torch.bool for place in places)
        return function(*args, **(kwargs or {}))


def test_one_query_needs_no_wait_for_the_device() -> None:
    targets, outputs = targets_of([True, False]), outputs_of(2)
    with _NoLook():
        run(outputs, targets)
    with pytest.raises(AssertionError), _NoLook():
        run(outputs_of(2, queries=2), targets)


def _rank(rank: int, folder: str, shares: tuple[slice, slice], present: list[bool]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    targets, outputs, own = targets_of(present), outputs_of(len(present)), shares[rank]
    local = Targets(
        **{f.name: getattr(targets, f.name)[own] for f in fields(targets) if getattr(targets, f.name) is not None}
    )
    found = {}
    for gather in (True, False):
        mine = detached(outputs, own)
        terms = run(mine, local, contrastive_gather=gather)
        terms["total"].backward()
        found[gather] = {name: value.detach() for name, value in terms.items()}, gradients(mine)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_the_global_batch(tmp_path: Path) -> None:
    """The second process has fewer samples, and no object at all."""
    present, shares = [True, False, True, False], (slice(0, 3), slice(3, 4))
    targets, outputs = targets_of(present), outputs_of(4)
    terms = run(outputs, targets)
    terms["total"].backward()
    whole = gradients(outputs)
    mp.spawn(_rank, (str(tmp_path), shares, present), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, value in terms.items():
        assert (ranks[0][True][0][name] + ranks[1][True][0][name]).item() / 2 == pytest.approx(
            value.item(), rel=1e-12
        ), name
    for name, gradient in whole.items():  # the gradient of the mean over the processes
        parts = torch.cat([found[True][1][name] for found in ranks]) / 2
        torch.testing.assert_close(parts, gradient, rtol=1e-11, atol=1e-14)

    assert outputs.visual_token is not None
    assert outputs.text_token is not None
    for found, share in zip(ranks, shares, strict=True):  # without gathering each contrasts its own
        own = contrastive_loss(outputs.visual_token[share], outputs.text_token[share], LossConfig().temperature)
        assert found[False][0]["contrastive"].item() == pytest.approx(own.item(), rel=1e-12)
