"""Overlap of rotated boxes on CUDA: one lane per pair, in float64, by the integral along the outline that
kernels/box_iou.py describes."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from g3d.kernels import aligned_iou
from g3d.kernels.nms import greedy

_BLOCK = 256


def rotated_iou(first: Tensor, second: Tensor, rows: Tensor | None, columns: Tensor | None, volume: bool) -> Tensor:
    """Return the IoU of boxes (N, 7) and (M, 7): (N, M), or (P,) for pairs of rows, in the dtype of the input."""
    a, b = _table(first, volume), _table(second, volume)
    pairs, chosen = False, (a, b)  # placeholder pointers that the kernel does not read
    shape: tuple[int, ...] = (len(first), len(second))
    if rows is not None and columns is not None:
        pairs, chosen, shape = True, (rows.contiguous(), columns.contiguous()), (len(rows),)
    out = torch.empty(shape, dtype=torch.float64, device=first.device)
    if out.numel():
        grid = (triton.cdiv(out.numel(), _BLOCK),)
        rotated_iou_kernel[grid](
            a, b, *chosen, out, len(first), len(second), out.numel(), pairs, _BLOCK, enable_fp_fusion=False
        )
    return out.to(first.dtype)


def nms(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """Return which boxes are kept, bool (N,), from boxes (N, 6) or (N, 7) and classes (N,) by descending score."""

    def rotated(first: Tensor, second: Tensor, volume: bool) -> Tensor:
        return rotated_iou(first[:, 0], second[0], None, None, volume)

    return greedy(boxes, classes, threshold, rotated if boxes.shape[1] == 7 else aligned_iou.reference)


def _table(boxes: Tensor, volume: bool) -> Tensor:
    """Convert boxes (N, 7) to (10, N) float64: x, z, half length, half width, cos, sin, half diagonal, minimum and
    maximum y, volume or area."""
    x, y, z, height, width, length, yaw = boxes.double().unbind(-1)
    real = (length > 0) & (width > 0) & ((height > 0) if volume else True)
    reach = torch.where(real, torch.hypot(length / 2, width / 2), -torch.inf)
    low, high, whole = (
        (y - height, y, length * width * height)
        if volume
        else (torch.zeros_like(y), torch.ones_like(y), length * width)
    )
    return torch.stack([x, z, length / 2, width / 2, yaw.cos(), yaw.sin(), reach, low, high, whole])


@triton.jit
def below_edge(x0, y0, x1, y1, length, width):
    """Return the integral of y over x along an edge, with x clipped to [-length, length] and y clamped to [-width,
    width]."""
    start = tl.minimum(tl.maximum(x0, -length), length)
    end = tl.minimum(tl.maximum(x1, -length), length)
    run = tl.where(start == end, 1.0, x1 - x0)
    ya = y0 + (start - x0) / run * (y1 - y0)
    yb = y0 + (end - x0) / run * (y1 - y0)
    held_a = tl.minimum(tl.maximum(ya, -width), width)
    held_b = tl.minimum(tl.maximum(yb, -width), width)
    beyond = (tl.maximum(yb, width) - tl.maximum(ya, width)) - (tl.minimum(yb, -width) - tl.minimum(ya, -width))
    level = ya == yb
    mean = ((held_b - held_a) * (held_a + held_b) / 2 + width * beyond) / tl.where(level, 1.0, yb - ya)
    return tl.where(start == end, 0.0, (end - start) * tl.where(level, held_a, mean))


@triton.jit
def rotated_iou_kernel(a, b, rows, columns, out, n, m, total, PAIRS: tl.constexpr, BLOCK: tl.constexpr):
    """Compute the IoU of one block of pairs.

    a (10, n), b (10, m), out (total,) float64; rows and columns (total,) int64 if PAIRS; grid = total / BLOCK.
    """
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = lane < total
    if PAIRS:
        i = tl.load(rows + lane, mask=here, other=0)
        j = tl.load(columns + lane, mask=here, other=0)
    else:
        i = lane // m
        j = lane % m
    a += i
    b += j
    length_a, width_a = tl.load(a + 2 * n, mask=here, other=0.0), tl.load(a + 3 * n, mask=here, other=0.0)
    length_b, width_b = tl.load(b + 2 * m, mask=here, other=0.0), tl.load(b + 3 * m, mask=here, other=0.0)
    cos_a, sin_a = tl.load(a + 4 * n, mask=here, other=0.0), tl.load(a + 5 * n, mask=here, other=0.0)
    cos_b, sin_b = tl.load(b + 4 * m, mask=here, other=0.0), tl.load(b + 5 * m, mask=here, other=0.0)
    dx = tl.load(b, mask=here, other=0.0) - tl.load(a, mask=here, other=0.0)
    dz = tl.load(b + m, mask=here, other=0.0) - tl.load(a + n, mask=here, other=0.0)
    reach = tl.load(a + 6 * n, mask=here, other=0.0) + tl.load(b + 6 * m, mask=here, other=0.0)
    high = tl.minimum(tl.load(a + 8 * n, mask=here, other=0.0), tl.load(b + 8 * m, mask=here, other=0.0))
    low = tl.maximum(tl.load(a + 7 * n, mask=here, other=0.0), tl.load(b + 7 * m, mask=here, other=0.0))
    # the second box in the frame of the first box
    p, q = cos_a * dx - sin_a * dz, sin_a * dx + cos_a * dz
    cos, sin = cos_a * cos_b + sin_a * sin_b, sin_b * cos_a - cos_b * sin_a
    size_cos, size_sin = tl.abs(cos), tl.abs(sin)
    meets = (tl.abs(dx) < reach) & (tl.abs(dz) < reach) & (low < high)
    meets &= tl.abs(p) < length_a + size_cos * length_b + size_sin * width_b
    meets &= tl.abs(q) < width_a + size_sin * length_b + size_cos * width_b
    meets &= tl.abs(cos * p - sin * q) < length_b + size_cos * length_a + size_sin * width_a
    meets &= tl.abs(sin * p + cos * q) < width_b + size_sin * length_a + size_cos * width_a
    along_x, along_y, across_x, across_y = cos * length_b, -sin * length_b, sin * width_b, cos * width_b
    x0, y0, x1, y1 = p + along_x + across_x, q + along_y + across_y, p + along_x - across_x, q + along_y - across_y
    x2, y2, x3, y3 = p - along_x - across_x, q - along_y - across_y, p - along_x + across_x, q - along_y + across_y
    area = below_edge(x0, y0, x1, y1, length_a, width_a) + below_edge(x1, y1, x2, y2, length_a, width_a)
    area += below_edge(x2, y2, x3, y3, length_a, width_a) + below_edge(x3, y3, x0, y0, length_a, width_a)
    area = tl.minimum(tl.abs(area), tl.minimum(4 * length_a * width_a, 4 * length_b * width_b))
    common = tl.where(meets, area * (high - low), 0.0)
    whole = tl.load(a + 9 * n, mask=here, other=0.0) + tl.load(b + 9 * m, mask=here, other=0.0)
    tl.store(out + lane, common / tl.where(common > 0, whole - common, 1.0), mask=here)
