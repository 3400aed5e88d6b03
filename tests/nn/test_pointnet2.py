"""PointNet++ equals the plain composition, in training and evaluation, forward and gradient."""

from __future__ import annotations

import pytest
import torch
from support.detectors import draw_weights, rooms
from support.plain_detectors import PlainAbstraction, PlainBackbone, PlainPropagation

from g3d.nn import pointnet2
from g3d.nn.pointnet2 import Backbone, FeaturePropagation, SetAbstraction


def abstractions(radius: float, widths: tuple[int, ...], training: bool) -> tuple[SetAbstraction, PlainAbstraction]:
    torch.manual_seed(0)
    ours, plain = SetAbstraction(40, radius, 16, widths), PlainAbstraction(40, radius, 16, list(widths))
    draw_weights(ours)
    plain.load_state_dict(ours.state_dict())
    return ours.double().train(training), plain.double().train(training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("radius", [0.05, 0.4, 2.0])  # groups of one point, of different sizes, all full
@pytest.mark.parametrize("features", [0, 5])
def test_set_abstraction(training: bool, radius: float, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointnet2, "_CACHED", 16 * 24 * 7)  # chunks of 7 centres, the last one not full
    ours, plain = abstractions(radius, (features, 8, 12, 24), training)
    xyz = rooms()[..., :3].clone().requires_grad_()
    given = torch.randn(2, 600, features, dtype=torch.float64, requires_grad=True) if features else None
    centres, pooled, chosen = ours(xyz, given)
    columns = None if given is None else given.transpose(1, 2)
    expected_centres, expected, expected_chosen = plain(xyz, columns)
    assert torch.equal(chosen, expected_chosen)
    torch.testing.assert_close(centres, expected_centres)
    torch.testing.assert_close(pooled, expected.transpose(1, 2))
    inputs = [xyz] if given is None else [xyz, given]
    upstream = torch.randn_like(pooled)
    found = torch.autograd.grad(pooled, [*inputs, *ours.parameters()], upstream)
    other = torch.autograd.grad(expected, [*inputs, *plain.parameters()], upstream.transpose(1, 2))
    torch.testing.assert_close(found[1:], other[1:], atol=1e-6, rtol=1e-6)
    error = (found[0] - other[0]).abs().max() / other[0].abs().max()  # of the float32 coordinates, which cancel
    assert float(error) < 1e-5
    torch.testing.assert_close(dict(ours.named_buffers()), dict(plain.named_buffers()))


def test_given_samples_are_taken() -> None:
    ours, _ = abstractions(0.4, (0, 8, 8), False)
    xyz, chosen = rooms()[..., :3], torch.arange(40).expand(2, 40)
    centres, _, found = ours(xyz, None, chosen)
    assert torch.equal(found, chosen)
    assert torch.equal(centres, xyz[:, :40])


@pytest.mark.parametrize("training", [False, True])
def test_feature_propagation(training: bool) -> None:
    torch.manual_seed(0)
    ours, plain = FeaturePropagation(6, 4, (8, 5)).double(), PlainPropagation([10, 8, 5]).double()
    draw_weights(ours)
    plain.load_state_dict(ours.state_dict())
    ours.train(training), plain.train(training)
    xyz = rooms()[..., :3]
    fine, coarse = (torch.randn(2, *size, dtype=torch.float64, requires_grad=True) for size in ((600, 4), (50, 6)))
    found = ours(xyz, xyz[:, 3:53].contiguous(), fine, coarse)
    expected = plain(xyz, xyz[:, 3:53].contiguous(), fine.transpose(1, 2), coarse.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(found)
    gradients = [
        torch.autograd.grad(values, [fine, coarse, *network.parameters()], upstream)
        for values, network in ((found, ours), (expected, plain))
    ]
    torch.testing.assert_close(*gradients)


def test_the_backbone_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    ours, plain = Backbone(1, 32, 0.25, (128, 64, 32, 16)).eval(), PlainBackbone(1, 32, 0.25, (128, 64, 32, 16)).eval()
    draw_weights(ours)
    plain.load_state_dict(ours.state_dict())
    clouds = rooms()
    seeds = ours(clouds)
    xyz, features = plain(clouds)
    torch.testing.assert_close(seeds.xyz, xyz)
    torch.testing.assert_close(seeds.features, features.transpose(1, 2), atol=5e-5, rtol=1e-4)


def test_seed_indices_name_the_seeds_points_even_where_published_code_assumes_wrong_ones() -> None:
    clouds = rooms()
    clouds[0, 0, :3] = 50.0  # far from all others
    clouds[0, 1:130, :3] *= 0.01  # within 3 cm of the origin: never sampled after index 0
    seeds = Backbone(1, 16, 0.25, (128, 64, 32, 16)).eval()(clouds)
    assert torch.equal(clouds[..., :3].gather(1, seeds.indices[..., None].expand(-1, -1, 3)), seeds.xyz)


def test_fewer_points_than_samples_and_equal_points_are_allowed() -> None:
    network = Backbone(0, 16, 0.25, (128, 64, 32, 16)).eval()
    few = rooms(1, 10)[..., :3]
    assert network(few).features.isfinite().all()
    assert network(torch.ones(1, 50, 3)).features.isfinite().all()


def test_autocast_keeps_coordinates_exact() -> None:
    torch.manual_seed(0)
    network = Backbone(0, 16, 0.25, (128, 64, 32, 16)).eval()
    draw_weights(network)
    clouds = rooms()[..., :3] + 20.0  # bfloat16 resolves 0.125 there
    exact = network(clouds)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(clouds)
    assert torch.equal(exact.indices, rounded.indices)
    error = (rounded.features.float() - exact.features).norm() / exact.features.norm()
    assert 1e-5 < error < 0.03
