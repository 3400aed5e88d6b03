"""Group-Free 3D equals the plain composition; its queries, heads and options."""

from __future__ import annotations

import pytest
import torch
from support.detectors import TINY_GROUPFREE, draw_weights, rooms
from support.plain_detectors import PlainGroupFree

from g3d.nn.groupfree import GroupFree
from g3d.systems.groupfree.model import build

OPTIONS = {"width": 0.25, "inputs": 1, "heads": 4, "feedforward": 64, "dropout": 0.0}


def pair(training: bool) -> tuple[GroupFree, PlainGroupFree]:
    torch.manual_seed(0)
    ours = build(TINY_GROUPFREE).train(training)
    draw_weights(ours)
    return ours, PlainGroupFree(ours, **OPTIONS)


def test_equals_the_plain_composition_in_evaluation() -> None:
    ours, plain = pair(training=False)
    clouds = rooms()
    with torch.inference_mode():
        found, (heads, chosen, features, scores) = ours(clouds), plain(clouds)
    assert torch.equal(found.query_indices, chosen)
    assert len(found.heads) == len(heads) == 3
    torch.testing.assert_close(found.seed_scores, scores, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.features, features, atol=1e-4, rtol=1e-3)
    for head, expected in zip(found.heads, heads, strict=True):
        for name, values in expected.items():
            torch.testing.assert_close(getattr(head, name), values, atol=1e-4, rtol=1e-3, msg=name)


def test_equals_the_plain_composition_in_training_with_gradients() -> None:
    ours, plain = (network.double() for network in pair(training=True))
    clouds = rooms()
    found, (heads, chosen, *_) = ours(clouds), plain(clouds)
    assert torch.equal(found.query_indices, chosen)
    totals = [
        sum((head.centers.square().mean() + head.size_residuals.mean()) for head in found.heads),
        sum((head["centers"].square().mean() + head["size_residuals"].mean()) for head in heads),
    ]
    torch.testing.assert_close(*totals)
    for total in totals:
        total.backward()
    others = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        found, expected = (p.grad if p.grad is not None else torch.zeros_like(p) for p in (parameter, others[name]))
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5, msg=name)
    assert float(ours.backbone_net.sa1.mlp_module.layers[0].conv.weight.grad.abs().max()) > 1e-6
    buffers = [dict(network.named_buffers()) for network in (ours, plain)]
    for name, value in buffers[1].items():
        torch.testing.assert_close(buffers[0][name], value, msg=name)


def test_queries_are_the_seeds_with_the_best_scores() -> None:
    ours, _ = pair(training=False)
    with torch.no_grad():
        found = ours(rooms())
        chosen = found.seed_scores.gather(1, found.query_indices)
    assert bool((chosen.diff() <= 0).all())
    rest = found.seed_scores.scatter(1, found.query_indices, -torch.inf)
    assert bool((rest.max(1).values <= chosen[:, -1]).all())


def test_a_scene_does_not_depend_on_the_others_in_its_batch() -> None:
    ours, _ = pair(training=False)
    clouds = rooms(3)
    with torch.no_grad():
        together, alone = ours(clouds), ours(clouds[1:2])
    torch.testing.assert_close(together.heads[-1].centers[1:2], alone.heads[-1].centers, atol=1e-5, rtol=1e-4)


def test_evaluation_has_gradients_too() -> None:
    ours, _ = pair(training=False)
    ours(rooms()).heads[-1].centers.sum().backward()
    weight = ours.backbone_net.sa1.mlp_module.layers[0].conv.weight
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) > 0


def test_twelve_layers_of_double_width_are_the_published_variant() -> None:
    config = TINY_GROUPFREE.model_copy(update={"decoder_layers": 12, "width": 2.0})
    network = build(config)
    assert len(network.decoder) == len(network.prediction_heads) == 12
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["backbone_net.sa1.mlp_module.layer2.conv.weight"] == (256, 128, 1, 1)
    assert shapes["backbone_net.fp2.mlp.layer0.conv.weight"] == (512, 1024, 1, 1)
    assert shapes["backbone_net.fp2.mlp.layer1.conv.weight"] == (32, 512, 1, 1)


def test_more_queries_than_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at most the 64 seeds, found 65"):
        GroupFree(torch.ones(18, 3), proposals=65, samples=(128, 64, 32, 16))
