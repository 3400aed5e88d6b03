"""Furthest point sampling on CUDA: one program per cloud reads its points and distances (in the L2 cache) once per
sample.

Points are stored in `tie_order`, so that the next sample is the lowest position among the largest distances.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from g3d.kernels.furthest_point_sample import FAR, ORIGIN, tie_order


def furthest_point_sample(points: Tensor, offsets: Tensor, k: int, skip_origin: bool) -> Tensor:
    """Return the samples (B, k) int64, rows of points (T, 3) float32; offsets are (B + 1,) int64."""
    clouds, count = len(offsets) - 1, len(points)
    if clouds == 0:
        return torch.empty(0, k, dtype=torch.int64, device=points.device)
    order = _order(offsets)
    axes = points[order].T.contiguous()
    squares = axes * axes
    skipped = (squares[0] + squares[1] + squares[2] < ORIGIN) & skip_origin
    nearest = torch.where(skipped, -1.0, torch.full_like(axes[0], FAR))
    places = torch.empty(clouds, k, dtype=torch.int64, device=points.device)
    block = min(4096, max(256, triton.next_power_of_2(count // clouds)))
    sample_kernel[(clouds,)](
        axes,
        nearest,
        offsets.contiguous(),
        places,
        count,
        k,
        BLOCK=block,
        num_warps=block // 256,
        enable_fp_fusion=False,
    )
    return order[places]


def _order(offsets: Tensor) -> Tensor:
    """Return the rows (T,) of all clouds, each cloud in its tie_order. The sizes are read from the device once; clouds
    of equal size share one order."""
    sizes = offsets.diff().tolist()
    if min(sizes) < 1:
        raise ValueError(f"offsets: expected a point in every cloud, found none in cloud {sizes.index(min(sizes))}")
    orders = {size: tie_order(size, offsets.device) for size in set(sizes)}
    return torch.cat([orders[size] + begin for size, begin in zip(sizes, offsets[:-1], strict=True)])


@triton.jit
def sample_kernel(axes, nearest, offsets, places, count, k, BLOCK: tl.constexpr):
    """Sample one cloud.

    axes (3, T); nearest (T,), the running squared distances, -1 for points that are never chosen; offsets (B + 1,) and
    places (B, k) int64; grid = B.
    """
    cloud = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(offsets + cloud), tl.load(offsets + cloud + 1)
    lanes = tl.arange(0, BLOCK)
    xs, ys, zs = axes, axes + count, axes + tl.cast(count, tl.int64) * 2
    place = begin
    step = 0
    while step < k:
        tl.store(places + cloud * k + step, place)
        x, y, z = tl.load(xs + place), tl.load(ys + place), tl.load(zs + place)
        best = tl.full((BLOCK,), -1, tl.int64)
        start = begin
        while start < end:
            at = start + lanes
            here = at < end
            dx = tl.load(xs + at, mask=here, other=0.0) - x
            dy = tl.load(ys + at, mask=here, other=0.0) - y
            dz = tl.load(zs + at, mask=here, other=0.0) - z
            distance = tl.minimum(tl.load(nearest + at, mask=here, other=-1.0), dx * dx + dy * dy + dz * dz)
            tl.store(nearest + at, distance, mask=here)
            # The bits of non-negative distances have the order of the distances; the lower bits of the key are larger
            # for lower positions.
            key = (distance.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (0x7FFFFFFF - (at - begin))
            best = tl.maximum(best, key)
            start += BLOCK
        largest = tl.max(best, 0)
        place = begin + tl.where(largest < 0, 0, 0x7FFFFFFF - (largest & 0x7FFFFFFF))
        step += 1
