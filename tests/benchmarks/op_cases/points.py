"""Point operators at the sizes of GroupFree3D's backbone and of the CLIP projection, on a made-up room.

Furthest point sampling of one cloud is one chain of steps: a second thread helps from two clouds on, as in the case
that has them.
Bounds: what any exact implementation must do is to read the points and write the result; the flops of ball query and of
    three_nn are
those of the distances of their hits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.op_case import Case, Peers, Setting
from benchmarks.room import room
from torch import Tensor

from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.group_points import group_points
from g3d.ops.three_interpolate import three_interpolate
from g3d.ops.three_nn import interpolation_weights, three_nn

FLOPS_PER_DISTANCE = 8


def cases(at: Setting = Setting()) -> list[Case]:
    cloud = _room(40_000, 0, at)
    centres = cloud[:, furthest_point_sample(cloud, at.size(2048))[0]]
    half, quarter = centres[:, : at.size(1024)], centres[:, : at.size(512)]
    return [
        *_sampling(cloud, centres, half, at),
        *_balls(cloud, centres, half, at),
        _nearest(cloud, centres, at, target=15),
        _nearest(half, quarter, at),
        *_features(centres, half, quarter, at),
    ]


def _room(points: int, seed: int, at: Setting) -> Tensor:
    """Return one made room as a batch of one cloud, (1, N, 3)."""
    return room(at.size(points), seed)[None].to(at.device)


def _sampling(cloud: Tensor, centres: Tensor, half: Tensor, at: Setting) -> list[Case]:
    found = []
    for points, full, target in ((cloud, 2048, 25.0), (centres, 1024, None), (half, 512, None)):
        count, k = points.shape[1], at.size(full)
        peers = _sampling_peers(points[0], k, at)
        name = f"furthest_point_sample {count} -> {k}"
        found.append(
            Case(
                name,
                functools.partial(furthest_point_sample, points, k),
                8 * count,
                12 * count + 8 * k,
                target,
                peers.calls,
                peers.missing,
            )
        )
    pair, k = torch.cat([cloud, _room(40_000, 1, at)]), at.size(2048)
    ours, count = functools.partial(furthest_point_sample, pair, k), pair.shape[1]
    return [*found, Case(f"furthest_point_sample 2 x {count} -> {k}", ours, 16 * count, 24 * count + 16 * k)]


def _sampling_peers(points: Tensor, k: int, at: Setting) -> Peers:
    array = points.cpu().numpy()
    peers = Peers(at)
    peers.add(
        "fpsample k-d-line h=7 (not from index 0)",
        "fpsample",
        lambda fpsample: functools.partial(fpsample.bucket_fps_kdline_sampling, array, k, h=7),
    )
    peers.add(
        "fpsample exhaustive",
        "fpsample",
        lambda fpsample: functools.partial(fpsample.fps_sampling, array, k, start_idx=0),
    )
    return peers


def _balls(cloud: Tensor, centres: Tensor, half: Tensor, at: Setting) -> list[Case]:
    found = []
    scan = _room(154_000, 1, at)
    pixels = _in_scan_order(scan, at.size(307_200))
    for points, queries, radius, k, pad, target in (
        (cloud, centres, 0.2, 64, "first", 5.0),
        (centres, half, 0.4, 32, "first", None),
        (scan, pixels, 0.04, 25, "none", 300.0),
    ):
        ours = functools.partial(ball_query, points, queries, radius, k, pad=pad)
        hits = int((ball_query(points, queries, radius, k, pad="none") >= 0).sum())
        memory = 12 * (points.shape[1] + queries.shape[1]) + 8 * k * queries.shape[1]
        peers = _ball_peers(points[0], queries[0], radius, k, at)
        name = f"ball_query r={radius} k={k}, {queries.shape[1]} in {points.shape[1]}"
        found.append(Case(name, ours, FLOPS_PER_DISTANCE * hits, memory, target, peers.calls, peers.missing))
    return found


def _in_scan_order(scan: Tensor, queries: int) -> Tensor:
    """Return (1, queries, 3) positions near the points of half a room, neighbours in memory near each other as a
    frame's pixels are."""
    half = scan[0, scan[0, :, 0] < 4]
    half = half[half.mul(5).long().mul(torch.tensor([10_000, 100, 1], device=scan.device)).sum(1).argsort(stable=True)]
    return half.repeat_interleave(queries // len(half) + 1, 0)[None, :queries] + 0.003


def _ball_peers(points: Tensor, queries: Tensor, radius: float, k: int, at: Setting) -> Peers:
    peers = Peers(at)

    def tree(spatial: Any) -> Callable[[], Any]:
        return lambda: spatial.cKDTree(points.numpy()).query(queries.numpy(), k, distance_upper_bound=radius)

    def hybrid(core: Any) -> Callable[[], Any]:
        def search() -> Any:
            index = core.nns.NearestNeighborSearch(core.Tensor(points.numpy()))
            index.hybrid_index(radius)
            return index.hybrid_search(core.Tensor(queries.numpy()), radius, k)

        return search

    peers.add("scipy cKDTree (nearest k)", "scipy.spatial", tree)
    peers.add("open3d hybrid (nearest k)", "open3d.core", hybrid)
    return peers


def _nearest(points: Tensor, known: Tensor, at: Setting, target: float | None = None) -> Case:
    peers = Peers(at)
    few, many = known[0].cpu().numpy(), points[0].cpu().numpy()
    peers.add("pykdtree", "pykdtree.kdtree", lambda kdtree: lambda: kdtree.KDTree(few).query(many, k=3))
    peers.add("scipy cKDTree", "scipy.spatial", lambda spatial: lambda: spatial.cKDTree(few).query(many, 3))
    count = points.shape[1]
    flops, memory = FLOPS_PER_DISTANCE * 3 * count, 12 * (count + known.shape[1]) + 36 * count
    ours = functools.partial(three_nn, points, known)
    return Case(f"three_nn {count} from {known.shape[1]}", ours, flops, memory, target, peers.calls, peers.missing)


def _features(centres: Tensor, half: Tensor, quarter: Tensor, at: Setting) -> list[Case]:
    """The operators that move features: the first level's grouping and the last propagation, with and without the
    gradient."""
    draw, channels = torch.Generator().manual_seed(0), 128
    points, fine, few = centres.shape[1], half.shape[1], quarter.shape[1]

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(at.device)

    balls = ball_query(centres, half, 0.4, 32)
    features, upstream = drawn(1, channels, points).requires_grad_(), drawn(1, channels, fine, 32)
    distances, indices = three_nn(half, quarter)
    weights, coarse = interpolation_weights(distances), drawn(1, 256, few).requires_grad_()
    down = drawn(1, 256, fine)
    group, index = functools.partial(group_points, features, balls), balls.flatten(1)[:, None].expand(-1, channels, -1)
    spread = functools.partial(three_interpolate, coarse, indices, weights)
    gather = {"torch.gather": lambda: features.detach().gather(2, index)}
    moved, grouped = 4 * features.numel() + 8 * balls.numel(), 4 * upstream.numel()
    small = 4 * coarse.numel() + 36 * fine + 4 * down.numel()
    return [
        Case(f"group_points {channels} x {fine} x 32", group, 0, moved + grouped, peers=gather),
        Case(
            "group_points with backward",
            lambda: torch.autograd.grad(group(), features, upstream),
            grouped / 4,
            2 * (moved + grouped),
        ),
        Case(f"three_interpolate 256 x {fine} from {few}", spread, 5 * down.numel(), small),
        Case(
            "three_interpolate with backward",
            lambda: torch.autograd.grad(spread(), coarse, down),
            11 * down.numel(),
            2 * small,
        ),
    ]
