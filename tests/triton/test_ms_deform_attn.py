"""Deformable attention's Triton kernels give the reference's results and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from g3d.kernels.ms_deform_attn import reference, reference_backward
from g3d.kernels.ms_deform_attn_cuda import backward_kernel, forward_kernel, ms_deform_attn, ms_deform_attn_backward

SIZES = ("n_positions", "n_queries", "n_heads", "n_levels", "n_points", "n_channels", "n_blocks")


def _ahead(kernel: object, maps: str, inputs: tuple[str, ...], outputs: dict[str, str]) -> tuple:
    tensors = dict.fromkeys(inputs, maps) | {"table": "*i32", "locations": "*fp32", "weights": "*fp32"} | outputs
    signature = tensors | dict.fromkeys(SIZES, "i32") | {"ROWS": "constexpr", "LANES": "constexpr"}
    return kernel, signature, {"ROWS": 16, "LANES": 32}, {"enable_fp_fusion": False}


GRADIENTS = dict.fromkeys(("to_value", "to_locations", "to_weights"), "*fp32")
AHEAD = [
    *(_ahead(forward_kernel, maps, ("value",), {"out": maps}) for maps in ("*fp32", "*bf16", "*fp16")),
    *(_ahead(backward_kernel, maps, ("grad", "value"), GRADIENTS) for maps in ("*fp32", "*bf16", "*fp16")),
]


def _case(
    device: str, batch: int, queries: int, heads: int, channels: int, points: int, shapes: list[int]
) -> tuple[Tensor, list[int], Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    positions = sum(h * w for h, w in zip(shapes[::2], shapes[1::2], strict=True))
    samples = (batch, queries, heads, len(shapes) // 2, points)
    value, locations = (
        torch.randn(batch, positions, heads, channels, generator=draw),
        torch.rand(*samples, 2, generator=draw) * 1.6 - 0.3,
    )
    return value.to(device), shapes, locations.to(device), torch.rand(samples, generator=draw).to(device)


@pytest.mark.parametrize(
    ("batch", "queries", "heads", "channels", "points", "shapes"),
    [(2, 5, 2, 8, 2, [4, 6, 2, 3]), (1, 17, 1, 32, 1, [3, 3]), (1, 3, 2, 5, 3, [1, 1, 2, 1]), (2, 0, 1, 4, 1, [2, 2])],
)
def test_equals_reference(
    device: str, batch: int, queries: int, heads: int, channels: int, points: int, shapes: list[int]
) -> None:
    arguments = _case(device, batch, queries, heads, channels, points, shapes)
    expected = reference(*arguments)
    torch.testing.assert_close(ms_deform_attn(*arguments), expected, rtol=1e-4, atol=1e-5)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4)).to(device)
    for found, wanted in zip(
        ms_deform_attn_backward(grad, *arguments), reference_backward(grad, *arguments), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(device: str, dtype: torch.dtype) -> None:
    value, shapes, locations, weights = _case(device, 1, 5, 2, 8, 2, [4, 6])
    value = value.to(dtype)
    expected = reference(value, shapes, locations, weights)
    found = ms_deform_attn(value, shapes, locations, weights)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4)).to(device, dtype)
    gradients = ms_deform_attn_backward(grad, value, shapes, locations, weights)
    wanted = reference_backward(grad, value, shapes, locations, weights)
    for got, want, bound in zip(gradients, wanted, (1e-2, 1e-4, 1e-4), strict=True):
        assert got.dtype == want.dtype
        torch.testing.assert_close(got, want, rtol=bound, atol=bound)


def test_what_is_not_finite_or_far_away_is_outside(device: str) -> None:
    value, shapes, locations, weights = _case(device, 1, 4, 1, 4, 1, [2, 3])
    locations[0, :, 0, 0, 0, 0] = torch.tensor([float("nan"), float("inf"), -1e30, 1e10])
    assert not ms_deform_attn(value, shapes, locations, weights).any()
    for gradient in ms_deform_attn_backward(torch.ones(1, 4, 4, device=device), value, shapes, locations, weights):
        assert not gradient.any()
