"""Voxelisation: every path gives the reference's numbers to the index, and each rule has its own test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import paths
from torch import Tensor

from g3d.kernels.voxelize import reference
from g3d.ops.voxelize import points_to_sites, voxelize

REAL = paths.REAL / "scannet" / "votenet_npy" / "scene0000_00_vert.npy"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn(count: int, low: int, high: int) -> Tensor:
    return torch.randint(low, high, (count, 4), generator=torch.Generator().manual_seed(count), dtype=torch.int32)


def agrees_with_reference(sites: Tensor) -> bool:
    return all(
        torch.equal(found, expected) for found, expected in zip(voxelize(sites), reference(sites.int()), strict=True)
    )


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(3000, 0, 9), (3000, -200, 200), (500, -(2**14), 2**14), (40, 5, 6), (1, -7, -6), (0, 0, 1)],
)
def test_equals_reference(device: str, count: int, low: int, high: int) -> None:
    assert agrees_with_reference(drawn(count, low, high).to(device))


def test_equals_reference_on_a_real_scan(device: str) -> None:
    if not REAL.is_file():
        pytest.skip("the real ScanNet sample is not here")
    points = torch.from_numpy(np.load(REAL)[:, :3]).to(device)
    for size in (0.02, 0.1):
        assert agrees_with_reference(points_to_sites(points, size))


def test_voxels_are_numbered_by_their_first_point_and_keep_its_points_in_order() -> None:
    voxels = voxelize(
        torch.tensor([[0, 9, 9, 9], [0, 1, 1, 1], [0, 9, 9, 9], [1, 1, 1, 1], [0, 1, 1, 1], [0, 9, 9, 9]])
    )
    assert voxels.sites.tolist() == [[0, 9, 9, 9], [0, 1, 1, 1], [1, 1, 1, 1]]
    assert voxels.point_to_voxel.tolist() == [0, 1, 0, 2, 1, 0]
    assert [part.tolist() for part in voxels.points.tensor_split(voxels.offsets[1:-1])] == [[0, 2, 5], [1, 4], [3]]
    assert voxels.counts.tolist() == [3, 2, 1]


def test_colliding_hashes_are_told_apart() -> None:
    """Sites a power of two apart share the low bits that a poor hash would take."""
    grid = torch.cartesian_prod(*[torch.arange(8, dtype=torch.int32) * step for step in (1, 1 << 12, 1 << 12, 1 << 12)])
    assert agrees_with_reference(torch.cat([grid, grid.flip(0)]))


def test_any_integers_and_strides() -> None:
    sites = drawn(200, -4, 4)
    expected = voxelize(sites)
    for same in (sites.long(), sites.to(torch.int16), sites.T.contiguous().T, torch.cat([sites, sites], 1)[:, :4]):
        assert all(torch.equal(a, b) for a, b in zip(voxelize(same), expected, strict=True))


def test_mean_and_its_gradient() -> None:
    voxels = voxelize(torch.tensor([[0, 1, 1, 1], [0, 2, 2, 2], [0, 1, 1, 1]]))
    features = torch.tensor([[1.0, 2], [5, 6], [3, 6]], dtype=torch.float64, requires_grad=True)
    assert voxels.mean(features).tolist() == [[2, 4], [5, 6]]
    assert torch.autograd.gradcheck(voxels.mean, features)


def test_sites_are_truncated_from_the_minimum_of_each_cloud() -> None:
    points = torch.tensor([[0.5, 0, 0], [0.539, 0.02, 0.019], [-3, 1, 1], [-3, 1, 1.05]], dtype=torch.float64)
    sites = points_to_sites(points, 0.02, torch.tensor([0, 0, 2, 2]))
    assert sites.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [2, 0, 0, 0], [2, 0, 0, 2]]
    assert sites.dtype == torch.int32
    assert points_to_sites(points[:2], 0.02, 1, origin=(0, 0, -1)).tolist() == [[1, 25, 0, 50], [1, 26, 1, 50]]
    assert points_to_sites(points[:0], 0.02).shape == (0, 4)


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (torch.zeros(3, 3, dtype=torch.int32), r"expected integers \(N, 4\), found torch.int32 \(3, 3\)"),
        (torch.zeros(3, 4), "expected integers"),
        (torch.full((1, 4), 2**31), "expected numbers within int32, found 2147483648"),
        (
            torch.tensor([[0, -(2**30), 0, 0], [0, 2**30, 2**30, 1]]),
            r"within 62 bits, found extents \[1, 2147483649, 1073741825, 2\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(sites: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        voxelize(sites)


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (torch.zeros(2, 2), {}, r"points: expected floating point \(N, 3\)"),
        (torch.tensor([[0, 0, float("nan")]]), {}, "expected finite coordinates"),
        (torch.tensor([[0.0, 0, 0], [0, 0, 1e12]]), {}, "less than 2"),
        (torch.zeros(2, 3), {"origin": (1, 0, 0)}, "not below the origin"),
        (torch.zeros(2, 3), {"size": 0.0}, "size: expected metres above 0"),
        (torch.zeros(2, 3), {"batch": torch.zeros(3, dtype=torch.int64)}, r"batch: expected integers \(2,\)"),
        (torch.zeros(2, 3), {"batch": torch.tensor([0, -1])}, "batch: expected numbers from 0, found -1"),
    ],
)
def test_points_that_have_no_site_are_refused(points: Tensor, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        points_to_sites(points, **{"size": 0.02, **options})


def test_registration() -> None:
    torch.library.opcheck(torch.ops.g3d.voxelize, (drawn(50, 0, 3),))
