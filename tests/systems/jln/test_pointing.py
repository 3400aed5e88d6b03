"""Small networks may differ from the published one: they look where the region heads point and learn to point."""

from __future__ import annotations

import math

import pytest
import torch
from support.micro_jln import model, run, words

from g3d.config import load
from g3d.errors import InputError
from g3d.systems.jln.losses import POINTING_SHARPNESS, pointing_loss
from g3d.systems.jln.transformer import marked_place

SHAPE = (4, 8)


def test_the_most_marked_place_is_looked_at() -> None:
    regions = torch.zeros(2, 42)
    regions[0, 8 * 1 + 6] = 1
    regions[1, 8 * 3 + 0] = 0.5
    regions[1, 40] = 9  # on a coarser level
    assert marked_place(regions, None, SHAPE).tolist() == [[6.5 / 8, 1.5 / 4], [0.5 / 8, 3.5 / 4]]


def test_a_guide_gives_any_place_of_the_true_region() -> None:
    guide = torch.zeros(200, 42, dtype=torch.uint8)
    guide[:100, 8 * 2 + 3] = guide[:100, 8 * 2 + 4] = 1
    torch.manual_seed(0)
    places = marked_place(torch.rand(200, 42), guide, SHAPE)
    inside = {tuple(place) for place in places[:100].tolist()}
    assert inside == {(3.5 / 8, 2.5 / 4), (4.5 / 8, 2.5 / 4)}
    assert len({tuple(place) for place in places[100:].tolist()}) > 20  # of an object that covers no place, any


def test_a_network_guided_to_the_regions_it_marks_answers_as_without_guide() -> None:
    network = model(reference="regions").eval()
    images, sentences = torch.randn(2, 3, 64, 128), words(2)
    alone = run(network, images, None, sentences)
    assert alone.regions is not None
    cameras, sizes = torch.eye(3, 4).expand(2, -1, -1), torch.tensor([[1242.0, 375.0]]).expand(2, -1)
    guide = torch.zeros_like(alone.regions).scatter_(1, alone.regions[:, :128].argmax(1, keepdim=True), 1)
    guided = network(images, None, cameras, sizes, sentences, guide)
    torch.testing.assert_close(guided.boxes, alone.boxes)
    elsewhere = network(images, None, cameras, sizes, sentences, guide.flip(1).roll(42, 1))
    assert not torch.allclose(elsewhere.boxes[..., :2], alone.boxes[..., :2], atol=1e-2)


def test_positions_in_the_features_tell_equal_places_apart() -> None:
    """Far from the border a plain image's features are equal everywhere; with positions they are not."""
    spread = {}
    for positions in ("queries", "features"):
        network = model(positions=positions).eval()
        torch.nn.init.zeros_(network.transformer.level_embed)
        seen: list[torch.Tensor] = []
        network.transformer.encoder.register_forward_pre_hook(lambda _, inputs, kept=seen: kept.append(inputs[0]))
        run(network, torch.zeros(1, 3, 64, 512), None, words(1))
        finest = seen[0][0, : 8 * 64].unflatten(0, (8, 64))
        spread[positions] = float((finest[4, 30] - finest[4, 34]).detach().abs().max())
    assert spread["queries"] < 0.05 < 0.2 < spread["features"]


def test_pointing_is_cross_entropy_over_the_finest_level() -> None:
    regions, truth = torch.zeros(3, 42), torch.zeros(3, 42, dtype=torch.uint8)
    truth[0, :8] = truth[1, 3] = 1
    truth[2, 40] = 1  # seen on a coarser level only
    regions[1, 3] = 100 / POINTING_SHARPNESS
    loss = pointing_loss(regions, truth, 32)
    assert loss.tolist() == pytest.approx([math.log(4), 0, 0], abs=1e-6)


def test_only_a_joint_network_has_regions_to_look_at() -> None:
    with pytest.raises(InputError, match="reference: regions needs the region heads"):
        load("mono3dvg-tr", ["model.reference=regions"])
