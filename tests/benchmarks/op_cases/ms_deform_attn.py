"""Deformable attention as JLN runs it on a KITTI image: 8 heads of 32 channels, 4 levels, 4 points; encoder and decoder
(50 queries)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from benchmarks.op_case import Case, Peers, Setting
from torch import Tensor

from g3d.nn.deformable_attention import MSDeformAttn
from g3d.ops.ms_deform_attn import ms_deform_attn

SHAPES = [(48, 160), (24, 80), (12, 40), (6, 20)]
POSITIONS = sum(height * width for height, width in SHAPES)
HEADS, CHANNELS, POINTS = 8, 32, 4
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def cases(at: Setting = Setting()) -> list[Case]:
    queries = at.size(POSITIONS)
    return [
        _forward(queries, at, target_ms=40),
        _backward(queries, at, target_ms=150),
        _forward(50, at),
        _backward(50, at),
        _module(at),
    ]


def _inputs(queries: int, at: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values, locations anywhere on the maps, and the weights."""
    draw = torch.Generator().manual_seed(0)
    samples = (1, queries, HEADS, len(SHAPES), POINTS)
    weights = torch.rand(*samples[:3], len(SHAPES) * POINTS, generator=draw).softmax(-1).view(samples)
    value, locations = (
        torch.randn(1, POSITIONS, HEADS, CHANNELS, generator=draw),
        torch.rand(*samples, 2, generator=draw),
    )
    return value.to(at.device), locations.to(at.device), weights.to(at.device)


def _ours(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return ms_deform_attn(value, SHAPES, locations, weights)


def _transformers(module: Any) -> Attention:
    attention = module.MultiScaleDeformableAttention()
    return lambda value, locations, weights: attention(value, None, SHAPES, None, locations, weights, 64)


def _case(
    name: str,
    queries: int,
    at: Setting,
    flops: float,
    passes: int,
    target_ms: float | None,
    call: Callable[[Attention], Callable[[], Any]],
) -> Case:
    peers = Peers(at)
    module = "transformers.models.deformable_detr.modeling_deformable_detr"
    peers.add("transformers, pure torch", module, lambda found: call(_transformers(found)))
    numbers = sum(t.numel() for t in _inputs(queries, at)) + queries * HEADS * CHANNELS
    return Case(
        f"ms_deform_attn {name}", call(_ours), flops, passes * 4 * numbers, target_ms, peers.calls, peers.missing
    )


def _forward(queries: int, at: Setting, target_ms: float | None = None) -> Case:
    inputs = _inputs(queries, at)
    flops = 2 * 4 * queries * HEADS * CHANNELS * len(SHAPES) * POINTS
    return _case(
        f"forward, {queries} queries", queries, at, flops, 1, target_ms, lambda attention: lambda: attention(*inputs)
    )


def _backward(queries: int, at: Setting, target_ms: float | None = None) -> Case:
    inputs = [t.requires_grad_() for t in _inputs(queries, at)]
    grad = torch.randn(1, queries, HEADS * CHANNELS, generator=torch.Generator().manual_seed(1)).to(at.device)
    flops = 3 * 2 * 4 * queries * HEADS * CHANNELS * len(SHAPES) * POINTS
    return _case(
        f"forward and backward, {queries} queries",
        queries,
        at,
        flops,
        3,
        target_ms,
        lambda attention: lambda: torch.autograd.grad(attention(*inputs), inputs, grad),
    )


def _module(at: Setting) -> Case:
    """An encoder layer's attention with its four projections, each position a query that looks around itself."""
    torch.manual_seed(0)
    channels = HEADS * CHANNELS
    module = MSDeformAttn(channels, len(SHAPES), HEADS, POINTS).requires_grad_(False).to(at.device)
    maps = torch.randn(1, POSITIONS, channels).to(at.device)
    centres = [
        torch.cartesian_prod((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w).flip(1) for h, w in SHAPES
    ]
    references = torch.cat(centres)[None, :, None].expand(-1, -1, len(SHAPES), -1).to(at.device)
    flops = (
        2 * POSITIONS * channels * (2 * channels + HEADS * len(SHAPES) * POINTS * 3)
        + 8 * POSITIONS * channels * len(SHAPES) * POINTS
    )
    return Case(
        "MSDeformAttn module, forward, 10200 queries",
        lambda: module(maps, references, maps, SHAPES),
        flops,
        2 * 4 * maps.numel(),
    )
