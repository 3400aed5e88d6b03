"""Losses: empty terms, switches, precision, and the same value and gradients in several processes as in one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from g3d.geometry.heading import HEADING_BINS
from g3d.nn.object_losses import SizeErrors
from g3d.nn.parallel import convert_sync_batchnorm
from g3d.systems.monodle.config import LossConfig, QuasiIsometricConfig
from g3d.systems.monodle.losses import losses, quasi_isometric_loss, resize_depth
from g3d.systems.monodle.model import MonoDLE, ObjectValues, Outputs
from g3d.systems.monodle.targets import Targets

CONFIG = LossConfig(quasi_isometric=QuasiIsometricConfig(radius=30.0, B=0.0, K=1.1))
H, W, SLOTS = 16, 24, 6


def random_targets(batch: int, objects_2d: list[int], objects_3d: list[int], seed: int = 0) -> Targets:
    """Targets of a batch with that many objects in each image."""
    g = torch.Generator().manual_seed(seed)
    heatmap = torch.rand(batch, 3, H, W, generator=g, dtype=torch.float64) * 0.9
    cells = torch.randint(0, H * W, (batch, SLOTS), generator=g)
    mask_2d = torch.arange(SLOTS) < torch.tensor(objects_2d)[:, None]
    mask_3d = torch.arange(SLOTS) < torch.tensor(objects_3d)[:, None]
    for image, slot in mask_2d.nonzero().tolist():
        heatmap[image, 1].view(-1)[cells[image, slot]] = 1
    depth_map = torch.zeros(batch, 4 * H, 4 * W, dtype=torch.float64)
    for image in range(batch):
        depth_map[image, 10:30, 20:50] = 12.0 if objects_3d[image] else 0.0

    def values(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(batch, SLOTS, *shape, generator=g, dtype=torch.float64)

    sizes, bins = values(3, low=1, high=4), torch.randint(0, 12, (batch, SLOTS), generator=g)
    return Targets(
        heatmap,
        cells,
        values(2),
        values(2),
        values(2, high=9),
        values(low=4, high=50),
        bins,
        values(low=-0.2, high=0.2),
        sizes,
        sizes,
        mask_2d,
        mask_3d,
        depth_map,
    )


def network() -> MonoDLE:
    torch.manual_seed(1)
    model = MonoDLE((4, 4, 8, 8, 16, 16), head_channels=8, object_depth=True).double()
    for name, p in model.named_parameters():
        if name.split(".")[0] in ("depth", "offset_3d", "size_3d", "heading", "obj_depth"):
            nn.init.normal_(p, std=0.2)
    return model.train()


def images(batch: int) -> Tensor:
    return torch.randn(batch, 3, 4 * H, 4 * W, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def outputs_of(targets: Targets, seed: int = 0) -> Outputs:
    g = torch.Generator().manual_seed(seed)

    def leaf(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(len(targets.cells), *shape, generator=g, dtype=torch.float64)).requires_grad_()

    objects = ObjectValues(*(leaf(SLOTS, n) for n in (2, 2, 2, 2, 3, 2 * HEADING_BINS)))
    return Outputs(
        leaf(3, H, W), leaf(2, H, W), leaf(8, H, W, scale=10), objects
    )  # features: some pairs too far, some too near


@pytest.mark.parametrize(("objects_2d", "objects_3d"), [([0, 0], [0, 0]), ([3, 1], [0, 0])])
def test_terms_without_objects_are_zero_with_finite_gradients(objects_2d: list[int], objects_3d: list[int]) -> None:
    targets = random_targets(2, objects_2d, objects_3d)
    outputs = outputs_of(targets)
    terms = losses(outputs, targets, CONFIG)
    terms["total"].backward()
    empty = ["offset_3d", "depth", "size_3d", "obj_depth", "quasi_isometric"] + ["offset_2d", "size_2d", "heading"] * (
        objects_2d == [0, 0]
    )
    assert {name: value.item() for name, value in terms.items() if name in empty} == dict.fromkeys(empty, 0.0)
    leaves = [outputs.heatmap, outputs.obj_depth, outputs.features, *outputs.objects]
    assert all(leaf is not None and leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves)
    assert outputs.objects.offset_3d.grad is not None
    assert not outputs.objects.offset_3d.grad.any()


def test_masked_slots_get_no_gradient() -> None:
    targets = random_targets(2, [3, 2], [3, 0])
    outputs = outputs_of(targets)
    losses(outputs, targets, CONFIG)["total"].backward()
    for name, mask in (("depth", targets.mask_3d), ("heading", targets.mask_2d)):
        gradient = getattr(outputs.objects, name).grad
        assert torch.equal(gradient.any(-1), mask)


def test_total_is_the_weighted_sum() -> None:
    targets = random_targets(2, [6, 6], [6, 6])
    config = LossConfig(quasi_isometric=CONFIG.quasi_isometric, object_depth_weight=0.25)
    terms = {name: value.item() for name, value in losses(outputs_of(targets), targets, config).items()}
    assert terms["quasi_isometric"] > 0
    rest = sum(v for name, v in terms.items() if name not in ("total", "quasi_isometric", "obj_depth"))
    assert terms["total"] == pytest.approx(rest + 0.5 * terms["quasi_isometric"] + 0.25 * terms["obj_depth"])


def test_heads_and_terms_that_are_off_are_absent() -> None:
    targets = random_targets(1, [2], [2])
    terms = losses(outputs_of(targets)._replace(obj_depth=None), targets, LossConfig())
    assert set(terms) == {"heatmap", "offset_2d", "size_2d", "offset_3d", "depth", "size_3d", "heading", "total"}


def test_size_loss_has_the_value_of_the_mean_error_and_gradients_by_size() -> None:
    predicted = torch.tensor([[2.0, 3.0, 6.0]], requires_grad=True)
    true = torch.tensor([[1.0, 2.0, 5.0]])
    errors = SizeErrors.of(predicted, true, true)
    loss = errors.loss(errors.absolute.detach(), errors.relative.detach()) / 3
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert predicted.grad is not None
    torch.testing.assert_close(predicted.grad * true, predicted.grad[0, 0].expand(1, 3) * 1.0)


def test_published_size_divisor_flips_the_gradient_for_negative_residuals() -> None:
    targets = random_targets(1, [1], [1])
    shifted = replace(targets, size_3d=targets.src_size_3d - 10)  # as with mean sizes larger than the object
    gradients = {}
    for divisor in ("size", "residual"):
        outputs = outputs_of(shifted)
        losses(outputs, shifted, LossConfig(size3d_divisor=divisor))["total"].backward()
        gradients[divisor] = outputs.objects.size_3d.grad
    assert gradients["size"][0, 0].gt(0).all()  # predictions lie above these targets
    assert gradients["residual"][0, 0].gt(0).all() != gradients["residual"][0, 0].lt(0).all()


def test_lower_sign_flipped_pushes_apart_what_is_too_close() -> None:
    depth = torch.tensor([0.0, 5.0, 5.5])
    for sign, direction in (("published", 1), ("flipped", -1)):
        x = torch.tensor([[0.0], [0.5], [9.0]], requires_grad=True)  # 0-1 too close for 5 m, 1-2 too far for 0.5 m
        config = QuasiIsometricConfig(lower_sign=sign)
        e = (x[0] - x[1].detach()).abs()
        loss = quasi_isometric_loss(x, depth, config)
        (gradient,) = torch.autograd.grad(loss, x)
        slope = gradient[0, 0] / torch.sign(x[0, 0] - x[1, 0])  # d loss / d e of the close pair
        assert e > 0
        assert torch.sign(slope) == direction


def test_stop_gradient_leaves_the_last_object_alone() -> None:
    x, depth = (
        torch.tensor([[0.0], [30.0], [60.0], [60.5], [0.1]]),
        torch.arange(5.0),
    )  # 0 and 4 too close, the others too far apart
    for stop in (True, False):
        leaf = x.clone().requires_grad_()
        quasi_isometric_loss(leaf, depth, QuasiIsometricConfig(stop_gradient=stop, B=0.0)).backward()
        assert leaf.grad is not None
        assert bool(leaf.grad[-1].any()) is not stop


def test_quasi_isometric_loss_survives_distances_that_overflow_the_exponent() -> None:
    x = torch.tensor([[0.0], [5000.0], [5000.1]], requires_grad=True)
    loss = quasi_isometric_loss(x, torch.tensor([0.0, 1.0, 6.0]), QuasiIsometricConfig())
    loss.backward()
    assert loss.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_nearest_resize_keeps_depths_apart() -> None:
    depth = torch.zeros(1, 8, 8)
    depth[:, 2:6, 2:6] = 10
    like = torch.zeros(1, 2, 2, 2)
    assert set(resize_depth(depth, like, "nearest").unique().tolist()) <= {0.0, 10.0}


def test_autocast_computes_losses_in_float32() -> None:
    targets = random_targets(1, [2], [2])
    single = Targets(
        *(v.float() if v.is_floating_point() else v for v in (getattr(targets, f.name) for f in fields(Targets)))
    )
    model, x = network().float(), images(1).float()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(x, single.cells)
        terms = losses(outputs, single, CONFIG)
    assert outputs.heatmap.dtype is torch.float32
    assert all(value.dtype is torch.float32 and value.isfinite() for value in terms.values())


def _rank(rank: int, folder: str, shares: tuple[slice, slice], counts: tuple[list[int], list[int]]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(convert_sync_batchnorm(network()))
    targets, own = random_targets(4, *counts), shares[rank]
    local = Targets(*(getattr(targets, f.name)[own] for f in fields(Targets)))
    terms = losses(model(images(4)[own], local.cells), local, CONFIG)
    terms["total"].backward()
    gradients = {name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.requires_grad}
    torch.save(({name: value.detach() for name, value in terms.items()}, gradients), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_the_global_batch(tmp_path: Path) -> None:
    """Also when one process has no object at all."""
    counts = ([4, 3, 0, 0], [4, 2, 0, 0])
    model, targets = network(), random_targets(4, *counts)
    terms = losses(model(images(4), targets.cells), targets, CONFIG)
    terms["total"].backward()
    assert terms["quasi_isometric"] > 0
    mp.spawn(_rank, (str(tmp_path), (slice(0, 2), slice(2, 4)), counts), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, value in terms.items():
        assert (ranks[0][0][name] + ranks[1][0][name]).item() / 2 == pytest.approx(value.item(), rel=1e-5), name
    for name, p in model.named_parameters():
        if p.requires_grad:
            for _, gradients in ranks:
                torch.testing.assert_close(gradients[name], p.grad, rtol=1e-5, atol=1e-9)
