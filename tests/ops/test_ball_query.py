"""Ball query: every path gives the reference's indices, and each rule of the semantics has its own test."""

from __future__ import annotations

import pytest
import torch

from g3d.kernels.ball_query import reference
from g3d.ops.ball_query import ball_query


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(
    ("batch", "points", "centres", "radius", "k"), [(2, 500, 40, 0.2, 16), (1, 3, 2, 0.5, 4), (1, 1, 1, 0.1, 1), (3, 200, 5, 2.0, 32)]
)
def test_equals_reference(device: str, batch: int, points: int, centres: int, radius: float, k: int) -> None:
    cloud = torch.rand(batch, points, 3, generator=torch.Generator().manual_seed(7)).to(device)
    assert torch.equal(ball_query(cloud, cloud[:, :centres], radius, k), reference(cloud, cloud[:, :centres], radius, k))


def test_centre_without_a_hit_takes_index_zero() -> None:
    assert ball_query(torch.zeros(1, 4, 3), torch.full((1, 1, 3), 9.0), 0.1, 3).tolist() == [[[0, 0, 0]]]


def test_distance_test_is_strict() -> None:
    assert ball_query(torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]), torch.zeros(1, 1, 3), 1.0, 2).tolist() == [[[1, 1]]]


def test_empty_cloud_is_refused() -> None:
    with pytest.raises(ValueError, match=r"points: expected \(B, N > 0, 3\), found \(1, 0, 3\)"):
        ball_query(torch.zeros(1, 0, 3), torch.zeros(1, 1, 3), 0.1, 1)


def test_registration() -> None:
    torch.library.opcheck(torch.ops.g3d.ball_query, (torch.rand(1, 50, 3), torch.rand(1, 4, 3), 0.3, 8))
