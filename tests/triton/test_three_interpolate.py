"""The Triton kernel of three_interpolate gives the reference's features."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from g3d.kernels.three_interpolate import reference
from g3d.kernels.three_interpolate_cuda import three_interpolate, three_interpolate_kernel

AHEAD = [
    (
        three_interpolate_kernel,
        {
            "features": f"*{dtype}",
            "indices": "*i64",
            "weights": "*fp32",
            "result": f"*{dtype}",
            "channels": "i32",
            "known": "i32",
            "count": "i32",
            "DOUBLE": "constexpr",
            "CHANNELS": "constexpr",
            "BLOCK": "constexpr",
        },
        {"DOUBLE": dtype == "fp64", "CHANNELS": 32, "BLOCK": 256},
        {"enable_fp_fusion": False},
    )
    for dtype in ("fp32", "bf16", "fp64")
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("clouds", "channels", "known", "points"), [(2, 5, 30, 300), (1, 40, 3, 10), (1, 2, 4, 0), (0, 2, 4, 3)]
)
def test_equals_reference(device: str, clouds: int, channels: int, known: int, points: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(6)
    features = torch.rand(clouds, channels, known, generator=draw).to(device, dtype)
    indices = torch.randint(0, known, (clouds, points, 3), generator=draw).to(device)
    weights = torch.rand(clouds, points, 3, generator=draw).to(device)
    found, expected = three_interpolate(features, indices, weights), reference(features, indices, weights)
    if dtype == torch.bfloat16:  # which the interpreter cuts off instead of rounding
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0)
    else:
        assert torch.equal(found, expected)
