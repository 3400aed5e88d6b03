"""From points to voxels, voxel means and superpoint means, with the gradient, and seeds among the superpoints."""

import re
from pathlib import Path

import numpy as np
import torch

from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.segment_reduce import segment_reduce
from g3d.ops.voxelize import points_to_sites, voxelize
from parity.check import compare
from parity.describe import DescriptionError, meaning_of, stated, stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict:
    scenes = [
        {key: torch.from_numpy(arrays[f"in.scene{n}.{key}"]) for key in ("xyz", "rgb", "superpoint_raw")}
        for n in range(scene_count(arrays))
    ]
    smallest = int(stated_number(meaning_of(case, "out.spatial_shape"), r"\bmax\(grid max\+1, #\)", "smallest grid"))
    sites = [points_to_sites(scene["xyz"], voxel_size(case, n), n) for n, scene in enumerate(scenes)]
    voxels = voxelize(torch.cat(sites))
    xyz = torch.cat([scene["xyz"] for scene in scenes]).float()
    features = torch.cat([torch.cat([scene["rgb"] for scene in scenes]), xyz], 1).requires_grad_()
    compact = [scene["superpoint_raw"].unique(return_inverse=True)[1] for scene in scenes]
    counts = [int(ids.max()) + 1 for ids in compact]
    offsets = torch.tensor([0, *counts]).cumsum(0)
    superpoint = torch.cat([ids + first for ids, first in zip(compact, offsets[:-1], strict=True)])
    means = voxels.mean(features)
    pooled = segment_reduce(means[voxels.point_to_voxel], superpoint, sum(counts), "mean")
    (pooled * torch.from_numpy(arrays["in.upstream"])).sum().backward()
    centres = segment_reduce(xyz, superpoint, sum(counts), "mean")
    assert features.grad is not None
    exact = {
        **{f"scene{n}.grid": grid[:, 1:] for n, grid in enumerate(sites)},
        "voxel_coords": voxels.sites,
        "point_to_voxel": voxels.point_to_voxel,
        "voxel_count": voxels.counts,
        "voxel_to_point": _padded_lists(voxels.points, voxels.offsets),
        "spatial_shape": (voxels.sites[:, 1:].amax(0) + 1).clamp(min=smallest),
        "superpoint": superpoint,
        "batch_offsets": offsets,
    }
    for name in (name.removeprefix("out.") for name in arrays if name.startswith("out.fps")):
        samples = int(stated(name, r"^fps(\d+)$", "name of an array")[0])
        exact[name] = furthest_point_sample(centres, samples, offsets, skip_origin=True) - offsets[:-1, None]
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


def scene_count(arrays: dict[str, np.ndarray]) -> int:
    """Return the number of scenes, whose arrays are named in.scene0.xyz, in.scene1.xyz and so on."""
    numbers = sorted(int(match[1]) for name in arrays if (match := re.fullmatch(r"in\.scene(\d+)\.xyz", name)))
    if not numbers or numbers != list(range(len(numbers))):
        raise DescriptionError(f"arrays: expected in.scene0.xyz, in.scene1.xyz, ..., found scenes {numbers}")
    return len(numbers)


def voxel_size(case: dict, scene: int) -> float:
    """Return the metres of a voxel, from the rule that the case states, for example trunc(50*xyz - min(50*xyz))."""
    name = f"out.scene{scene}.grid"
    return 1 / stated_number(meaning_of(case, name), r"\b#\*xyz", name)


def _padded_lists(points: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(V, 1 + most): the number of points of each voxel, then the points, then zeros."""
    counts = offsets.diff()
    slot = torch.arange(int(counts.max()))
    listed = points[(offsets[:-1, None] + slot).clamp(max=len(points) - 1)]
    return torch.cat([counts[:, None], torch.where(slot < counts[:, None], listed, 0)], 1)
