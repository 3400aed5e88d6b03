"""Projection of points to the pixels that see them: a pinhole camera with tests of bounds, depth range, occlusion and
frustum.

Camera frame: x right, y down, z forward, metres. The centre of pixel (u, v) has image coordinates (u, v); a point
projects to the pixel that its coordinates round to, halves to even. With a depth image, a point is visible if that
pixel's depth is in the range and within the tolerance of the point's own depth; without one, if its own depth is in the
range. All computations are float32, not fused.

The frustum of the published multiview projection (3D-SIS, daveredrum/ScanRefer) is six planes through the centres of
the corner pixels at both ends of the depth range, whose normals are not of unit length; a point is inside if each
product, rounded to hundredths, is below 0. This excludes points near the camera or the border.

Shapes: F frames, N points, H x W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange

_BLOCK = 4096  # points per work item of a thread


def reference(
    points: Tensor,
    intrinsics: Tensor,
    world_to_camera: Tensor,
    depth: Tensor | None,
    planes: Tensor | None,
    width: int,
    height: int,
    near: float,
    far: float,
    tolerance: float,
) -> Tensor:
    """Return the pixels int64 (F, N), v * width + u or -1, of points (N, 3), in plain PyTorch.

    intrinsics (F, 4) fx fy cx cy, poses (F, 3, 4), depth (F, H, W), planes (F, 6, 2, 3) as normal and a point on it.
    """
    seen = []
    for frame in range(len(intrinsics)):
        x, y, z = (
            points[:, 0] * row[0] + points[:, 1] * row[1] + points[:, 2] * row[2] + row[3]
            for row in world_to_camera[frame]
        )
        fx, fy, cx, cy = intrinsics[frame]
        u, v = (x * fx / z + cx).round(), (y * fy / z + cy).round()
        inside = (z > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        pixel = (
            torch.where(inside, v, 0).long() * width + torch.where(inside, u, 0).long()
        )  # not in float32: its integers are exact only up to 2^24
        if depth is None:
            inside &= (z >= near) & (z <= far)
        else:
            there = depth[frame].flatten()[pixel]
            inside &= (there >= near) & (there <= far) & ((there - z).abs() <= tolerance)
        if planes is not None:
            for normal, origin in planes[frame]:
                offset = points - origin
                product = offset[:, 0] * normal[0] + offset[:, 1] * normal[1] + offset[:, 2] * normal[2]
                inside &= (product * 100).round() < 0
        seen.append(torch.where(inside, pixel, -1))
    return torch.stack(seen) if seen else points.new_empty((0, len(points)), dtype=torch.int64)


@part(error_model="numpy")  # division by zero gives infinity
def _project(
    points: np.ndarray,
    camera: np.ndarray,
    pose: np.ndarray,
    width: int,
    height: int,
    pixels: np.ndarray,
    depths: np.ndarray,
) -> None:
    """Fill `pixels` (n,) with the pixels of points (n, 3), or -1, and `depths` (n,). The loop is branch-free, so that
    it vectorises."""
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    xx, xy, xz, xt = pose[0, 0], pose[0, 1], pose[0, 2], pose[0, 3]
    yx, yy, yz, yt = pose[1, 0], pose[1, 1], pose[1, 2], pose[1, 3]
    zx, zy, zz, zt = pose[2, 0], pose[2, 1], pose[2, 2], pose[2, 3]
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        x = px * xx + py * xy + pz * xz + xt
        y = px * yx + py * yy + pz * yz + yt
        z = px * zx + py * zy + pz * zz + zt
        u, v = np.rint(x * fx / z + cx), np.rint(y * fy / z + cy)
        inside = (z > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        row, column = np.int32(v if inside else np.float32(-1)), np.int32(u if inside else np.float32(width - 1))
        pixels[n] = row * width + column  # -1 for row -1 and the last column
        depths[n] = z


@part()
def _in_frustum(point: np.ndarray, planes: np.ndarray) -> bool:
    for plane in range(planes.shape[0]):
        normal, origin = planes[plane, 0], planes[plane, 1]
        product = (
            (point[0] - origin[0]) * normal[0] + (point[1] - origin[1]) * normal[1] + (point[2] - origin[2]) * normal[2]
        )
        if not np.rint(product * np.float32(100)) < 0:
            return False
    return True


@kernel(parallel=True)
def cpu(
    points: np.ndarray,
    intrinsics: np.ndarray,
    poses: np.ndarray,
    depth: np.ndarray,
    planes: np.ndarray,
    size: tuple[int, int],
    limits: np.ndarray,
    found: np.ndarray,
) -> None:
    """Fill `found` (F, N) int64. `depth` (F, H * W) and `planes` (F, 6, 2, 3) are empty (0 frames) if not given;
    `limits` float32: near, far, tolerance."""
    near, far, tolerance = limits
    blocks = (points.shape[0] + _BLOCK - 1) // _BLOCK
    for task in prange(poses.shape[0] * blocks):
        frame, first = task // blocks, task % blocks * _BLOCK
        here, pixels = points[first : first + _BLOCK], found[frame, first : first + _BLOCK]
        depths = np.empty(_BLOCK, np.float32)
        _project(here, intrinsics[frame], poses[frame], size[0], size[1], pixels, depths)
        for n in range(len(pixels)):
            if pixels[n] < 0:
                continue
            z = depths[n]
            there = depth[frame, pixels[n]] if depth.shape[0] else z
            seen = there >= near and there <= far and abs(there - z) <= tolerance
            if not seen or (planes.shape[0] and not _in_frustum(here[n], planes[frame])):
                pixels[n] = -1
