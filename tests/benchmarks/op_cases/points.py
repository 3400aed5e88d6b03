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
from benchmarks.op_case import Case, peer
from benchmarks.room import room
from torch import Tensor

from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.group_points import group_points
from g3d.ops.three_interpolate import three_interpolate
from g3d.ops.three_nn import interpolation_weights, three_nn

FLOPS_PER_DISTANCE = 8


def cases() -> list[Case]:
    cloud = room(40_000, 0)[None]
    centres = cloud[:, furthest_point_sample(cloud, 2048)[0]]
    return [
        *_sampling(cloud, centres),
        *_balls(cloud, centres),
        _nearest(cloud, centres, target=15),
        _nearest(centres[:, :1024], centres[:, :512]),
        *_features(cloud, centres),
    ]


def _sampling(cloud: Tensor, centres: Tensor) -> list[Case]:
    found = []
    for points, k, target in ((cloud, 2048, 25.0), (centres, 1024, None), (centres[:, :1024], 512, None)):
        count = points.shape[1]
        peers, missing = _sampling_peers(points[0], k)
        name = f"furthest_point_sample {count} -> {k}"
        found.append(
            Case(
                name,
                functools.partial(furthest_point_sample, points, k),
                8 * count,
                12 * count + 8 * k,
                target,
                peers,
                missing,
            )
        )
    pair = torch.cat([cloud, room(40_000, 1)[None]])
    ours = functools.partial(furthest_point_sample, pair, 2048)
    return [*found, Case("furthest_point_sample 2 x 40000 -> 2048", ours, 8 * 80_000, 12 * 80_000 + 16 * 2048)]


def _sampling_peers(points: Tensor, k: int) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    array = points.numpy()
    peers: dict[str, Callable[[], Any]] = {}
    missing: dict[str, str] = {}
    peer(
        peers,
        missing,
        "fpsample k-d-line h=7 (not from index 0)",
        "fpsample",
        lambda fpsample: functools.partial(fpsample.bucket_fps_kdline_sampling, array, k, h=7),
    )
    peer(
        peers,
        missing,
        "fpsample exhaustive",
        "fpsample",
        lambda fpsample: functools.partial(fpsample.fps_sampling, array, k, start_idx=0),
    )
    return peers, missing


def _balls(cloud: Tensor, centres: Tensor) -> list[Case]:
    found = []
    scan = room(154_000, 1)[None]
    pixels = _in_scan_order(scan)
    for points, queries, radius, k, pad, target in (
        (cloud, centres, 0.2, 64, "first", 5.0),
        (centres, centres[:, :1024], 0.4, 32, "first", None),
        (scan, pixels, 0.04, 25, "none", 300.0),
    ):
        ours = functools.partial(ball_query, points, queries, radius, k, pad=pad)
        hits = int((ball_query(points, queries, radius, k, pad="none") >= 0).sum())
        memory = 12 * (points.shape[1] + queries.shape[1]) + 8 * k * queries.shape[1]
        peers, missing = _ball_peers(points[0], queries[0], radius, k)
        name = f"ball_query r={radius} k={k}, {queries.shape[1]} in {points.shape[1]}"
        found.append(Case(name, ours, FLOPS_PER_DISTANCE * hits, memory, target, peers, missing))
    return found


def _in_scan_order(scan: Tensor) -> Tensor:
    """(1, 307200, 3): as many queries as a frame has pixels, near the points of half a room and, like pixels, near each
    other."""
    half = scan[0, scan[0, :, 0] < 4]
    half = half[half.mul(5).long().mul(torch.tensor([10_000, 100, 1])).sum(1).argsort(stable=True)]
    return half.repeat_interleave(307_200 // len(half) + 1, 0)[None, :307_200] + 0.003


def _ball_peers(
    points: Tensor, queries: Tensor, radius: float, k: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    peers: dict[str, Callable[[], Any]] = {}
    missing: dict[str, str] = {}

    def tree(spatial: Any) -> Callable[[], Any]:
        return lambda: spatial.cKDTree(points.numpy()).query(queries.numpy(), k, distance_upper_bound=radius)

    def hybrid(core: Any) -> Callable[[], Any]:
        def search() -> Any:
            index = core.nns.NearestNeighborSearch(core.Tensor(points.numpy()))
            index.hybrid_index(radius)
            return index.hybrid_search(core.Tensor(queries.numpy()), radius, k)

        return search

    peer(peers, missing, "scipy cKDTree (nearest k)", "scipy.spatial", tree)
    peer(peers, missing, "open3d hybrid (nearest k)", "open3d.core", hybrid)
    return peers, missing


def _nearest(points: Tensor, known: Tensor, target: float | None = None) -> Case:
    peers: dict[str, Callable[[], Any]] = {}
    missing: dict[str, str] = {}
    few, many = known[0].numpy(), points[0].numpy()
    peer(peers, missing, "pykdtree", "pykdtree.kdtree", lambda kdtree: lambda: kdtree.KDTree(few).query(many, k=3))
    peer(peers, missing, "scipy cKDTree", "scipy.spatial", lambda spatial: lambda: spatial.cKDTree(few).query(many, 3))
    count = points.shape[1]
    flops, memory = FLOPS_PER_DISTANCE * 3 * count, 12 * (count + known.shape[1]) + 36 * count
    ours = functools.partial(three_nn, points, known)
    return Case(f"three_nn {count} from {known.shape[1]}", ours, flops, memory, target, peers, missing)


def _features(cloud: Tensor, centres: Tensor) -> list[Case]:
    """What moves features: the first level's grouping, and the last propagation, with and without the gradient."""
    draw = torch.Generator().manual_seed(0)
    level, channels = centres[:, :1024], 128
    balls = ball_query(centres, level, 0.4, 32)
    features = torch.randn(1, channels, 2048, generator=draw, requires_grad=True)
    upstream = torch.randn(1, channels, 1024, 32, generator=draw)
    distances, indices = three_nn(level, level[:, :512])
    weights, coarse = interpolation_weights(distances), torch.randn(1, 256, 512, generator=draw, requires_grad=True)
    down = torch.randn(1, 256, 1024, generator=draw)
    group, index = functools.partial(group_points, features, balls), balls.flatten(1)[:, None].expand(-1, channels, -1)
    spread = functools.partial(three_interpolate, coarse, indices, weights)
    gather = {"torch.gather": lambda: features.detach().gather(2, index)}
    moved, grouped = 4 * features.numel() + 8 * balls.numel(), 4 * upstream.numel()
    small = 4 * coarse.numel() + 36 * 1024 + 4 * down.numel()
    return [
        Case("group_points 128 x 1024 x 32", group, 0, moved + grouped, peers=gather),
        Case(
            "group_points with backward",
            lambda: torch.autograd.grad(group(), features, upstream),
            grouped / 4,
            2 * (moved + grouped),
        ),
        Case("three_interpolate 256 x 1024 from 512", spread, 5 * down.numel(), small),
        Case(
            "three_interpolate with backward",
            lambda: torch.autograd.grad(spread(), coarse, down),
            11 * down.numel(),
            2 * small,
        ),
    ]
