"""Features of pictures on points: the published sums computed the long way, the two mappings, superpoints, and a real
frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import SHARED
from torch import Tensor

from g3d.data.images.depth_image import to_metres
from g3d.data.scannet.sens import SensFile
from g3d.nn.lift_features import GridOnDepth, PointFeatures, SuperpointFeatures, find_hits, grid_on_depth
from g3d.nn.patch_encoder import PatchLayout

REAL = SHARED / "data" / "real" / "rgbd_7scenes"
SIZE = (32, 24)
CAMERA = torch.tensor([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])
WHOLE = PatchLayout(3, 4, (0, 0, 64, 48), (64, 48))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn(device: str, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A wavy wall with points on it, a camera before it: points (N, 3), depth (24, 32) with holes, pose."""
    draw = torch.Generator().manual_seed(seed)
    v, u = torch.meshgrid(torch.arange(SIZE[1]), torch.arange(SIZE[0]), indexing="ij")
    depth = 1 + 0.1 * torch.sin(u / 4 + seed) + 0.05 * v / 24
    depth[torch.rand(depth.shape, generator=draw) < 0.1] = 0
    depth[0, 0], depth[0, 1], depth[5, 5] = 25, torch.nan, -1
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(7)))[0]
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, torch.tensor([0.3, -0.2, 0.5])
    rays = torch.stack([(u - 15.5) / 30, (v - 11.5) / 30, torch.ones_like(u)], 2).reshape(-1, 3)
    on_wall = rays * (1 + 0.1 * torch.sin(u / 4)).reshape(-1, 1)
    points = on_wall[torch.randperm(len(on_wall), generator=draw)[:500]] + 0.01 * torch.randn(500, 3, generator=draw)
    return (points @ turn.T + pose[:3, 3]).to(device), depth.to(device), pose.to(device)


def the_long_way(
    points: Tensor, depth: Tensor, pose: Tensor, grid: GridOnDepth, tokens: Tensor, radius: float, most: int
) -> tuple[Tensor, Tensor]:
    """Sums and counts, pixel by pixel, from features interpolated to every pixel."""
    channels = tokens.shape[2]
    v, u = torch.meshgrid(torch.arange(SIZE[1]), torch.arange(SIZE[0]), indexing="ij")
    where = torch.stack([u * grid.scale[0] + grid.shift[0], v * grid.scale[1] + grid.shift[1]], 2)
    span = torch.tensor([grid.columns, grid.rows])
    normalised = (2 * where + 1) / span - 1
    features = F.grid_sample(
        tokens.permute(2, 0, 1)[None], normalised[None].float(), padding_mode="border", align_corners=False
    )[0]
    sums, counts = torch.zeros(len(points), channels), torch.zeros(len(points), dtype=torch.int64)
    for row in range(SIZE[1]):
        for column in range(SIZE[0]):
            z, place = depth[row, column].double(), where[row, column]
            if not (0 < z < 20) or (place < -0.5).any() or (place >= span - 0.5).any():
                continue
            local = torch.stack([(column - 15.5) * z / 30, (row - 11.5) * z / 30, z])
            centre = (pose[:3, :3].double() @ local + pose[:3, 3]).float()
            near = (((points - centre) ** 2).sum(1) < torch.tensor(radius) ** 2).nonzero()[:most, 0]
            sums[near] += features[:, row, column]
            counts[near] += 1
    return sums, counts


