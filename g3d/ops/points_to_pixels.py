"""Operator `points_to_pixels` over kernels/points_to_pixels.py: argument checks, dispatch by device, registration."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import points_to_pixels as kernel
from g3d.ops.registry import Operator

# Corners a, b, c of the frustum (0 to 3 near, 4 to 7 far, around the image from its first pixel) that span each plane;
# the plane's normal is (a - b) x (c - b).
_PLANES = ((3, 0, 1), (2, 1, 5), (3, 2, 6), (0, 3, 7), (1, 0, 4), (6, 5, 4))
_ORIGINS = (2, 2, 2, 4, 4, 4)


def points_to_pixels(
    points: Tensor,
    intrinsics: Tensor,
    camera_to_world: Tensor,
    size: tuple[int, int],
    depth: Tensor | None = None,
    *,
    near: float = 0.0,
    far: float = math.inf,
    tolerance: float = 0.05,
    published_frustum: bool = False,
) -> Tensor:
    """Return the pixel that sees each point, in one image or in several.

    Args:
        points: (N, 3) float32, metres, world frame.
        intrinsics: (3, 3), or (F, 3, 3) for F images: fx, fy, cx, cy in pixels of an image of `size`, whose first
            pixel's centre is (0, 0); no skew. Same device as the points.
        camera_to_world: (4, 4), or (F, 4, 4) for F images: x right, y down, z forward. A camera with a singular pose
            (ScanNet writes -inf where tracking was lost) sees no points.
        size: width and height in pixels.
        depth: (H, W), or (F, H, W) for F images, metres, 0 for missing depth. A point is then visible only if this
            depth is within `tolerance` of the point's own depth and in `near` .. `far`. None: no occlusion test.
        near, far: the depth range in metres, both included. Points at depth 0 or behind the camera are never visible.
        tolerance: metres.
        published_frustum: also require that points are inside the frustum of the published multiview projection, which
            excludes more than it should: with 41 x 32 pixels and 0.1 .. 4.0 m, points nearer than 0.68 m, and part of
            the border. Needs near > 0, finite far.

    Returns:
        (N,) int64, or (F, N) if `camera_to_world` is (F, 4, 4): v * width + u, or -1 for a point that is not visible.
        Several points may share a pixel. Not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; the depth range is invalid.

    Source: ProjectionHelper of daveredrum/ScanRefer, after 3D-SIS (Hou et al. 2019) section 4.
    """
    points, intrinsics, camera_to_world = points.detach(), intrinsics.detach(), camera_to_world.detach()
    frames = camera_to_world[None] if camera_to_world.dim() == 2 else camera_to_world
    cameras = (
        intrinsics.expand(len(frames), 3, 3) if intrinsics.dim() == 2 and intrinsics.shape == (3, 3) else intrinsics
    )
    pictures = depth[None] if depth is not None and depth.dim() == 2 else depth
    _check(points, cameras, frames, pictures, size)
    if not 0 <= near <= far or (published_frustum and (near == 0 or math.isinf(far))):
        raise ValueError(f"near, far: expected 0 {'<' if published_frustum else '<='} near <= far, found {near}, {far}")
    # Half a millimetre decides at the borders: as published, invert the poses in their own precision, then round.
    inverse, singular = torch.linalg.inv_ex(frames)
    poses = inverse.float().masked_fill((singular != 0)[:, None, None], torch.nan)
    rows = torch.stack([cameras[:, 0, 0], cameras[:, 1, 1], cameras[:, 0, 2], cameras[:, 1, 2]], 1).float()
    planes = _frustum_planes(rows, frames.float(), size, near, far) if published_frustum else None
    pictures = None if pictures is None else pictures.detach().float()
    near = max(near, torch.finfo(torch.float32).tiny)  # depth 0 means missing depth
    found: Tensor = _operator(points, rows, poses[:, :3], pictures, planes, size[0], size[1], near, far, tolerance)
    return found[0] if camera_to_world.dim() == 2 else found


def _check(points: Tensor, cameras: Tensor, frames: Tensor, pictures: Tensor | None, size: tuple[int, int]) -> None:
    if points.dim() != 2 or points.shape[1] != 3 or points.dtype != torch.float32:
        raise ValueError(f"points: expected (N, 3) float32, found {tuple(points.shape)} {points.dtype}")
    if frames.dim() != 3 or frames.shape[1:] != (4, 4):
        raise ValueError(f"camera_to_world: expected (4, 4) or (F, 4, 4), found {tuple(frames.shape)}")
    if cameras.shape != (len(frames), 3, 3):
        raise ValueError(f"intrinsics: expected (3, 3) or ({len(frames)}, 3, 3), found {tuple(cameras.shape)}")
    if size[0] < 1 or size[1] < 1:
        raise ValueError(f"size: expected a width and a height above 0, found {size}")
    if pictures is not None and pictures.shape != (len(frames), size[1], size[0]):
        raise ValueError(f"depth: expected ({len(frames)}, {size[1]}, {size[0]}), found {tuple(pictures.shape)}")
    for name, tensor in (("camera_to_world", frames), ("intrinsics", cameras), ("depth", pictures)):
        if tensor is not None and (tensor.device != points.device or not tensor.is_floating_point()):
            raise ValueError(
                f"{name}: expected floating point on {points.device} as points, found {tensor.dtype} on {tensor.device}"
            )


def _frustum_planes(
    intrinsics: Tensor, camera_to_world: Tensor, size: tuple[int, int], near: float, far: float
) -> Tensor:
    """Return the published frustum, (F, 6, 2, 3): each plane's outward normal and a point on it; world frame."""
    last_u, last_v = size[0] - 1, size[1] - 1
    corners = intrinsics.new_tensor(
        [[u, v, d] for d in (near, far) for u, v in ((0, 0), (last_u, 0), (last_u, last_v), (0, last_v))]
    )
    u, v, z = corners.unbind(1)
    fx, fy, cx, cy = intrinsics[:, :, None].unbind(1)
    in_camera = torch.stack(
        [z * ((u - cx) / fx), z * ((v - cy) / fy), z.expand(len(intrinsics), 8), torch.ones_like(z * fx)], 2
    )
    in_world = torch.matmul(camera_to_world[:, None], in_camera[..., None])[..., :3, 0]
    a, b, c = (in_world[:, list(indices)] for indices in zip(*_PLANES, strict=True))
    normals = torch.linalg.cross(a - b, c - b)
    return torch.stack([normals, in_world[:, list(_ORIGINS)]], 2)


