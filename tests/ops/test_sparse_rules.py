"""Rules of sparse convolution: every path gives the reference's tables, and each rule has its own test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from support import paths
from torch import Tensor

from g3d.kernels.sparse_rules import order_reference, reference
from g3d.ops.sparse_rules import Rules, site_order, strided_rules, submanifold_rules
from g3d.ops.voxelize import points_to_sites, voxelize

REAL = paths.REAL / "scannet" / "votenet_npy" / "scene0000_00_vert.npy"
KERNELS = [(3, 3, 3), (5, 5, 5), (1, 1, 1), (3, 1, 5)]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn(count: int, low: int, high: int) -> Tensor:
    """Distinct sites of two clouds, in no order."""
    sites = torch.randint(low, high, (count, 4), generator=torch.Generator().manual_seed(count), dtype=torch.int32)
    sites[:, 0] %= 2
    return voxelize(sites).sites


@pytest.mark.parametrize(
    ("count", "low", "high"), [(2500, 0, 14), (400, -9, 9), (30, -(2**19), 2**19), (1, 3, 4), (0, 0, 1)]
)
def test_submanifold_equals_reference(device: str, count: int, low: int, high: int) -> None:
    sites = drawn(count, low, high).to(device)
    order = site_order(sites)
    assert torch.equal(order, order_reference(sites))
    for size in KERNELS:
        assert torch.equal(submanifold_rules(sites, size, order).neighbours, reference(sites, order, *size))


def test_submanifold_equals_reference_on_a_real_scan(device: str) -> None:
    if not REAL.is_file():
        pytest.skip("the real ScanNet sample is not here")
    sites = voxelize(points_to_sites(torch.from_numpy(np.load(REAL)[:, :3]).to(device), 0.05)).sites
    rules = submanifold_rules(sites, (3, 3, 3))
    assert torch.equal(rules.order, order_reference(sites))
    assert torch.equal(rules.neighbours, reference(sites, rules.order, 3, 3, 3))


def test_submanifold_finds_what_a_dictionary_finds() -> None:
    sites = drawn(300, -4, 4)
    rows = {tuple(site): row for row, site in enumerate(sites.tolist())}
    rules = submanifold_rules(sites, (3, 5, 1))
    offsets = list(itertools.product((-1, 0, 1), (-2, -1, 0, 1, 2), (0,)))
    for column, row in enumerate(rules.order.tolist()):
        b, x, y, z = sites[row].tolist()
        assert rules.neighbours[:, column].tolist() == [rows.get((b, x + i, y + j, z + k), -1) for i, j, k in offsets]


def test_no_neighbours_across_clouds_or_around_the_grid() -> None:
    sites = torch.tensor([[0, 0, 0, 3], [1, 0, 0, 3], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=torch.int32)
    rules = submanifold_rules(sites, (3, 3, 3))
    assert (rules.neighbours >= 0).sum(0).tolist() == [1, 2, 2, 1]  # by ascending site: only rows 2 and 3 touch


def _expected_pairs(sites: Tensor, shape: tuple[int, int, int]) -> set[tuple[tuple[int, ...], int, int]]:
    return {
        ((b, x // 2, y // 2, z // 2), x % 2 * 4 + y % 2 * 2 + z % 2, row)
        for row, (b, x, y, z) in enumerate(sites.tolist())
        if x // 2 < shape[0] // 2 and y // 2 < shape[1] // 2 and z // 2 < shape[2] // 2
    }


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 8, 7), (1, 9, 9)])
def test_strided_pairs(device: str, shape: tuple[int, int, int]) -> None:
    sites = drawn(600, 0, 9)
    sites = sites[(sites[:, 1:] < torch.tensor(shape)).all(1)].to(device)
    coarse, rules = strided_rules(sites, shape)

    def pairs(rules: Rules) -> set[tuple[int, int, int]]:
        k, column = (rules.neighbours >= 0).nonzero().T
        return set(zip(rules.order[column].tolist(), k.tolist(), rules.neighbours[k, column].tolist(), strict=True))

    found = pairs(rules)
    expected = _expected_pairs(sites, shape)
    assert {(tuple(coarse[out].tolist()), k, row) for out, k, row in found} == expected
    assert len(found) == len(expected)
    assert {(row, k, out) for out, k, row in found} == pairs(rules.inverse())


def test_coarse_sites_are_numbered_by_their_first_fine_site() -> None:
    sites = torch.tensor([[0, 4, 4, 4], [0, 8, 0, 0], [0, 0, 0, 1], [0, 5, 4, 5], [0, 0, 1, 0]], dtype=torch.int32)
    coarse, rules = strided_rules(sites, (9, 6, 6))  # the last plane of x has no coarse site
    assert coarse.tolist() == [[0, 2, 2, 2], [0, 0, 0, 0]]
    assert (rules.back_neighbours >= 0).sum(0)[rules.back_order.argsort()].tolist() == [1, 0, 1, 1, 1]


def test_a_repeated_site_is_refused(device: str) -> None:
    sites = torch.tensor([[0, 1, 2, 3], [0, 4, 4, 4], [0, 1, 2, 3]], dtype=torch.int32, device=device)
    with pytest.raises(ValueError, match=r"rows 0 and 2 are the same site \(0, 1, 2, 3\)"):
        submanifold_rules(sites, (3, 3, 3))


def test_even_kernels_and_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kernel_size: expected odd numbers, found \(2, 3, 3\)"):
        submanifold_rules(drawn(3, 0, 9), (2, 3, 3))
    with pytest.raises(ValueError, match=r"sites: expected int32 \(V, 4\), found torch.int64"):
        site_order(torch.zeros(1, 4, dtype=torch.int64))


def test_registration() -> None:
    sites = drawn(50, 0, 5)
    torch.library.opcheck(torch.ops.g3d.site_order, (sites,))
    torch.library.opcheck(torch.ops.g3d.submanifold_neighbours, (sites, site_order(sites), 3, 3, 3))