@pytest.mark.parametrize("mapping", ["stretched", "cropped"])
@pytest.mark.parametrize(("radius", "most"), [(0.04, 25), (0.1, 3)])
def test_sums_are_those_of_every_pixel_and_point(device: str, mapping, radius: float, most: int) -> None:
    layout = PatchLayout(3, 4, (8.0, -2.0, 60.0, 50.0), (64, 48))
    grid = grid_on_depth(layout, SIZE, mapping)
    features = PointFeatures(500, 5, device)
    sums, counts = torch.zeros(500, 5), torch.zeros(500, dtype=torch.int64)
    for frame in range(2):
        points, depth, pose = drawn(device, frame)
        points = drawn(device)[0]
        tokens = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(frame))
        features.add(
            find_hits(points, depth, CAMERA.to(device), pose, grid, radius=radius, most=most), tokens.to(device)
        )
        more = the_long_way(points.cpu(), depth.cpu(), pose.cpu(), grid, tokens, radius, most)
        sums, counts = sums + more[0], counts + more[1]
    assert counts.max() > 3
    assert (counts == 0).any()
    assert torch.equal(features.counts.cpu(), counts)
    torch.testing.assert_close(features.sums.cpu(), sums, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.means().cpu(), sums / counts.clamp(min=1)[:, None], rtol=1e-4, atol=1e-4)
    assert (features.means()[counts.to(device) == 0] == 0).all()


