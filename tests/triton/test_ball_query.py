"""Ball query's Triton kernel gives the reference's indices."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from g3d.kernels.ball_query import reference
from g3d.kernels.ball_query_cuda import ball_query, ball_query_kernel

# what tests/triton/compile_ahead.py compiles without a GPU: kernel, signature (constants as "constexpr"), their values, options
AHEAD = [
    (
        ball_query_kernel,
        {"points": "*fp32", "centres": "*fp32", "found": "*i64", "n_points": "i32", "n_centres": "i32", "radius2": "fp32",
         "K": "constexpr", "BLOCK": "constexpr"},
        {"K": 64, "BLOCK": 1024},
        {"enable_fp_fusion": False},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "points", "centres", "radius", "k"), [(2, 500, 40, 0.2, 16), (1, 3, 2, 0.5, 4), (1, 1, 1, 0.1, 1)])
def test_equals_reference(device: str, batch: int, points: int, centres: int, radius: float, k: int) -> None:
    cloud = torch.rand(batch, points, 3, generator=torch.Generator().manual_seed(7)).to(device)
    assert torch.equal(ball_query(cloud, cloud[:, :centres], radius, k), reference(cloud, cloud[:, :centres], radius, k))
