"""Two processes compute what one computes on the global batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from g3d.nn.parallel import SyncBatchNorm2d, convert_sync_batchnorm, gather_objects, sum_over_ranks, world_size


def in_two_processes(function: Callable, folder: Path, *arguments: object) -> list:
    """What `function(rank, *arguments)` returns in each of two gloo processes."""
    mp.spawn(_worker, (function, folder, arguments), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _worker(rank: int, function: Callable, folder: Path, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(function(rank, *arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


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
    return found | {"out": out.detach(), "state": state, "gradients": gradients, "eval": network(images).detach()}


def _rows() -> Tensor:
    return torch.arange(8.0).view(4, 2) + 1


def _images() -> Tensor:
    return torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 5 + 100


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)
    ).double()


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
