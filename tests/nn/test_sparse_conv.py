"""Sparse convolution layers: weight layouts, rules shared by a level's layers, and a small U-Net's way down and up."""

from __future__ import annotations

import pickle
import weakref

import pytest
import torch
from torch import Tensor

from g3d.nn import sparse_conv as layers
from g3d.nn.sparse_conv import SparseConv3d, SparseInverseConv3d, SparseTensor, SubMConv3d, spconv2_weight
from g3d.ops.voxelize import voxelize

SHAPE = (9, 8, 7)


def drawn(channels: int, count: int = 300) -> SparseTensor:
    draw = torch.Generator().manual_seed(channels)
    sites = voxelize(torch.stack([torch.randint(0, n, (count,), generator=draw) for n in (2, *SHAPE)], 1)).sites
    return SparseTensor.of(torch.randn(len(sites), channels, generator=draw), sites, SHAPE, 2)


def test_down_and_up_return_to_the_same_sites() -> None:
    x = drawn(4)
    down = SparseConv3d(4, 6)(x)
    deeper = SparseConv3d(6, 7)(down)
    assert (down.spatial_shape, deeper.spatial_shape) == ((4, 4, 3), (2, 2, 1))
    up = SparseInverseConv3d(6, 5)(SparseInverseConv3d(7, 6)(deeper))
    assert up.grid is x.grid
    assert up.features.shape == (len(x.sites), 5)
    assert not up.features[(x.sites[:, 1] == 8) | (x.sites[:, 3] == 6)].any()  # the last plane of an odd axis


def test_levels_go_to_another_process() -> None:
    x = drawn(4)
    down, up = SparseConv3d(4, 6), SparseInverseConv3d(6, 5)
    expected = down(x)  # held, so that the level knows its coarser one
    sent = pickle.loads(pickle.dumps(expected.with_features(expected.features.detach())))
    assert torch.equal(up(sent).features, up(expected).features)
    assert torch.equal(down(pickle.loads(pickle.dumps(x))).features, expected.features)


def test_a_level_finds_its_rules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, int, int]] = []
    search = layers.submanifold_rules
    monkeypatch.setattr(
        layers, "submanifold_rules", lambda *arguments: found.append(arguments[1]) or search(*arguments)
    )
    x = drawn(4)
    block = torch.nn.Sequential(SubMConv3d(4, 4, 3), SubMConv3d(4, 4, 3), SubMConv3d(4, 4, 1))
    back = SparseInverseConv3d(4, 4)(block(SparseConv3d(4, 4)(block(x))))
    block(back)
    assert found == [(3, 3, 3), (3, 3, 3)]  # the fine level and the coarse one


def test_levels_are_freed_without_the_garbage_collector() -> None:
    x = drawn(4)
    fine, coarse = weakref.ref(x.grid), weakref.ref(x.grid.coarser())
    assert coarse() is None  # nobody held it
    down = SparseConv3d(4, 4)(x)
    assert SparseConv3d(4, 4)(x).grid is down.grid
    del x
    assert fine() is not None  # the way back needs it
    del down
    assert fine() is None


def test_kernel_of_one_site_rereads_its_storage_unless_told_otherwise() -> None:
    x = drawn(3)
    published, transposed = SubMConv3d(3, 5, 1), SubMConv3d(3, 5, 1, pointwise_reread=False)
    transposed.load_state_dict(published.state_dict())
    weight = published.weight
    assert weight.shape == (5, 1, 1, 1, 3)
    torch.testing.assert_close(published(x).features, x.features @ weight.flatten().view(3, 5))
    torch.testing.assert_close(transposed(x).features, x.features @ weight.view(5, 3).T)


@pytest.mark.parametrize(
    ("channels", "size"), [((4, 6), (3, 3, 3)), ((3, 3), (1, 3, 5)), ((2, 5), (2, 2, 2)), ((4, 6), (1, 1, 1))]
)
def test_both_layouts_load(channels: tuple[int, int], size: tuple[int, int, int]) -> None:
    old = torch.randn(*size, *channels)
    shape = (channels[1], *size, channels[0])
    new = spconv2_weight(old, shape)
    assert new.shape == shape
    assert spconv2_weight(new, shape) is new
    if size == (1, 1, 1):
        assert torch.equal(new.reshape(channels), old[0, 0, 0])  # as SubMConv3d reads it
    else:
        assert torch.equal(new.permute(1, 2, 3, 4, 0), old)


def test_another_shape_is_no_layout() -> None:
    with pytest.raises(
        ValueError, match=r"weight: expected \(6, 3, 3, 3, 4\) or \(3, 3, 3, 4, 6\), found \(3, 3, 3, 6, 4\)"
    ):
        spconv2_weight(torch.zeros(3, 3, 3, 6, 4), (6, 3, 3, 3, 4))


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (
            torch.tensor([[0, 9, 0, 0]]),
            r"expected 0 <= \(batch, x, y, z\) < \(2, 9, 8, 7\), found \(0, 9, 0, 0\) in row 0",
        ),
        (torch.tensor([[0, 0, -1, 0]]), r"found \(0, 0, -1, 0\)"),
        (torch.tensor([[2, 0, 0, 0]]), r"found \(2, 0, 0, 0\)"),
        (torch.zeros(1, 3, dtype=torch.int32), r"sites: expected integers \(V, 4\)"),
        (torch.zeros(2, 4, dtype=torch.int32), r"features: expected \(2, C\), found \(1, 3\)"),
    ],
)
def test_sites_outside_the_grid_are_refused(sites: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseTensor.of(torch.zeros(1, 3), sites, SHAPE, 2)


def test_an_inverse_needs_a_finer_grid() -> None:
    with pytest.raises(ValueError, match="grid that SparseConv3d made"):
        SparseInverseConv3d(4, 4)(drawn(4))


def test_training_through_the_levels_lowers_a_loss() -> None:
    torch.manual_seed(0)
    x, target = drawn(3), torch.randn(len(drawn(3).sites), 2)
    way_down, way_up = (
        [SubMConv3d(3, 8, 3), SparseConv3d(8, 16)],
        [SubMConv3d(16, 16, 3), SparseInverseConv3d(16, 8), SubMConv3d(8, 2, 1)],
    )
    net = torch.nn.ModuleList(way_down + way_up)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    losses = []
    for _ in range(30):
        y = x
        for layer in net:
            y = layer(y)
            y = y.with_features(y.features.tanh())
        loss = (y.features - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