def test_stretched_is_bilinear_upsampling_of_the_grid_to_the_depth_picture() -> None:
    grid = grid_on_depth(PatchLayout(3, 4, (9, 0, 55, 48), (64, 48)), SIZE, "stretched")
    tokens = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    depth = torch.full((SIZE[1], SIZE[0]), 2.0)
    v, u = torch.meshgrid(torch.arange(SIZE[1]), torch.arange(SIZE[0]), indexing="ij")
    points = torch.stack([(u - 15.5) * 2 / 30, (v - 11.5) * 2 / 30, depth], 2).reshape(-1, 3)
    features = PointFeatures(len(points), 2)
    features.add(find_hits(points, depth, CAMERA, torch.eye(4), grid, radius=0.01), tokens)
    expected = F.interpolate(tokens.permute(2, 0, 1)[None], (SIZE[1], SIZE[0]), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(features.means(), expected.flatten(1).T, rtol=1e-5, atol=1e-5)


def test_pixels_beyond_the_crop_give_nothing() -> None:
    points, depth, pose = drawn("cpu")
    grid = grid_on_depth(PatchLayout(3, 3, (8, 0, 56, 48), (64, 48)), SIZE)
    columns = find_hits(points, depth, CAMERA, pose, grid).pixels % SIZE[0]
    assert (int(columns.min()), int(columns.max())) == (4, 27)
    whole = grid_on_depth(WHOLE, SIZE)
    assert len(find_hits(points, depth, CAMERA, pose, whole).pixels) == ((depth > 0) & (depth < 20)).sum()


def test_without_a_crop_the_mappings_agree() -> None:
    cropped, stretched = (grid_on_depth(WHOLE, SIZE, mapping) for mapping in ("cropped", "stretched"))
    np.testing.assert_allclose([*cropped.scale, *cropped.shift], [*stretched.scale, *stretched.shift], atol=1e-12)


def test_a_colour_camera_of_its_own_is_looked_through() -> None:
    """The ray of a depth pixel meets the image where the colour camera projects it, whatever its depth."""
    depth_camera, colour = torch.diag(torch.tensor([30.0, 31, 1])), torch.diag(torch.tensor([70.0, 65, 1]))
    depth_camera[:2, 2], colour[:2, 2] = torch.tensor([15.0, 11]), torch.tensor([33.0, 22])
    layout = PatchLayout(3, 4, (10, 0, 58, 48), (64, 48))
    grid = grid_on_depth(layout, SIZE, intrinsics=(depth_camera, colour))
    ray = torch.linalg.inv(depth_camera) @ torch.tensor([20.0, 7, 1])
    x, y = ((colour @ ray)[:2] + 0.5).tolist()
    assert 20 * grid.scale[0] + grid.shift[0] == pytest.approx((x - 10) / 48 * 4 - 0.5, abs=1e-5)
    assert 7 * grid.scale[1] + grid.shift[1] == pytest.approx(y / 48 * 3 - 0.5, abs=1e-5)


@pytest.mark.parametrize("unseen", ["zero", "skip"])
def test_superpoints_have_the_mean_of_their_points_in_one_pass_or_two(device: str, unseen) -> None:
    grid = grid_on_depth(WHOLE, SIZE)
    superpoints = torch.randint(0, 11, (500,), generator=torch.Generator().manual_seed(1)).to(device)
    frames = [
        (find_hits(drawn(device)[0], *_order(drawn(device, frame)), grid), torch.randn(3, 4, 70).to(device))
        for frame in range(3)
    ]
    features, counts = PointFeatures(500, 70, device), sum(hits.counts(500) for hits, _ in frames)
    in_two = SuperpointFeatures(superpoints, counts, 12, 70, unseen)
    for hits, tokens in frames:
        features.add(hits, tokens)
        in_two.add(hits, tokens)
    assert torch.equal(features.counts, counts)
    means = features.means()
    for superpoint in range(12):
        members = superpoints == superpoint
        members &= (features.counts > 0) if unseen == "skip" else members
        expected = means[members].mean(0) if members.any() else torch.zeros(70, device=device)
        torch.testing.assert_close(
            features.superpoint_means(superpoints, 12, unseen)[superpoint], expected, rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(in_two.means[superpoint], expected, rtol=1e-4, atol=1e-5)


def _order(scene: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return scene[1], CAMERA.to(scene[1].device), scene[2]


def test_the_first_points_in_index_order_take_a_feature() -> None:
    points = torch.tensor([[0.0, 0, 1.03], [0, 0, 5], [0, 0, 1.0], [0, 0, 1.01], [0, 0, 1.05]])
    depth = torch.zeros(SIZE[1], SIZE[0])
    depth[12, 16] = 1
    camera = torch.tensor([[1e4, 0, 16], [0, 1e4, 12], [0, 0, 1]])
    hits = find_hits(points, depth, camera, torch.eye(4), grid_on_depth(WHOLE, SIZE), most=2)
    assert hits.pixels.tolist() == [12 * SIZE[0] + 16]
    assert hits.points.tolist() == [[0, 2]]
    assert find_hits(points, depth, camera, torch.eye(4), grid_on_depth(WHOLE, SIZE), most=6).points.tolist() == [
        [0, 2, 3, -1, -1, -1]
    ]


def test_a_picture_without_depth_adds_nothing(device: str) -> None:
    points, depth, pose = drawn(device)
    hits = find_hits(points, torch.zeros_like(depth), CAMERA.to(device), pose, grid_on_depth(WHOLE, SIZE))
    features = PointFeatures(500, 2, device)
    features.add(hits, torch.ones(3, 4, 2, device=device))
    assert not features.counts.any()
    assert not features.means().any()


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    points, depth, pose = drawn("cpu")
    before, results = torch.get_num_threads(), []
    for number in (1, 2, 5):
        torch.set_num_threads(number)
        features = PointFeatures(500, 33)
        features.add(
            find_hits(points, depth, CAMERA, pose, grid_on_depth(WHOLE, SIZE)),
            torch.arange(3 * 4 * 33.0).sin().view(3, 4, 33),
        )
        results.append(features.sums)
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_wrong_arguments_are_named() -> None:
    points, depth, pose = drawn("cpu")
    grid = grid_on_depth(WHOLE, SIZE)
    with pytest.raises(ValueError, match=r"depth: expected \(24, 32\) floating point, found \(32, 24\)"):
        find_hits(points, depth.T, CAMERA, pose, grid)
    with pytest.raises(ValueError, match=r"intrinsics: expected \(3, 3\) or \(4, 4\), found \(2, 2\)"):
        find_hits(points, depth, CAMERA[:2, :2], pose, grid)
    with pytest.raises(ValueError, match=r"camera_to_world: expected .* finite"):
        find_hits(points, depth, CAMERA, torch.full((4, 4), -torch.inf), grid)
    with pytest.raises(ValueError, match="mapping: expected cropped or stretched, found 'wide'"):
        grid_on_depth(WHOLE, SIZE, "wide")  # type: ignore[arg-type]
    features = PointFeatures(500, 2)
    with pytest.raises(ValueError, match=r"tokens: expected \(3, 4, 2\), found \(4, 3, 2\)"):
        features.add(find_hits(points, depth, CAMERA, pose, grid), torch.zeros(4, 3, 2))
    superpoints = torch.zeros(500, dtype=torch.int64)
    with pytest.raises(ValueError, match="unseen: expected zero or skip, found 'none'"):
        features.superpoint_means(superpoints, 1, "none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"superpoints: expected \(500,\) int64, found \(3,\)"):
        features.superpoint_means(superpoints[:3], 1)


class CoordinateEncoder:
    """Stands in for a network: every feature is the pixel of the image at the middle of its patch, x and y."""

    channels = 2

    def layout(self, width: int, height: int) -> PatchLayout:
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return PatchLayout(24, 24, (left, top, left + side, top + side), (width, height))

    def encode(self, images: np.ndarray) -> Tensor:
        layout = self.layout(images.shape[2], images.shape[1])
        left, top, right, bottom = layout.crop
        middle = (torch.arange(24) + 0.5) / 24
        x, y = left + middle * (right - left) - 0.5, top + middle * (bottom - top) - 0.5
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), 2).expand(len(images), 24, 24, 2)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real RGB-D frames are not here")
def test_points_of_a_real_frame_receive_the_feature_of_their_own_pixel() -> None:
    with SensFile.open(REAL / "seven_scenes_8frames.sens") as stream:
        depth = torch.from_numpy(to_metres(stream.depth(3), stream.header.depth_shift))
        camera, pose = torch.from_numpy(stream.header.depth_intrinsic.copy()), torch.from_numpy(stream.pose(3).copy())
        image = stream.colour(3)
    encoder = CoordinateEncoder()
    tokens, layout = encoder.encode(image[None])[0], encoder.layout(640, 480)
    every = grid_on_depth(PatchLayout(1, 1, (0, 0, 640, 480), (640, 480)), (640, 480))
    pixels = find_hits(torch.zeros(1, 3), depth, camera, pose, every).pixels
    assert len(pixels) > 200_000
    pixels = pixels[::23]
    u, v = pixels % 640, pixels // 640
    z = depth.flatten()[pixels].double()
    local = torch.stack([(u - camera[0, 2]) * z / camera[0, 0], (v - camera[1, 2]) * z / camera[1, 1], z], 1)
    points = (local @ pose[:3, :3].double().T + pose[:3, 3]).float()

    # Within a hundredth of a millimetre there is the own pixel alone; a grid is linear between the middles of its
    # outermost cells.
    means = _means(points, depth, camera, pose, grid_on_depth(layout, (640, 480)), tokens, 1e-5)
    inside = (u >= 90) & (u < 550) & (v >= 10) & (v < 470)
    assert (means[inside] - torch.stack([u, v], 1)[inside]).abs().max() < 0.01
    assert not means[(u < 80) | (u >= 560)].any()
    stretched = _means(points, depth, camera, pose, grid_on_depth(layout, (640, 480), "stretched"), tokens, 1e-5)
    shown = torch.stack(
        [80 + (u + 0.5) * 480 / 640 - 0.5, v], 1
    )  # the quirk: the crop's columns over the whole picture
    inside = (u >= 14) & (u < 626) & (v >= 10) & (v < 470)
    assert (stretched[inside] - shown[inside]).abs().max() < 0.01

    # With the published radius a point has the mean of the pixels around it, which lie no farther than the radius
    # projects.
    few = ((u >= 200) & (u < 440) & (v >= 120) & (v < 360)).nonzero()[:, 0]
    means = _means(points[few], depth, camera, pose, grid_on_depth(layout, (640, 480)), tokens, 0.04)
    away = (means - torch.stack([u, v], 1)[few]).norm(dim=1)
    assert (away < 1.1 * 0.04 * camera[0, 0] / (z[few] - 0.04)).all()
    assert away.median() < 3


def _means(
    points: Tensor, depth: Tensor, camera: Tensor, pose: Tensor, grid: GridOnDepth, tokens: Tensor, radius: float
) -> Tensor:
    features = PointFeatures(len(points), 2)
    features.add(find_hits(points, depth, camera, pose, grid, radius=radius), tokens)
    return features.means()
