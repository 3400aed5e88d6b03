"""Two processes compute what one computes on the global batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support.two_ranks import in_two_processes
from torch import Tensor, nn

from g3d.nn.parallel import (
    SyncBatchNorm1d,
    SyncBatchNorm2d,
    SyncBatchNorm3d,
    convert_sync_batchnorm,
    gather_objects,
    sum_over_ranks,
    world_size,
)
from g3d.nn.sparse_conv import SparseConv3d, SparseInverseConv3d, SparseTensor, SubMConv3d


def _everything(rank: int) -> dict[str, Tensor]:
    own = _rows()[:3] if rank == 0 else _rows()[3:]  # three rows here, one there
    own = own.clone().requires_grad_()
    gathered = gather_objects(own)
    (gathered.roll(1, 0) * gathered).sum().backward()
    empty = gather_objects(_rows()[:0] if rank == 0 else _rows())
    assert own.grad is not None
    found = {
        "sum": sum_over_ranks(torch.tensor([1.0 + rank])),
        "gathered": gathered.detach(),
        "grad": own.grad,
        "empty": empty,
    }

    network = nn.parallel.DistributedDataParallel(convert_sync_batchnorm(_network()))
    images = (_images()[:1] if rank == 0 else _images()[1:]).clone().requires_grad_()  # one image here, three there
    out = network(images)
    (out**2).sum().mul(2 / 4).backward()  # as in the losses: local sum x processes / global count
    state = {name.removeprefix("module."): value for name, value in network.state_dict().items()}
    gradients = {name.removeprefix("module."): p.grad for name, p in network.named_parameters()}
    network.eval()
    found |= {"out": out.detach(), "state": state, "gradients": gradients, "eval": network(images).detach()}
    found |= {name: _normalised(make(), x[:first] if rank == 0 else x[first:]) for name, make, x, first in _norms()}
    return found | {"sparse": _sparse_results(convert_sync_batchnorm(_sparse_network()), [rank])}


def _rows() -> Tensor:
    return torch.arange(8.0).view(4, 2) + 1


def _images() -> Tensor:
    return torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 5 + 100


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)
    ).double()


def _norms() -> list[tuple[str, Callable[[], nn.Module], Tensor, int]]:
    """Name, layer, global batch, and how many of its rows the first process has."""
    draw = torch.Generator().manual_seed(4)

    def batch(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64) * 3 + 50

    return [
        ("1d rows", lambda: nn.BatchNorm1d(3), batch(7, 3), 2),
        ("1d rows of one process", lambda: nn.BatchNorm1d(3), batch(5, 3), 0),
        ("1d rows with one in a process", lambda: nn.BatchNorm1d(3), batch(5, 3), 1),
        ("1d sequences", lambda: nn.BatchNorm1d(3), batch(4, 3, 5), 1),
        ("2d", lambda: nn.BatchNorm2d(3), batch(3, 3, 4, 2), 1),
        ("3d", lambda: nn.BatchNorm3d(3), batch(3, 3, 2, 4, 3), 2),
    ]


def _normalised(norm: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Output, running statistics, and gradients of a loss that weights every value differently."""
    norm = convert_sync_batchnorm(norm.double())
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
    x = x.clone().requires_grad_()
    out = norm(x)
    (out * x.detach().sin()).sum().backward()
    assert x.grad is not None
    gradients = {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return {"out": out.detach(), "gradient": x.grad} | gradients | {n: b.clone() for n, b in norm.named_buffers()}


def _sparse_network() -> nn.ModuleList:
    torch.manual_seed(5)
    layers = [SubMConv3d(2, 4, 3), nn.BatchNorm1d(4), SparseConv3d(4, 6), nn.BatchNorm1d(6), SparseInverseConv3d(6, 4)]
    return nn.ModuleList(layers).double()


def _sparse_results(network: nn.Module, clouds: list[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients and buffers of the layers for some of two clouds, which have 9 and 40 voxels."""
    draw = torch.Generator().manual_seed(6)
    sites, features = [], []
    for cloud, count in enumerate((9, 40)):
        cells = torch.randperm(6**3, generator=draw)[:count]
        values = torch.randn(count, 2, generator=draw, dtype=torch.float64) * (1 + cloud)
        if cloud in clouds:
            places = torch.stack([cells // 36, cells // 6 % 6, cells % 6], 1)
            sites.append(torch.cat([torch.full((count, 1), clouds.index(cloud)), places], 1))
            features.append(values)
    x = SparseTensor.of(torch.cat(features), torch.cat(sites).int(), (6, 6, 6), len(clouds))
    for layer in network.children():
        x = x.with_features(layer(x.features)) if isinstance(layer, nn.BatchNorm1d) else layer(x)
    (x.features**2).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return gradients, dict(network.named_buffers())


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return in_two_processes(_everything, tmp_path_factory.mktemp("ranks"))


def test_sum_is_over_all_processes(ranks: list[dict]) -> None:
    assert [rank["sum"].item() for rank in ranks] == [3.0, 3.0]


def test_objects_are_gathered_in_rank_order_with_unequal_counts(ranks: list[dict]) -> None:
    assert all(torch.equal(rank["gathered"], _rows()) and torch.equal(rank["empty"], _rows()) for rank in ranks)


def test_gradient_of_gathered_objects_is_that_of_one_process(ranks: list[dict]) -> None:
    rows = _rows().requires_grad_()
    (rows.roll(1, 0) * rows).sum().backward()
    assert rows.grad is not None
    mean_over_ranks = torch.cat([rank["grad"] for rank in ranks]) / 2
    torch.testing.assert_close(mean_over_ranks, rows.grad)


def test_sync_batch_norm_equals_the_global_batch(ranks: list[dict]) -> None:
    network = _network()
    out = network(_images())
    (out**2).sum().div(4).backward()
    torch.testing.assert_close(torch.cat([rank["out"] for rank in ranks]), out.detach())
    for rank in ranks:
        torch.testing.assert_close(rank["state"], dict(network.state_dict()))
        torch.testing.assert_close(rank["gradients"], {name: p.grad for name, p in network.named_parameters()})
    torch.testing.assert_close(torch.cat([rank["eval"] for rank in ranks]), network.eval()(_images()).detach())


@pytest.mark.parametrize(("name", "make", "x", "first"), _norms(), ids=[name for name, *_ in _norms()])
def test_sync_batch_norm_of_unequal_rows(
    ranks: list[dict], name: str, make: Callable[[], nn.Module], x: Tensor, first: int
) -> None:
    expected = _normalised(make(), x)
    assert [len(rank[name]["out"]) for rank in ranks] == [first, len(x) - first]
    for part in ("out", "gradient"):
        torch.testing.assert_close(torch.cat([rank[name][part] for rank in ranks]), expected[part])
    for part in ("weight", "bias"):
        torch.testing.assert_close(ranks[0][name][part] + ranks[1][name][part], expected[part])
    for part in ("running_mean", "running_var", "num_batches_tracked"):
        for rank in ranks:
            torch.testing.assert_close(rank[name][part], expected[part])


def test_sparse_blocks_normalise_over_the_voxels_of_all_processes(ranks: list[dict]) -> None:
    gradients, buffers = _sparse_results(_sparse_network(), [0, 1])
    found = [rank["sparse"][0] for rank in ranks]
    torch.testing.assert_close({name: found[0][name] + found[1][name] for name in gradients}, gradients)
    for rank in ranks:
        torch.testing.assert_close(rank["sparse"][1], buffers)


def test_a_single_process_needs_nothing() -> None:
    rows = _rows()
    assert world_size() == 1
    assert gather_objects(rows) is rows
    assert sum_over_ranks(rows).equal(rows)


def test_conversion_keeps_names_and_skips_other_layers() -> None:
    network = _network()
    names = list(network.state_dict())
    converted = convert_sync_batchnorm(network)
    assert list(converted.state_dict()) == names
    assert [type(m) for m in converted] == [nn.Conv2d, SyncBatchNorm2d, nn.ReLU, nn.Conv2d, SyncBatchNorm2d]
    torch.testing.assert_close(converted(_images()), _network()(_images()))


def test_conversion_covers_all_dimensions_and_refuses_other_batch_norms() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.BatchNorm3d(2))
    converted = convert_sync_batchnorm(convert_sync_batchnorm(network))  # a second time changes nothing
    assert [type(m) for m in converted] == [SyncBatchNorm1d, SyncBatchNorm2d, SyncBatchNorm3d]
    with pytest.raises(ValueError, match="4D input"):
        converted[1](torch.zeros(3, 2))

    class Other(nn.BatchNorm1d):
        pass

    with pytest.raises(TypeError, match=r"1: Other cannot be synchronised, expected BatchNorm1d"):
        convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(2), Other(2)))
