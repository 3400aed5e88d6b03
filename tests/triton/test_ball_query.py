"""Ball query's Triton kernel gives the reference's indices."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from g3d.kernels.ball_query import reference
from g3d.kernels.ball_query_cuda import ball_query, ball_query_kernel

# what tests/triton/compile_ahead.py compiles without a GPU: kernel, signature (constants as "constexpr"), their values,
# options
AHEAD = [
    (
        ball_query_kernel,
        {
            "points": "*fp32",
            "offsets": "*i64",
            "centres": "*fp32",
            "cloud": "*i64",
            "found": "*i64",
            "radius2": "fp32",
            "k": "i32",
            "REPEAT": "constexpr",
            "SLOTS": "constexpr",
            "BLOCK": "constexpr",
        },
        {"REPEAT": repeat, "SLOTS": 64, "BLOCK": 1024},
        {"enable_fp_fusion": False},
    )
    for repeat in (True, False)
]


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize(
    ("sizes", "centres", "radius", "k"),
    [((500, 700), (20, 15), 0.2, 16), ((3,), (2,), 0.5, 5), ((1300,), (8,), 0.6, 100), ((4, 1), (0, 3), 9.0, 1)],
)
def test_equals_reference(
    device: str, sizes: tuple[int, ...], centres: tuple[int, ...], radius: float, k: int, repeat: bool
) -> None:
    points = torch.rand(sum(sizes), 3, generator=torch.Generator().manual_seed(7)).to(device)
    offsets, centre_offsets = (torch.tensor([0, *counts]).cumsum(0).to(device) for counts in (sizes, centres))
    middle = torch.rand(sum(centres), 3, generator=torch.Generator().manual_seed(8)).to(device) * 1.2
    arguments = (points, offsets, middle, centre_offsets, radius, k, repeat)
    assert torch.equal(ball_query(*arguments), reference(*arguments))


def test_offsets_may_be_a_column_of_a_table(device: str) -> None:
    points = torch.rand(90, 3, generator=torch.Generator().manual_seed(7)).to(device)
    table = torch.tensor([[0, 0], [30, 2], [90, 9]], device=device)
    arguments = (points, table[:, 0], points[:9], table[:, 1], 0.4, 4, True)
    assert torch.equal(ball_query(*arguments), reference(*arguments))