def _cpu(
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
    found = torch.empty(len(intrinsics), len(points), dtype=torch.int64)
    pictures = torch.empty(0, height * width) if depth is None else depth.flatten(1)
    frustums = torch.empty(0, 6, 2, 3) if planes is None else planes.contiguous()
    arrays = [a.contiguous().numpy() for a in (points, intrinsics, world_to_camera, pictures, frustums)]
    kernel.cpu(*arrays, (width, height), np.array([near, far, tolerance], np.float32), found.numpy())
    return found


def _example() -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, int, int, float, float, float]:
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(300, 3, generator=draw) * 4 - 2
    intrinsics = torch.tensor([[20.0, 20, 9.5, 7.5], [15, 15, 9.5, 7.5]])
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[1, :3, 3] = 0.5
    planes = _frustum_planes(intrinsics, pose, (20, 16), 0.1, 4.0)
    return (
        points,
        intrinsics,
        torch.linalg.inv(pose)[:, :3],
        torch.rand(2, 16, 20, generator=draw) * 2,
        planes,
        20,
        16,
        0.1,
        4.0,
        0.5,
    )


_operator = Operator(
    "points_to_pixels",
    reference=kernel.reference,
    cpu=_cpu,
    cuda=None,
    fake=lambda points, intrinsics, *_: points.new_empty((len(intrinsics), len(points)), dtype=torch.int64),
    example=_example,
)
