"""The Triton kernel of three_nn gives the reference's indices and distances."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from g3d.kernels.three_nn import reference
from g3d.kernels.three_nn_cuda import three_nn, three_nn_kernel

AHEAD = [
    (
        three_nn_kernel,
        {
            "points": "*fp32",
            "known": "*fp32",
            "distances": "*fp32",
            "indices": "*i64",
            "n_points": "i32",
            "n_known": "i32",
            "blocks": "i32",
            "BLOCK": "constexpr",
        },
        {"BLOCK": 128},
        {"enable_fp_fusion": False, "num_warps": 4},
    ),
]


@pytest.mark.parametrize(("clouds", "points", "known"), [(2, 150, 40), (1, 1, 1), (3, 5, 2), (1, 4, 0), (1, 0, 4)])
@pytest.mark.parametrize("steps", [1000, 3])
def test_equals_reference(device: str, clouds: int, points: int, known: int, steps: int) -> None:
    draw = torch.Generator().manual_seed(5)
    a, b = (
        torch.rand(clouds, count, 3, generator=draw).mul(steps).round().div(steps).to(device)
        for count in (points, known)
    )
    (distances, indices), (expected_distances, expected_indices) = three_nn(a, b), reference(a, b)
    assert torch.equal(indices, expected_indices)
    assert torch.equal(distances, expected_distances)
