"""Furthest point sampling's Triton kernel gives the reference's indices."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from g3d.kernels.furthest_point_sample import reference
from g3d.kernels.furthest_point_sample_cuda import furthest_point_sample, sample_kernel

AHEAD = [
    (
        sample_kernel,
        {
            "axes": "*fp32",
            "nearest": "*fp32",
            "offsets": "*i64",
            "places": "*i64",
            "count": "i32",
            "k": "i32",
            "BLOCK": "constexpr",
        },
        {"BLOCK": block},
        {"enable_fp_fusion": False, "num_warps": block // 256},
    )
    for block in (256, 4096)
]


@pytest.mark.parametrize("skip_origin", [True, False])
@pytest.mark.parametrize(("sizes", "k"), [((600, 300), 20), ((1,), 3), ((5, 40), 50)])
@pytest.mark.parametrize("steps", [1000, 6])
def test_equals_reference(device: str, sizes: tuple[int, ...], k: int, skip_origin: bool, steps: int) -> None:
    points = (
        torch.rand(sum(sizes), 3, generator=torch.Generator().manual_seed(7))
        .mul(steps)
        .round()
        .div(20 * steps)
        .to(device)
    )
    offsets = torch.tensor([0, *sizes]).cumsum(0).to(device)
    assert torch.equal(
        furthest_point_sample(points, offsets, k, skip_origin), reference(points, offsets, k, skip_origin)
    )


def test_empty_cloud_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="offsets: expected a point in every cloud, found none in cloud 1"):
        furthest_point_sample(torch.rand(4, 3, device=device), torch.tensor([0, 2, 2, 4], device=device), 2, False)


def test_offsets_may_be_a_column_of_a_table(device: str) -> None:
    points = torch.rand(90, 3, generator=torch.Generator().manual_seed(7)).to(device)
    offsets = torch.tensor([[0, 5], [30, 5], [90, 5]], device=device)[:, 0]
    assert torch.equal(furthest_point_sample(points, offsets, 9, False), reference(points, offsets, 9, False))
