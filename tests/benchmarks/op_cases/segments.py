"""Pooling over superpoints, superpoints of meshes, and points to pixels."""

from __future__ import annotations

import math

import torch
from benchmarks.op_case import Case
from benchmarks.room import room
from support import paths
from torch import Tensor

from g3d.data.scannet.mesh import read_mesh
from g3d.kernels.points_to_pixels import reference as torch_pixels
from g3d.ops.mesh_segments import mesh_segments
from g3d.ops.point_segments import point_segments
from g3d.ops.points_to_pixels import points_to_pixels
from g3d.ops.segment_reduce import segment_max, segment_reduce

REAL_SCAN = paths.REAL / "scannet/scans/scene0000_00/scene0000_00_vh_clean_2.ply"
NO_PACKAGE = {"Karbo123/segmentator": "in no package index; its C++ built with -O3 takes 155 ms for 154,000 vertices"}


def cases() -> list[Case]:
    return [*pooling(150_000, 32), *pooling(154_000, 128), *superpoints(), *pixels(154_000)]


def pooling(points: int, channels: int, segments: int = 2300) -> list[Case]:
    """Rows in the order of a scan: runs of one superpoint, about 8 long."""
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(points, channels, generator=draw)
    owner = torch.randint(0, segments, (points // 8 + 1,), generator=draw).repeat_interleave(8)[:points]
    wide = owner[:, None].expand(points, channels)
    traffic = 4 * points * channels + 8 * points + 4 * segments * channels

    def index_add_mean() -> Tensor:
        return (
            torch.zeros(segments, channels).index_add_(0, owner, values) / owner.bincount(minlength=segments)[:, None]
        )

    size = f"{points} x {channels} into {segments}"
    mean = Case(
        f"segment_reduce mean {size}",
        lambda: segment_reduce(values, owner, segments, "mean"),
        points * channels,
        traffic,
        peers={
            "torch index_add_": index_add_mean,
            "torch scatter_reduce_": lambda: torch.zeros(segments, channels).scatter_reduce_(
                0, wide, values, "mean", include_self=False
            ),
        },
    )
    largest = Case(
        f"segment_max with argmax {size}",
        lambda: segment_max(values, owner, segments),
        points * channels,
        traffic + 8 * segments * channels,
        peers={
            "torch scatter_reduce_, no argmax": lambda: torch.zeros(segments, channels).scatter_reduce_(
                0, wide, values, "amax", include_self=False
            )
        },
    )
    return [mean, largest]


def superpoints() -> list[Case]:
    found = []
    meshes = {"made": made_mesh(392)}
    if REAL_SCAN.is_file():
        mesh = read_mesh(REAL_SCAN)
        meshes["scene0000_00"] = (torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces).long())
    for name, (vertices, faces) in meshes.items():
        found.append(
            Case(
                f"mesh_segments {name}, {len(vertices)} vertices, {len(faces)} faces",
                lambda vertices=vertices, faces=faces: mesh_segments(vertices, faces),  # type: ignore[misc]
                100.0 * len(faces),
                20 * len(vertices) + 24 * len(faces),
                target_ms=150 * len(faces) / 300_000,
                missing=NO_PACKAGE,
            )
        )
    cloud = room(150_000, 0)
    found.append(
        Case("point_segments 150000 points, 8 neighbours", lambda: point_segments(cloud), 0.0, 20 * len(cloud))
    )
    return found


def made_mesh(side: int) -> tuple[Tensor, Tensor]:
    """Rough terraces over a grid of 2 cm: side^2 vertices, two triangles a cell."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    height = (
        ((x // 40 * 7 + y // 56 * 3) % 5) * 0.3
        + torch.rand(side, side, generator=torch.Generator().manual_seed(0)) * 0.004
    ).flatten()
    corner = (y * side + x)[:-1, :-1].flatten()
    faces = torch.stack([corner, corner + 1, corner + side, corner + 1, corner + side + 1, corner + side], 1).reshape(
        -1, 3
    )
    return torch.stack([x.flatten() * 0.02, y.flatten() * 0.02, height], 1), faces


def pixels(points: int) -> list[Case]:
    """A camera in the middle of the room sees the depth of ENet's 41 x 32 pixels."""
    cloud = room(points, 0)
    camera = torch.tensor([[37.01983, 0, 20], [0, 38.5247, 15.5], [0, 0, 1]])
    pose = torch.tensor([[1.0, 0, 0, 4], [0, 0, 1, 1], [0, -1, 0, 1.3], [0, 0, 0, 1]])
    depth = torch.rand(32, 41, generator=torch.Generator().manual_seed(0)) * 3 + 1
    row, inverse = torch.tensor([[37.01983, 38.5247, 20, 15.5]]), torch.linalg.inv(pose)[None, :3]
    return [
        Case(
            f"points_to_pixels {points} points, 41 x 32 pixels with depth",
            lambda: points_to_pixels(cloud, camera, pose, (41, 32), depth, near=0.1, far=4.0),
            40.0 * points,
            20 * points,
            target_ms=3,
            peers={
                "torch, one operation at a time": lambda: torch_pixels(
                    cloud, row, inverse, depth[None], None, 41, 32, 0.1, 4.0, 0.05
                )
            },
        ),
        Case(
            f"points_to_pixels {points} points, 640 x 480 pixels without depth",
            lambda: points_to_pixels(
                cloud, camera * torch.tensor([[15.6], [15.0], [1]]), pose, (640, 480), near=0.1, far=math.inf
            ),
            40.0 * points,
            20 * points,
            target_ms=3,
        ),
    ]
