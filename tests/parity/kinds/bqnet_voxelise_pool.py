"""From points to voxels, voxel means and superpoint means, with the gradient, and seeds among the superpoints."""

from pathlib import Path

import numpy as np
import torch

from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.segment_reduce import segment_reduce
from g3d.ops.voxelize import points_to_sites, voxelize
from parity.check import compare

VOXEL = 0.02
SMALLEST = 128  # extent of the grid


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict:
    scenes = [
        {key: torch.from_numpy(arrays[f"in.scene{n}.{key}"]) for key in ("xyz", "rgb", "superpoint_raw")}
        for n in range(2)
    ]
    sites = [points_to_sites(scene["xyz"], VOXEL, n) for n, scene in enumerate(scenes)]
    voxels = voxelize(torch.cat(sites))
    xyz = torch.cat([scene["xyz"] for scene in scenes]).float()
    features = torch.cat([torch.cat([scene["rgb"] for scene in scenes]), xyz], 1).requires_grad_()
    compact = [scene["superpoint_raw"].unique(return_inverse=True)[1] for scene in scenes]
    counts = [int(ids.max()) + 1 for ids in compact]
    superpoint = torch.cat([compact[0], compact[1] + counts[0]])
    means = voxels.mean(features)
    pooled = segment_reduce(means[voxels.point_to_voxel], superpoint, sum(counts), "mean")
    (pooled * torch.from_numpy(arrays["in.upstream"])).sum().backward()
    centres = segment_reduce(xyz, superpoint, sum(counts), "mean")
    offsets = torch.tensor([0, counts[0], sum(counts)])
    assert features.grad is not None
    exact = {
        "scene0.grid": sites[0][:, 1:],
        "scene1.grid": sites[1][:, 1:],
        "voxel_coords": voxels.sites,
        "point_to_voxel": voxels.point_to_voxel,
        "voxel_count": voxels.counts,
        "voxel_to_point": _padded_lists(voxels.points, voxels.offsets),
        "spatial_shape": (voxels.sites[:, 1:].amax(0) + 1).clamp(min=SMALLEST),
        "superpoint": superpoint,
        "batch_offsets": offsets,
        "fps16": furthest_point_sample(centres, 16, offsets, skip_origin=True) - offsets[:-1, None],
    }
    within = {
        "voxel_feats": means.detach(),
        "sp_feats": pooled.detach(),
        "sp_coords": centres,
        "grad_feats": features.grad,
    }
    tolerance = case["tolerance"]["floats abs"]
    return {name: compare(f"out.{name}", value.numpy(), arrays[f"out.{name}"]) for name, value in exact.items()} | {
        name: compare(f"out.{name}", value.numpy(), arrays[f"out.{name}"], tolerance) for name, value in within.items()
    }


def _padded_lists(points: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(V, 1 + most): the number of points of each voxel, then the points, then zeros."""
    counts = offsets.diff()
    slot = torch.arange(int(counts.max()))
    listed = points[(offsets[:-1, None] + slot).clamp(max=len(points) - 1)]
    return torch.cat([counts[:, None], torch.where(slot < counts[:, None], listed, 0)], 1)
