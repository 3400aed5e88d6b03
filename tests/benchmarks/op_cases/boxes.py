"""Overlap of boxes, and suppression by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarks.op_case import Case, Peers, Setting
from torch import Tensor

from g3d.kernels import aligned_iou, box_iou, nms
from g3d.ops.box_iou import (
    axis_aligned_iou_3d,
    camera_from_scene_boxes,
    rotated_iou_3d,
    rotated_iou_bev,
    scene_box_bounds,
)
from g3d.ops.nms import nms_3d


def cases(at: Setting = Setting()) -> list[Case]:
    return [*rotated(1000, at), aligned(1000, at), *suppression(2000, at)]


def scene_boxes(count: int, seed: int) -> Tensor:
    """Boxes of the size of cars, (count, 7) float64, any heading; of 1000 and 1000, 2.3 % of the pairs overlap."""
    u = torch.rand(count, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    place = (u[:, :3] - 0.5) * torch.tensor([39.0, 39.0, 2.0])
    return torch.cat([place, torch.tensor([3.5, 1.5, 1.4]) + u[:, 3:6], (u[:, 6:] - 0.5) * 2 * math.pi], 1)


def rotated(full: int, at: Setting) -> list[Case]:
    count = at.size(full)
    first, second = (camera_from_scene_boxes(scene_boxes(count, seed)).to(at.device) for seed in (1, 2))
    peers = Peers(at)

    def open3d(module: Any) -> Callable[[], Any]:
        a, b = (boxes[:, [0, 1, 2, 5, 3, 4, 6]].float().numpy() for boxes in (first, second))  # x y z l h w yaw
        assert np.abs(module.iou_3d_cpu(a, b) - rotated_iou_3d(first, second).numpy()).max() < 1e-4
        return lambda: module.iou_3d_cpu(a, b)

    peers.add("open3d.ml iou_3d_cpu", "open3d.ml.contrib", open3d)
    peers.calls["torch reference"] = lambda: box_iou.reference(first[:, None], second[None], True)
    size, traffic = f"{count} x {count}", 8.0 * (14 * count + count * count)
    rows = torch.arange(100 * count, device=at.device) % count
    pairs = (rows, (rows * 7 + rows // count) % count)
    return [
        Case(
            f"rotated_iou_3d {size}",
            lambda: rotated_iou_3d(first, second),
            10.0 * count * count,
            traffic,
            50,
            peers.calls,
            peers.missing,
        ),
        Case(f"rotated_iou_bev {size}", lambda: rotated_iou_bev(first, second), 10.0 * count * count, traffic),
        Case(
            f"rotated_iou_3d {len(rows)} pairs",
            lambda: rotated_iou_3d(first, second, pairs),
            10.0 * len(rows),
            24.0 * len(rows),
        ),
    ]


def aligned(full: int, at: Setting) -> Case:
    count = at.size(full)
    first, second = (scene_boxes(count, seed)[:, :6].float().to(at.device) for seed in (1, 2))
    bounds = scene_box_bounds(first), scene_box_bounds(second)
    return Case(
        f"axis_aligned_iou_3d {count} x {count}",
        lambda: axis_aligned_iou_3d(first, second),
        20.0 * count * count,
        4.0 * count * count,
        peers={"torch reference": lambda: aligned_iou.reference(bounds[0][:, None], bounds[1][None], False)},
    )


def suppression(full: int, at: Setting) -> list[Case]:
    count = at.size(full)
    boxes = scene_boxes(count, 3).to(at.device)
    scores = torch.rand(count, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(at.device)
    level, order = boxes[:, :6], scores.argsort(descending=True)
    bounds, one_class = scene_box_bounds(level)[order], torch.zeros(count, dtype=torch.int64, device=at.device)
    published = torch.cat([scene_box_bounds(level), scores[:, None]], 1).cpu().numpy()
    assert nms_3d(level, scores, 0.25).tolist() == numpy_nms(published, 0.25)
    peers: dict[str, Callable[[], Any]] = {
        "torch reference": lambda: nms.reference(bounds, one_class, 0.25),
        "numpy, box by box, as VoteNet does": lambda: numpy_nms(published, 0.25),
    }
    return [
        Case(
            f"nms_3d aligned {count}",
            lambda: nms_3d(level, scores, 0.25),
            10.0 * count * count / 2,
            56.0 * count,
            peers=peers,
        ),
        Case(f"nms_3d rotated {count}", lambda: nms_3d(boxes, scores, 0.25), 10.0 * count * count / 2, 64.0 * count),
    ]


def numpy_nms(rows: np.ndarray, threshold: float) -> list[int]:
    """Rows (N, 7): least and largest coordinates, score. One box a round, all the rest as arrays."""
    low, high, left = rows[:, :3], rows[:, 3:6], rows[:, 6].argsort()[::-1]
    volume, kept = (high - low).prod(1), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        common = (np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])).clip(0).prod(1)
        left = left[common / (volume[best] + volume[left] - common) <= threshold]
    return kept
