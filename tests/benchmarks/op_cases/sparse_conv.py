"""Voxelisation, rules and sparse convolution on a part of a room with 2 cm voxels."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from benchmarks.op_case import Case, Peers, Setting
from benchmarks.room import room
from torch import Tensor

from g3d.kernels.sparse_conv import reference
from g3d.kernels.sparse_rules import reference as torch_rules
from g3d.kernels.voxelize import packed, packing
from g3d.ops.sparse_conv import sparse_conv
from g3d.ops.sparse_rules import Rules, site_order, strided_rules, submanifold_rules
from g3d.ops.voxelize import points_to_sites, voxelize

VOXEL = 0.02
WRONG_NUMBERS = "its results on a CPU are wrong with more than one thread"


def cases(at: Setting = Setting()) -> list[Case]:
    sites = dense_sites(150_000, at)
    rules = submanifold_rules(sites, (3, 3, 3))
    return [
        voxelise(200_000, at),
        find_rules(sites),
        *(convolve(sites, rules, channels, target, at) for channels, target in ((32, 90.0), (64, 250.0))),
        *(backward(rules, channels) for channels in (32, 64)),
        *to_half_and_back(sites, 32, 64),
    ]


def dense_sites(count: int, at: Setting) -> Tensor:
    """Return the voxels of a densely scanned room that lie nearest to one wall, in order of first appearance."""
    points = room(at.size(2_400_000), 0).to(at.device)
    sites = voxelize(points_to_sites(points, VOXEL)).sites
    nearest = sites[:, 1].sort(stable=True).indices[: at.size(count)]
    return sites[nearest.sort().values].contiguous()


def voxelise(full: int, at: Setting) -> Case:
    count = at.size(full)
    points = room(count, 0).to(at.device)
    sites = points_to_sites(points, VOXEL)
    peers = Peers(at)
    peers.calls["torch unique of packed keys"] = lambda: packed(sites, *packing(sites)).unique(
        return_inverse=True, return_counts=True
    )

    def spconv(module: ModuleType) -> Callable[[], Any]:
        shape = (sites[:, 1:].amax(0) + 1).tolist()
        low = points.amin(0).tolist()
        high = [edge + VOXEL * cells for edge, cells in zip(low, shape, strict=True)]
        made = module.Point2VoxelCPU3d([VOXEL] * 3, [*low, *high], 3, count, 5)
        return lambda: made.point_to_voxel(
            module.tv.from_numpy(points.numpy())
        )  # its view does not keep the points alive

    peers.add("spconv Point2VoxelCPU3d, 5 points a voxel", "spconv.utils", _with_views(spconv))
    voxels = len(voxelize(sites).sites)
    traffic = 16 * count + 16 * voxels + 16 * count + 8 * voxels
    return Case(
        f"voxelize {count} points, {voxels} voxels",
        lambda: voxelize(sites),
        0,
        traffic,
        12.0,
        peers.calls,
        peers.missing,
    )


def _with_views(make: Callable[[ModuleType], Callable[[], Any]]) -> Callable[[ModuleType], Callable[[], Any]]:
    """cumm's arrays are of another package than the voxeliser."""

    def made(module: ModuleType) -> Callable[[], Any]:
        import cumm.tensorview as tv

        module.tv = tv  # type: ignore[attr-defined]
        return make(module)

    return made


def find_rules(sites: Tensor) -> Case:
    def search() -> Tensor:
        return torch_rules(sites, site_order(sites), 3, 3, 3)

    return Case(
        f"rules of submanifold 3x3x3, {len(sites)} voxels",
        lambda: submanifold_rules(sites, (3, 3, 3)),
        0,
        16 * len(sites) + 27 * 4 * len(sites),
        60.0,
        {"torch sort and 27 searchsorted": search},
    )


def convolve(sites: Tensor, rules: Rules, channels: int, target: float, at: Setting) -> Case:
    features, weight = _drawn(rules, channels, channels)
    pairs = int((rules.neighbours >= 0).sum())
    peers = Peers(at)
    peers.calls["torch gather, mm, index_add"] = lambda: reference(features, weight, *rules)

    def spconv(module: ModuleType) -> Callable[[], Any]:
        if torch.get_num_threads() > 1:
            raise ImportError(WRONG_NUMBERS)
        algorithm = module.ConvAlgo.Native
        layer = module.SubMConv3d(channels, channels, 3, bias=False, indice_key="rules", algo=algorithm)
        x = module.SparseConvTensor(features, sites, (sites[:, 1:].amax(0) + 1).tolist(), 1)
        return torch.no_grad()(lambda: layer(x))  # the first call keeps the rules

    peers.add("spconv Native", "spconv.pytorch", spconv)
    return Case(
        f"submanifold 3x3x3, {len(sites)} voxels, {pairs / len(sites):.1f} pairs each, {channels} to {channels}",
        lambda: sparse_conv(features, weight, rules),
        2.0 * pairs * channels * channels,
        8 * len(sites) * channels + 27 * 4 * len(sites),
        target,
        peers.calls,
        peers.missing,
    )


def backward(rules: Rules, channels: int) -> Case:
    """Both gradients; spconv has none on a CPU."""
    features, weight = (tensor.requires_grad_() for tensor in _drawn(rules, channels, channels))
    gradient = torch.randn(len(rules.order), channels, generator=torch.Generator().manual_seed(1)).to(features.device)
    found, plain = sparse_conv(features, weight, rules), reference(features, weight, *rules)

    def through(out: Tensor) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(out, (features, weight), gradient, retain_graph=True)

    pairs = int((rules.neighbours >= 0).sum())
    return Case(
        f"submanifold 3x3x3 backward, {len(rules.order)} voxels, {channels} to {channels}",
        through(found),
        4.0 * pairs * channels * channels,
        12 * len(rules.order) * channels + 27 * 4 * len(rules.order),
        peers={"torch gather, mm, index_add": through(plain)},
        missing={"spconv Native": "has no backward on a CPU"},
    )


def to_half_and_back(sites: Tensor, fine: int, coarse: int) -> list[Case]:
    rules = strided_rules(sites, (1 << 14,) * 3)[1]
    found = []
    for name, way, channels in (
        ("strided 2x2x2", rules, (fine, coarse)),
        ("inverse 2x2x2", rules.inverse(), (coarse, fine)),
    ):
        features, weight = _drawn(way, *channels)
        found.append(
            Case(
                f"{name}, {len(way.back_order)} to {len(way.order)} voxels, {channels[0]} to {channels[1]}",
                lambda features=features, weight=weight, way=way: sparse_conv(features, weight, way),
                2.0 * len(sites) * fine * coarse,
                4 * (len(way.back_order) * channels[0] + len(way.order) * (channels[1] + 8)),
                peers={
                    "torch gather, mm, index_add": lambda features=features, weight=weight, way=way: reference(
                        features, weight, *way
                    )
                },
            )
        )
    return found


def _drawn(rules: Rules, channels_in: int, channels_out: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(len(rules.back_order), channels_in, generator=draw)
    weight = torch.randn(len(rules.neighbours), channels_in, channels_out, generator=draw) / channels_in**0.5
    return features.to(rules.order.device), weight.to(rules.order.device)
