"""The kinds' computations, written again in another way: plain loops in numpy, and operators of PyTorch one by one.

The tests of the kinds make variants of cases with these, with seeds, shapes and settings that no stored case has.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from support.fill import fill_array
from torch import Tensor

NEAREST, FARTHEST = 1e-3, 60.0
"""Metres of the published depth range."""


def depth_class(depth: float, bins: int) -> int:
    """Return the linearly increasing bin of a depth in metres; `bins` where no bin holds it."""
    width = 2 * (FARTHEST - NEAREST) / (bins * (bins + 1))
    for k in range(bins):
        if NEAREST + width * k * (k + 1) / 2 <= depth < NEAREST + width * (k + 1) * (k + 2) / 2:
            return k
    return bins


def painted_depths(boxes: list[np.ndarray], depths: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Return the maps (B, h, w) of the nearest depth at each cell that a box covers, 0 elsewhere; boxes inside."""
    maps = np.zeros((len(boxes), height, width), np.float32)
    for image, (rows, values) in enumerate(zip(boxes, depths, strict=True)):
        for (x1, y1, x2, y2), depth in zip(rows, values, strict=True):
            for y in range(math.floor(y1), math.ceil(y2)):
                for x in range(math.floor(x1), math.ceil(x2)):
                    there = maps[image, y, x]
                    maps[image, y, x] = depth if there == 0 else min(there, depth)
    return maps


def focal_terms(logits: np.ndarray, target: int) -> tuple[float, np.ndarray]:
    """Return the loss of one pixel and its gradient to the logits (K,), alpha 0.25, gamma 2, smoothing 1e-6."""
    p = np.exp(logits - logits.max())
    p /= p.sum()
    weight = np.full(len(p), 1e-6)
    weight[target] += 1
    loss = float((weight * -0.25 * (1 - p) ** 2 * np.log(p)).sum())
    slope = weight * -0.25 * ((1 - p) ** 2 - 2 * (1 - p) * p * np.log(p))  # d loss / d log p
    return loss, slope - p * slope.sum()


def sine_encoding(height: int, width: int, channels: int) -> np.ndarray:
    """Return DETR's encoding (C, h, w): y in the first half of the channels, sine and cosine in turn."""
    found = np.zeros((channels, height, width))
    half = channels // 2
    for c in range(channels):
        wave = np.sin if c % 2 == 0 else np.cos
        period = 10000 ** (2 * ((c % half) // 2) / half)
        for y in range(height):
            for x in range(width):
                place, count = (y, height) if c < half else (x, width)
                found[c, y, x] = wave((place + 1) / (count + 1e-6) * 2 * math.pi / period)
    return found


def depth_branch(maps: list[Tensor], bins: int, heads: int, feedforward: int, weights: dict) -> dict[str, np.ndarray]:
    """Return what the depth branch computes of maps at strides 8, 16, 32, in float64, weights filled by their names."""
    fine, middle, coarse = (m.double() for m in maps)
    images, channels, height, width = middle.shape

    def filled(name: str, *shape: int) -> Tensor:
        values = fill_array(weights["prefix"] + name, shape, gain=weights["gain"], salt=weights["salt"])
        return torch.from_numpy(values).double()

    def convolution(x: Tensor, name: str, outputs: int, size: int, stride: int = 1) -> Tensor:
        kernel, bias = filled(f"{name}.weight", outputs, channels, size, size), filled(f"{name}.bias", outputs)
        return F.conv2d(x, kernel, bias, stride, size // 2)

    def norm(function: Callable[..., Tensor], x: Tensor, groups: object, name: str) -> Tensor:
        return function(x, groups, filled(f"{name}.weight", channels), filled(f"{name}.bias", channels))

    larger = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
    parts = [
        norm(F.group_norm, convolution(fine, "downsample.0", channels, 3, 2), 32, "downsample.1"),
        norm(F.group_norm, convolution(middle, "proj.0", channels, 1), 32, "proj.1"),
        norm(F.group_norm, convolution(larger, "upsample.0", channels, 1), 32, "upsample.1"),
    ]
    hidden = (parts[0] + parts[1] + parts[2]) / 3
    for first, second in ((0, 1), (3, 4)):
        convolved = convolution(hidden, f"depth_head.{first}", channels, 3)
        hidden = norm(F.group_norm, convolved, 32, f"depth_head.{second}").relu()
    logits = convolution(hidden, "depth_classifier", bins + 1, 1)
    step = 2 * (FARTHEST - NEAREST) / (bins * (bins + 1))
    starts = [NEAREST + step * k * (k + 1) / 2 for k in range(bins)]  # as published, a bin's value is its start
    values = torch.tensor([*starts, FARTHEST], dtype=torch.float64)
    depth = (logits.exp() / logits.exp().sum(1, keepdim=True) * values[:, None, None]).sum(1)

    layer = "depth_encoder.layers.0"
    tokens = hidden.flatten(2).permute(2, 0, 1)  # (h w, B, C)
    encoding = torch.from_numpy(sine_encoding(height, width, channels))
    placed = tokens + encoding.flatten(1).T[:, None]
    attended, _ = F.multi_head_attention_forward(
        placed,
        placed,
        tokens,
        channels,
        heads,
        filled(f"{layer}.self_attn.in_proj_weight", 3 * channels, channels),
        filled(f"{layer}.self_attn.in_proj_bias", 3 * channels),
        None,
        None,
        False,
        0.0,
        filled(f"{layer}.self_attn.out_proj.weight", channels, channels),
        filled(f"{layer}.self_attn.out_proj.bias", channels),
        training=False,
    )
    tokens = norm(F.layer_norm, tokens + attended, (channels,), f"{layer}.norm1")
    inner = F.linear(tokens, filled(f"{layer}.linear1.weight", feedforward, channels))
    inner = (inner + filled(f"{layer}.linear1.bias", feedforward)).relu()
    outer = F.linear(inner, filled(f"{layer}.linear2.weight", channels, feedforward))
    tokens = norm(
        F.layer_norm, tokens + outer + filled(f"{layer}.linear2.bias", channels), (channels,), f"{layer}.norm2"
    )
    table = filled("depth_pos_embed.weight", math.ceil(FARTHEST) + 1, channels)
    embedded = tokens.permute(1, 2, 0).unflatten(2, (height, width)).clone()
    for image in range(images):
        for y in range(height):
            for x in range(width):
                metres = min(max(float(depth[image, y, x]), 0.0), FARTHEST)
                low = math.floor(metres)
                high = min(low + 1, len(table) - 1)
                embedded[image, :, y, x] += table[low] + (table[high] - table[low]) * (metres - low)
    return {
        "position_encoding": encoding.numpy(),
        "logits": logits.numpy(),
        "depth_embed": embedded.numpy(),
        "weighted_depth": depth.numpy(),
        "bin_values": values.numpy(),
    }


def furthest_points(points: np.ndarray, count: int) -> list[int]:
    """Return the published furthest point sampling, in float32: from index 0, points near the origin never chosen."""
    chosen, nearest = [0], [np.float32(1e10)] * len(points)
    while len(chosen) < count:
        best, far = 0, np.float32(-1)
        for i, point in enumerate(points):
            if (point**2).sum() <= np.float32(1e-3):
                continue
            nearest[i] = min(nearest[i], ((point - points[chosen[-1]]) ** 2).sum())
            if nearest[i] > far:
                best, far = i, nearest[i]
        chosen.append(best)
    return chosen
