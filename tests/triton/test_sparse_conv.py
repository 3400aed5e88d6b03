"""Sparse convolution's Triton kernels give the reference's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from g3d.kernels.sparse_conv import reference, weight_gradient_reference
from g3d.kernels.sparse_conv_cuda import (
    PAIRS,
    ROWS,
    sparse_conv,
    sparse_conv_kernel,
    weight_gradient,
    weight_gradient_kernel,
)
from g3d.ops.sparse_rules import Rules, strided_rules, submanifold_rules

_SIZES = {"rows": "i32", "offsets": "i32", "channels_in": "i32", "channels_out": "i32"}

# what tests/triton/compile_ahead.py compiles without a GPU: kernel, signature (constants as "constexpr"), their values,
# options
AHEAD = [
    (
        kernel,
        {
            "features": dtype,
            second: dtype,
            "neighbours": "*i32",
            "order": "*i32",
            last: out,
            **_SIZES,
            **extra,
            **dict.fromkeys(blocks, "constexpr"),
        },
        blocks,
        {},
    )
    for dtype, block_in in (("*fp32", 16), ("*bf16", 32))
    for kernel, second, last, out, extra, blocks in (
        (sparse_conv_kernel, "weight", "out", dtype, {}, {"ROWS": ROWS, "BLOCK_IN": block_in, "BLOCK_OUT": 64}),
        (
            weight_gradient_kernel,
            "gradient",
            "partial",
            "*fp32",
            {"chunk": "i32"},
            {"PAIRS": PAIRS, "BLOCK_IN": 32, "BLOCK_OUT": 64},
        ),
    )
]


def _rules(kind: str, device: str) -> tuple[int, Rules]:
    sites = (
        torch.randint(0, 6, (150, 4), generator=torch.Generator().manual_seed(3), dtype=torch.int32)
        .unique(dim=0)
        .to(device)
    )
    if kind == "submanifold":
        return len(sites), submanifold_rules(sites, (3, 3, 1))
    coarse, rules = strided_rules(sites, (5, 6, 6))
    return (len(sites), rules) if kind == "strided" else (len(coarse), rules.inverse())


def _drawn(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(device, dtype)


@pytest.mark.parametrize(("kind", "channels"), [("submanifold", (6, 40)), ("strided", (33, 70)), ("inverse", (16, 8))])
def test_equals_reference(device: str, kind: str, channels: tuple[int, int]) -> None:
    rows, rules = _rules(kind, device)
    features, weight = _drawn(rows, channels[0], device=device), _drawn(len(rules.neighbours), *channels, device=device)
    torch.testing.assert_close(
        sparse_conv(features, weight, *rules), reference(features, weight, *rules), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("kind", "channels"), [("submanifold", (6, 40)), ("inverse", (40, 70))])
def test_weight_gradient_equals_reference(device: str, kind: str, channels: tuple[int, int]) -> None:
    rows, rules = _rules(kind, device)
    features, gradient = _drawn(rows, channels[0], device=device), _drawn(len(rules.order), channels[1], device=device)
    found = weight_gradient(features, gradient, rules.neighbours, rules.order)
    torch.testing.assert_close(
        found, weight_gradient_reference(features, gradient, rules.neighbours, rules.order), rtol=1e-4, atol=1e-4
    )


def test_half_precision_is_summed_in_float32(device: str) -> None:
    rows, rules = _rules("submanifold", device)
    features = _drawn(rows, 32, device=device, dtype=torch.float16)
    weight = _drawn(len(rules.neighbours), 32, 16, device=device, dtype=torch.float16)
    torch.testing.assert_close(
        sparse_conv(features, weight, *rules), reference(features, weight, *rules), rtol=2e-3, atol=2e-3
    )


def test_no_rows(device: str) -> None:
    rules = submanifold_rules(torch.zeros(0, 4, dtype=torch.int32, device=device), (3, 3, 3))
    features, weight = torch.zeros(0, 4, device=device), torch.zeros(27, 4, 5, device=device)
    assert sparse_conv(features, weight, *rules).shape == (0, 5)
    assert not weight_gradient(features, torch.zeros(0, 5, device=device), rules.neighbours, rules.order).any()
