"""The depth map's classes and targets: bins, painted boxes, boxes beyond the border, weights."""

from __future__ import annotations

import pytest
import torch

from g3d.systems.jln.depth_map import MIN_DEPTH, depth_bin, depth_map_loss, focal_depth_loss, paint_depths

SIZE = (6, 10)  # height, width


def painted(box: tuple[float, float, float, float], published: bool = False) -> torch.Tensor:
    return paint_depths(
        torch.tensor([[box]]), torch.tensor([[7.0]]), torch.ones(1, 1, dtype=torch.bool), SIZE, published
    ).inside[0]


def test_a_bin_holds_the_depths_between_its_edges() -> None:
    bins, farthest = 80, 60.0
    edges = MIN_DEPTH + (farthest - MIN_DEPTH) * torch.arange(bins + 1) * torch.arange(1, bins + 2) / (
        bins * (bins + 1)
    )
    middles = (edges[:-1] + edges[1:]) / 2
    assert depth_bin(middles, bins, farthest).tolist() == list(range(bins))
    assert edges[-1].item() == pytest.approx(farthest)


@pytest.mark.parametrize("depth", [0.0, -1.0, 60.01, 1e9, float("inf"), float("nan")])
def test_what_no_bin_holds_is_background(depth: float) -> None:
    assert depth_bin(torch.tensor(depth), 80, 60.0).item() == 80


def test_boxes_cover_whole_cells_outwards() -> None:
    inside = painted((2.5, 1.0, 4.0, 3.2))
    assert inside.nonzero().amin(0).tolist() == [1, 2]
    assert inside.nonzero().amax(0).tolist() == [3, 3]
    assert inside.sum() == 3 * 2


def test_a_box_beyond_the_border_is_clipped_and_as_published_wraps() -> None:
    box = (-3.0, 1.0, 4.0, 3.0)
    assert painted(box)[1:3, :4].all()
    assert painted(box).sum() == 8
    assert not painted(box, published=True).any()  # starts at column 10 - 3 = 7, ends at 4
    corner = (-4.0, -4.0, -1.0, -1.0)
    assert not painted(corner).any()
    assert painted(corner, published=True)[2:5, 6:9].all()  # the opposite corner
    assert painted((-30.0, 1.0, 4.0, 3.0), published=True).sum() == 8  # too far out to wrap


def test_the_nearest_box_is_seen_and_absent_ones_are_not() -> None:
    boxes = torch.tensor([[[0.0, 0, 6, 4], [4.0, 2, 10, 6], [0.0, 0, 10, 6]]])
    targets = paint_depths(boxes, torch.tensor([[20.0, 5.0, 1.0]]), torch.tensor([[True, True, False]]), SIZE)
    assert targets.depth[0, 3, 5] == 5
    assert targets.depth[0, 0, 0] == 20
    assert targets.depth[0, 5, 0] == 0
    assert torch.equal(targets.inside, targets.depth > 0)


def test_pixels_inside_a_box_weigh_thirteen_times_as_much() -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 21, *SIZE, generator=g)
    targets = paint_depths(
        torch.tensor([[[1.0, 1, 4, 3]]]), torch.tensor([[9.0]]), torch.ones(1, 1, dtype=torch.bool), SIZE
    )
    pixels = focal_depth_loss(logits, depth_bin(targets.depth, 20, 60.0))
    expected = pixels[~targets.inside].sum() + 13 * pixels[targets.inside].sum()
    assert depth_map_loss(logits, targets, 60.0).item() == pytest.approx(expected.item(), rel=1e-6)
