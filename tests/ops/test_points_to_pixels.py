"""Projection of points: the kernel gives the oracle's and the published pixels, and each rule has its own test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import SHARED
from torch import Tensor

from g3d.kernels.points_to_pixels import reference
from g3d.ops import points_to_pixels as module
from g3d.ops.points_to_pixels import points_to_pixels

CASE = SHARED / "golden" / "ws3dvg" / "multiview_projection.npz"
CAMERA = torch.tensor([[10.0, 0, 4], [0, 10, 3], [0, 0, 1]])  # 9 x 7 pixels
SIZE = (9, 7)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn(points: int, frames: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points around cameras that are turned and moved at random: points, intrinsics, camera_to_world, depth of 9 x 7
    pixels."""
    draw = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(frames, 3, 3, generator=draw)).Q
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, :3, :3], poses[:, :3, 3] = turn, torch.randn(frames, 3, generator=draw)
    cameras = CAMERA + torch.rand(frames, 3, 3, generator=draw)
    return torch.randn(points, 3, generator=draw) * 3, cameras, poses, torch.rand(frames, 7, 9, generator=draw) * 4


@pytest.mark.parametrize(
    "options", [{}, {"near": 0.5, "far": 3.0}, {"near": 0.1, "far": 4.0, "published_frustum": True}]
)
@pytest.mark.parametrize("occluded", [True, False])
@pytest.mark.parametrize(("points", "frames"), [(20000, 3), (1, 1), (0, 2), (50, 0)])
def test_equals_oracle(
    device: str, options: dict[str, Any], occluded: bool, points: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, cameras, poses, depth = (a.to(device) for a in drawn(points, frames))
    arguments = (cloud, cameras, poses, SIZE, depth if occluded else None)
    found = points_to_pixels(*arguments, tolerance=0.5, **options)
    monkeypatch.setenv("G3D_KERNELS", "reference")
    assert found.shape == (frames, points)
    assert torch.equal(found, points_to_pixels(*arguments, tolerance=0.5, **options))
    if points > 1000:
        assert (found >= 0).sum() > 50


def test_real_scan_equals_oracle(
    device: str, real_scan: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the middle of the room in four directions. The depth is the nearest vertex's, so each pixel still sees one
    at least."""
    points, poses = real_scan[0].to(device), torch.eye(4).repeat(4, 1, 1)
    quarter, ahead = (
        torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    )
    for k in range(4):
        poses[k, :3, :3] = torch.linalg.matrix_power(quarter, k) @ ahead
        poses[k, :3, 3] = real_scan[0].mean(0)
    camera, poses, size = (
        torch.tensor([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]).to(device),
        poses.to(device),
        (64, 48),
    )
    whole = points_to_pixels(points, camera, poses, size, near=0.3)
    z = torch.stack([(points - pose[:3, 3]) @ pose[:3, 2] for pose in poses]).masked_fill(whole < 0, torch.inf)
    depth = z.new_full((4, 48 * 64), torch.inf).scatter_reduce(1, whole.clamp(min=0), z, "amin").view(4, 48, 64)
    near = points_to_pixels(points, camera, poses, size, depth, near=0.3)
    assert ((near == whole) | (near == -1)).all()
    for all_seen, seen in zip(whole, near, strict=True):
        assert torch.equal(all_seen[all_seen >= 0].unique(), seen[seen >= 0].unique())
    monkeypatch.setenv("G3D_KERNELS", "reference")
    assert torch.equal(whole, points_to_pixels(points, camera, poses, size, near=0.3))
    assert torch.equal(near, points_to_pixels(points, camera, poses, size, depth, near=0.3))


def test_as_the_published_projection() -> None:
    """ws3dvg's multiview_projection: ProjectionHelper of daveredrum/ScanRefer on 6 pictures of 41 x 32 pixels."""
    if not CASE.is_file():
        pytest.skip("the published results are not here")
    with np.load(CASE) as case:
        points, depth, poses, camera = (
            torch.from_numpy(case[f"in.{name}"]) for name in ("points", "depth", "pose", "intrinsic")
        )
        found = points_to_pixels(
            points, camera[:3, :3], poses, (41, 32), depth, near=0.1, far=4.0, published_frustum=True
        )
        frame, point = (found >= 0).nonzero(as_tuple=True)
        assert frame.bincount(minlength=6).tolist() == case["out.counts"].tolist()
        assert point.tolist() == case["out.point_index"].tolist()
        assert found[frame, point].tolist() == case["out.pixel_index"].tolist()
    whole = points_to_pixels(points, camera[:3, :3], poses, (41, 32), depth, near=0.1, far=4.0)
    assert torch.equal(
        whole[frame, point], found[frame, point]
    )  # without the published frustum the same pixels, and more of them
    assert (whole >= 0).sum() > len(point)


def at(*rows: list[float], **options: Any) -> list[int]:
    return points_to_pixels(torch.tensor(rows), CAMERA, torch.eye(4), SIZE, **options).tolist()


def test_pixels_are_numbered_by_rows_and_centred_on_integers() -> None:
    assert at([0, 0, 2.0], [0.2, 0, 2], [0, 0.2, 2], [0.08, 0, 2], [0.12, 0, 2]) == [31, 32, 40, 31, 32]


def test_halves_round_to_the_even_pixel() -> None:
    assert at([0.5, 0, 10.0], [1.5, 0, 10], [-0.5, 0, 10]) == [31, 33, 31]


def test_borders_are_half_a_pixel_out() -> None:
    assert at([-0.9, 0, 2.0], [-0.91, 0, 2], [0.89, 0, 2], [0.91, 0, 2], [0, 0.69, 2], [0, 0.71, 2]) == [
        27,
        -1,
        35,
        -1,
        58,
        -1,
    ]


def test_what_lies_behind_or_at_the_camera_is_not_seen() -> None:
    assert at([0, 0, -2.0], [0, 0, 0], [1, 0, 0]) == [-1, -1, -1]


def test_depth_range_includes_its_ends() -> None:
    assert at([0, 0, 0.5], [0, 0, 4.0], [0, 0, 0.49], [0, 0, 4.01], near=0.5, far=4.0) == [31, 31, -1, -1]


def test_a_point_is_seen_where_the_depth_is_its_own() -> None:
    depth = torch.full((7, 9), 2.0)
    depth[0] = 0
    assert at([0, 0, 2.0], [0, 0, 1.96], [0, 0, 2.04], [0, 0, 1.9], [0, 0, 2.1], depth=depth) == [31, 31, 31, -1, -1]
    assert at([0, -0.6, 2.0], [0, -0.003, 0.01], depth=depth) == [-1, -1]  # no depth there, however near the point
    assert at([0, 0, 2.0], depth=depth, near=2.1) == [-1]


def test_poses_are_camera_to_world() -> None:
    pose = torch.tensor([[0.0, 0, 1, 5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # looks along x from x = 5
    assert points_to_pixels(torch.tensor([[7.0, 0, 0], [3, 0, 0], [7, 0.2, 0]]), CAMERA, pose, SIZE).tolist() == [
        31,
        -1,
        32,
    ]


@pytest.mark.parametrize("pose", [torch.full((4, 4), -torch.inf), torch.full((4, 4), torch.nan), torch.zeros(4, 4)])
@pytest.mark.parametrize("options", [{}, {"near": 0.1, "far": 4.0, "published_frustum": True}])
def test_a_pose_that_is_none_sees_nothing(pose: Tensor, options: dict[str, Any]) -> None:
    points = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    assert points_to_pixels(points, CAMERA, pose, SIZE, **options).unique().tolist() == [-1]


def test_points_that_are_not_finite_are_not_seen() -> None:
    assert at([torch.nan, 0, 2.0], [0, torch.inf, 2], [0, 0, torch.inf], [0, 0, torch.nan]) == [-1] * 4


def test_published_frustum_leaves_out_what_is_near() -> None:
    camera, options = torch.tensor([[37.01983, 0, 20], [0, 38.5247, 15.5], [0, 0, 1]]), {"near": 0.1, "far": 4.0}
    axis = torch.tensor([[0, 0, 0.1], [0, 0, 0.67], [0, 0, 0.68], [0, 0, 3.999], [0, 0, 4.0]])
    whole = points_to_pixels(axis, camera, torch.eye(4), (41, 32), **options)
    inside = points_to_pixels(axis, camera, torch.eye(4), (41, 32), published_frustum=True, **options)
    assert whole.tolist() == [676] * 5
    assert inside.tolist() == [-1, -1, 676, 676, -1]


def test_one_picture_is_one_of_several() -> None:
    cloud, cameras, poses, depth = drawn(3000, 3)
    several = points_to_pixels(cloud, cameras, poses, SIZE, depth)
    for frame in range(3):
        assert torch.equal(
            points_to_pixels(cloud, cameras[frame : frame + 1], poses[frame], SIZE, depth[frame]), several[frame]
        )
    assert torch.equal(points_to_pixels(cloud, CAMERA, poses, SIZE)[1], points_to_pixels(cloud, CAMERA, poses[1], SIZE))


def test_threads_and_strides_change_nothing() -> None:
    cloud, cameras, poses, depth = drawn(20000, 2)
    before, found = torch.get_num_threads(), points_to_pixels(cloud, cameras, poses, SIZE, depth)
    torch.set_num_threads(3)
    again = points_to_pixels(cloud.T.contiguous().T, cameras.mT.contiguous().mT, poses, SIZE, depth.mT.contiguous().mT)
    torch.set_num_threads(before)
    assert torch.equal(found, again)


def test_pixels_of_a_large_picture_keep_their_number(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 has no whole numbers between 2^24 and 2^24 + 2."""
    camera = torch.tensor([[1000.0, 0, 2500], [0, 1000, 2500], [0, 0, 1]], device=device)
    points = torch.tensor([[2.0, 2, 1], [2.001, 2, 1]], device=device)
    for choice in ("auto", "reference"):
        monkeypatch.setenv("G3D_KERNELS", choice)
        found = points_to_pixels(points, camera, torch.eye(4, device=device), (5000, 5000))
        assert found.tolist() == [4500 * 5000 + 4500, 4500 * 5000 + 4501]


def test_points_and_cameras_may_require_gradients() -> None:
    points, camera, pose = torch.rand(5, 3) + 1, CAMERA.clone(), torch.eye(4)
    expected = points_to_pixels(points, camera, pose, SIZE)
    assert torch.equal(
        points_to_pixels(points.requires_grad_(), camera.requires_grad_(), pose.requires_grad_(), SIZE), expected
    )


def test_bad_arguments_are_named() -> None:
    points, pose = torch.zeros(4, 3), torch.eye(4)
    with pytest.raises(ValueError, match=r"points: expected \(N, 3\) float32, found \(4, 3\) torch.float64"):
        points_to_pixels(points.double(), CAMERA, pose, SIZE)
    with pytest.raises(ValueError, match=r"camera_to_world: expected \(4, 4\) or \(F, 4, 4\), found \(1, 3, 4\)"):
        points_to_pixels(points, CAMERA, pose[:3], SIZE)
    with pytest.raises(ValueError, match=r"intrinsics: expected \(3, 3\) or \(1, 3, 3\), found \(4, 4\)"):
        points_to_pixels(points, pose, pose, SIZE)
    with pytest.raises(ValueError, match=r"depth: expected \(1, 7, 9\), found \(1, 9, 7\)"):
        points_to_pixels(points, CAMERA, pose, SIZE, torch.zeros(9, 7))
    with pytest.raises(ValueError, match=r"depth: expected floating point on cpu as points, found torch\.int16 on cpu"):
        points_to_pixels(points, CAMERA, pose, SIZE, torch.zeros(7, 9, dtype=torch.int16))
    with pytest.raises(ValueError, match=r"near, far: expected 0 <= near <= far, found 2\.0, 1\.0"):
        points_to_pixels(points, CAMERA, pose, SIZE, near=2.0, far=1.0)
    with pytest.raises(ValueError, match=r"near, far: expected 0 < near <= far, found 0\.0, inf"):
        points_to_pixels(points, CAMERA, pose, SIZE, published_frustum=True)
    with pytest.raises(ValueError, match="size: expected a width and a height above 0"):
        points_to_pixels(points, CAMERA, pose, (0, 5))


def test_registration() -> None:
    example = module._example()
    torch.library.opcheck(torch.ops.g3d.points_to_pixels, example)
    torch.library.opcheck(torch.ops.g3d.points_to_pixels, (*example[:3], None, None, *example[5:]))
    assert torch.equal(module._operator(*example), reference(*example))
