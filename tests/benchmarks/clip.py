"""Carrying one picture's features to the points of a scene, beside upsampling and scatter-add.

    python tests/benchmarks/clip.py [--points 154000] [--channels 1024] [--threads 1] [--model FOLDER]

A made room of ScanNet's extent and number of points, seen by one 640 x 480 depth camera; CLIP's grid of 24 x 24 tokens.
Prints the best of several runs: CPU time of the process on one thread, wall time on more. With --model, also a CLIP on
one 1296 x 968 image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from room import room
from torch import Tensor

from g3d.nn.lift_features import PixelHits, PointFeatures, SuperpointFeatures, find_hits, grid_on_depth
from g3d.nn.patch_encoder import ClipPatchEncoder, PatchLayout

SIZE = (640, 480)
SCANNET = PatchLayout(24, 24, (162.0, 0.0, 1134.0, 968.0), (1296, 968))
TARGET_MS = 500


def seen_by_camera(cloud: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Depth (480, 640), intrinsics and pose of a camera at a wall, looking over the room: the closest of densely drawn
    points."""
    camera = torch.tensor([[577.0, 0, 319.5], [0, 577, 239.5], [0, 0, 1]])
    forward = torch.nn.functional.normalize(torch.tensor([0.0, 1, -0.35]), dim=0)
    right = torch.tensor([1.0, 0, 0])
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward], 1)
    pose[:3, 3] = torch.tensor([4.0, 0.5, 1.6])
    x, y, z = ((cloud - pose[:3, 3]) @ pose[:3, :3]).T
    u, v = (577 * x / z + 319.5).round(), (577 * y / z + 239.5).round()
    inside = (z > 0.3) & (u >= 0) & (u < SIZE[0]) & (v >= 0) & (v < SIZE[1])
    pixels = (v * SIZE[0] + u)[inside].long()
    depth = torch.full((SIZE[0] * SIZE[1],), torch.inf).scatter_reduce(0, pixels, z[inside], "amin")
    return torch.where(depth.isinf(), 0, depth).view(SIZE[1], SIZE[0]), camera, pose


def best_ms(work: Callable[[], object], runs: int = 5) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    work()
    times = []
    for _ in range(runs):
        began = clock()
        work()
        times.append(clock() - began)
    return 1000 * min(times)


def scatter(sums: Tensor, hits: PixelHits, tokens: Tensor) -> None:
    """The plain way: features upsampled to every pixel, then added point by point."""
    upsampled = torch.nn.functional.interpolate(tokens.permute(2, 0, 1)[None], (SIZE[1], SIZE[0]), mode="bilinear")[0]
    features = upsampled.flatten(1).T.contiguous()
    for points in hits.points.T:
        there = points >= 0
        sums.index_add_(0, points[there], features[hits.pixels[there]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=154_000)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", help="folder of a CLIP model")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points, tokens = (
        room(options.points, 0),
        torch.randn(24, 24, options.channels, generator=torch.Generator().manual_seed(0)),
    )
    frame = seen_by_camera(room(3_000_000, 0))
    superpoints = (points[:, 0] * 7).long() * 40 + (points[:, 1] * 7).long()
    print(f"{options.points} points, {options.channels} channels, {options.threads} threads")
    for mapping in ("cropped", "stretched"):
        grid = grid_on_depth(SCANNET, SIZE, mapping)
        hits = find_hits(points, *frame, grid)
        counts = hits.counts(len(points))
        find = best_ms(lambda grid=grid: find_hits(points, *frame, grid))
        count = best_ms(lambda: hits.counts(len(points)))  # noqa: B023
        in_two = SuperpointFeatures(superpoints, counts, int(superpoints.max()) + 1, options.channels)
        add_to_superpoints = best_ms(lambda: in_two.add(hits, tokens))  # noqa: B023
        features = PointFeatures(len(points), options.channels)
        add = best_ms(lambda: features.add(hits, tokens))  # noqa: B023
        print(
            f"{mapping:<10} {len(hits.pixels)} pixels hit {int((counts > 0).sum())} points {int(counts.sum())} times\n"
            f"  to points:                find {find:.0f} + add {add:.0f} = {find + add:.0f} ms a frame "
            f"(target {TARGET_MS})\n"
            f"  to superpoints, 2 passes: find {find:.0f} + count {count:.0f}, find {find:.0f} + add "
            f"{add_to_superpoints:.0f} = "
            f"{2 * find + count + add_to_superpoints:.0f} ms a frame"
        )
    plain = best_ms(lambda: scatter(features.sums, hits, tokens), 2)
    print(
        f"add by upsampling to pixels and scatter-add: {plain:.0f} ms; by the published loop over points: "
        f"32 ms a point (64 channels)"
    )
    if options.model:
        encoder = ClipPatchEncoder.from_pretrained(options.model, final_norm=True)
        image = np.random.default_rng(0).integers(0, 256, (1, 968, 1296, 3), dtype=np.uint8)
        print(f"encoder: {best_ms(lambda: encoder.encode(image), 3):.0f} ms an image")


if __name__ == "__main__":
    main()
