from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import paths
from support.tiny_sens import CAMERA, write_tiny
from torch import Tensor

from g3d.data.scannet.frames import Frame, open_frames
from g3d.data.scannet.multiview import (
    CELLS,
    COLOUR_SIZE,
    FAR,
    NEAR,
    FeaturePool,
    View,
    fit_picture,
    fitted_intrinsics,
    make_view,
    pool_views,
    published_intrinsics,
    published_order,
    see_points,
)
from g3d.errors import MissingDataError

REAL = paths.REAL / "rgbd_7scenes"


def flat_view(depth: float = 2.0, published: bool = True) -> View:
    """A wall before a camera at the origin."""
    pictures = np.zeros((256, 328, 3), np.uint8), np.full((32, 41), depth, np.float32)
    return View(*pictures, published_intrinsics(), np.eye(4, dtype=np.float32), published)


def points_at(cells: list[tuple[int, int]], z: float = 2.0) -> Tensor:
    """Points that the flat view sees at (row, column), metres."""
    fx, fy, cx, cy = published_intrinsics()[[0, 1, 0, 1], [0, 1, 2, 2]]
    return torch.tensor(
        [[(column - cx) / fx * z, (row - cy) / fy * z, z] for row, column in cells], dtype=torch.float32
    )


@pytest.mark.parametrize(
    "size", [(1296, 968), (640, 480), (320, 240), (162, 121), (328, 256), (100, 300), (401, 305), (2000, 256)]
)
def test_pictures_are_resized_by_height_and_cut_or_padded_in_width(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    found = fit_picture(picture, COLOUR_SIZE)
    assert found.shape == (256, 328, 3)
    width = 256 * size[0] // size[1]
    resized = np.asarray(Image.fromarray(picture).resize((width, 256), Image.Resampling.NEAREST))
    if width >= 328:
        left = round((width - 328) / 2)
        np.testing.assert_array_equal(found, resized[:, left : left + 328])
    else:
        left = (328 - width) // 2
        np.testing.assert_array_equal(found[:, left : left + width], resized)
        assert not found[:, :left].any()
        assert not found[:, left + width :].any()


def test_the_last_column_of_a_depth_picture_is_lost_to_rounding() -> None:
    depth = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    found = fit_picture(depth, CELLS)
    assert found.dtype == np.float32
    assert found[0, 0] == 7  # of 42 columns, each 15.24 pixels wide, the first
    assert found[0, -1] == 617  # the 41st; the last one would show pixel 632


def test_published_intrinsics() -> None:
    np.testing.assert_allclose(published_intrinsics(), [[37.01983, 0, 20], [0, 38.52470, 15.5], [0, 0, 1]], atol=5e-6)


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (300, 480), (200, 400)])
def test_fitted_intrinsics_follow_the_resized_and_cut_picture(size: tuple[int, int]) -> None:
    camera = np.array([[500.0, 0, size[0] / 2 - 0.5], [0, 510, size[1] / 2 - 0.5], [0, 0, 1]])
    columns = np.tile(np.arange(size[0], dtype=np.float32) + 1, (size[1], 1))
    fitted, cells = fitted_intrinsics(camera, size, CELLS), fit_picture(columns, CELLS)
    seen = cells[0] > 0
    rays = (cells[0][seen] - 1 - camera[0, 2]) / camera[0, 0]
    predicted = fitted[0, 0] * rays + fitted[0, 2]
    assert np.abs(predicted - np.flatnonzero(seen)).max() <= 0.5


def test_points_are_seen_at_their_cells() -> None:
    cells = [(5, 7), (16, 20), (30, 38), (16, 20)]
    found = see_points(points_at(cells), flat_view())
    assert found.tolist() == [row * 41 + column for row, column in cells]
    assert found.dtype == torch.int64


def test_hidden_far_and_near_points_and_lost_cameras_see_nothing() -> None:
    middle = [(16, 20)]
    view = flat_view()
    assert see_points(points_at(middle, 2.04), view) >= 0
    assert see_points(points_at(middle, 2.06), view) == -1  # behind the wall
    assert see_points(points_at(middle, 1.94), view) == -1  # before it
    assert see_points(points_at(middle, -2.0), view) == -1
    assert see_points(points_at(middle, 4.02), flat_view(4.02)) == -1
    assert see_points(points_at(middle), replace(view, depth=np.zeros((32, 41), np.float32))) == -1
    assert see_points(points_at(middle), replace(view, pose=np.full((4, 4), -np.inf, np.float32))) == -1


def test_the_published_frustum_leaves_out_what_is_near() -> None:
    middle = [(16, 20)]
    for z, published in ((0.66, -1), (0.7, 676), (3.99, 676)):
        assert see_points(points_at(middle, z), flat_view(z)) == published
        assert see_points(points_at(middle, z), flat_view(z, published=False)) == 676


def brute_force(pairs: list[list[tuple[int, int]]], features: list[np.ndarray], points: int, mode: str) -> np.ndarray:
    """Pool point by point: skip a zero feature, copy into a zero row, otherwise take the maximum or keep the first."""
    pooled = np.zeros((points, features[0].shape[0]), np.float32)
    for frame, feature in zip(pairs, features, strict=True):
        for point, cell in frame:
            value = feature.reshape(len(feature), -1)[:, cell]
            if not value.any():
                continue
            if not pooled[point].any():
                pooled[point] = value
            elif mode == "max":
                pooled[point] = np.maximum(pooled[point], value)
    return pooled


@pytest.mark.parametrize("mode", ["max", "first"])
@pytest.mark.parametrize("points", [60, 3000])
def test_pooling_equals_the_published_loop_also_with_features_of_zeros(mode: str, points: int) -> None:
    rng = np.random.default_rng(1)
    features = [rng.standard_normal((4, 3, 5)).astype(np.float32) for _ in range(6)]
    features[2] -= 5  # all negative: a maximum with a cell of zeros would be zero
    for feature in features[:5]:
        feature[:, 0] = 0
    pairs = [
        [(point, int(rng.integers(0, 15))) for point in np.flatnonzero(rng.uniform(size=points) < 0.6)]
        for _ in features
    ]
    pool = FeaturePool(points, 4, mode)
    for frame, feature in zip(pairs, features, strict=True):
        cells = torch.full((points,), -1)
        for point, cell in frame:
            cells[point] = cell
        assert pool.add(cells, torch.from_numpy(feature)) == len(frame)
    expected = brute_force(pairs, features, points, mode)
    np.testing.assert_array_equal(pool.features, expected)
    np.testing.assert_array_equal(pool.seen, expected.any(1))


@pytest.mark.parametrize("mode", ["max", "first"])
@pytest.mark.parametrize("zeros_first", [False, True])
def test_a_frame_of_zeros_leaves_negative_features_as_they_are(mode: str, zeros_first: bool) -> None:
    normal = torch.tensor([[[-1.5, 2.0]], [[-0.25, -3.0]]])
    frames = [normal, torch.zeros_like(normal)]
    pool = FeaturePool(3, 2, mode)
    for features in reversed(frames) if zeros_first else frames:
        assert pool.add(torch.tensor([0, 1, -1]), features) == 2
    assert pool.features.tolist() == [[-1.5, -0.25], [2.0, -3.0], [0.0, 0.0]]
    assert pool.seen.tolist() == [True, True, False]


def test_a_maximum_of_zeros_is_replaced_by_the_next_frame() -> None:
    pool = FeaturePool(1, 2)
    for feature in ([0.0, -1.0], [-1.0, 0.0]):
        pool.add(torch.tensor([0]), torch.tensor(feature)[:, None, None])
    assert (pool.features.tolist(), pool.seen.tolist()) == ([[0.0, 0.0]], [False])
    pool.add(torch.tensor([0]), torch.tensor([-2.0, -3.0])[:, None, None])
    assert (pool.features.tolist(), pool.seen.tolist()) == ([[-2.0, -3.0]], [True])


def test_a_frame_that_sees_nothing_changes_nothing_and_half_features_are_taken() -> None:
    pool = FeaturePool(5, 2)
    assert pool.add(torch.full((5,), -1), torch.ones(2, 3, 3)) == 0
    assert not pool.features.any()
    assert pool.add(torch.tensor([-1, 0, -1, -1, 8]), torch.ones(2, 3, 3, dtype=torch.bfloat16)) == 2
    assert pool.features.sum(1).tolist() == [0, 2, 0, 0, 2]
    assert FeaturePool(0, 2).add(torch.empty(0, dtype=torch.int64), torch.ones(2, 3, 3)) == 0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="mode: expected 'max' or 'first', found 'mean'"):
        FeaturePool(5, 2, "mean")
    with pytest.raises(ValueError, match=r"expected \(5,\) and \(2, h, w\), found \(4,\) and \(3, 4, 4\)"):
        FeaturePool(5, 2).add(torch.zeros(4, dtype=torch.int64), torch.ones(3, 4, 4))


def test_frames_are_pooled_from_a_generator() -> None:
    points = points_at([(5, 7), (16, 20)])
    maps = [torch.full((3, 32, 41), value) for value in (1.0, 3.0, 2.0)]
    for mode, expected in (("max", 3), ("first", 1)):
        pool = pool_views(points, ((flat_view(), features) for features in maps), 3, mode)
        assert (pool.features == expected).all()


def test_published_order_is_that_of_strings() -> None:
    assert published_order(["0", "1", "2", "10", "20"]) == ["0", "1", "10", "2", "20"]


def test_views_of_a_stream(tmp_path: Path) -> None:
    with open_frames(write_tiny(tmp_path / "s.sens")) as source:
        frame = source.frame(2)
        view, own = make_view(frame), make_view(frame, published=False)
        assert (view.colour.shape, view.depth.shape) == ((256, 328, 3), (32, 41))
        np.testing.assert_array_equal(view.intrinsics, published_intrinsics())
        np.testing.assert_array_equal(own.intrinsics, fitted_intrinsics(CAMERA[:3, :3], (40, 30), CELLS))
        assert own.intrinsics.dtype == np.float32
        with pytest.raises(MissingDataError, match="no intrinsics"):
            make_view(replace(frame, depth_intrinsics=None), published=False)
        make_view(replace(frame, depth_intrinsics=None))


def backproject(view: View) -> tuple[np.ndarray, np.ndarray]:
    """World points of all cells with depth in range, and the cells."""
    rows, columns = np.nonzero((view.depth > NEAR) & (view.depth < FAR))
    z = view.depth[rows, columns].astype(np.float64)
    camera = view.intrinsics.astype(np.float64)
    rays = np.stack([(columns - camera[0, 2]) / camera[0, 0], (rows - camera[1, 2]) / camera[1, 1], np.ones(len(z))], 1)
    world = (rays * z[:, None]) @ view.pose[:3, :3].T.astype(np.float64) + view.pose[:3, 3]
    return world.astype(np.float32), rows * 41 + columns


@pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not here")
def test_points_of_real_depth_land_on_their_own_cells() -> None:
    with open_frames(REAL) as source:
        frames: list[Frame] = [source.frame(i) for i in range(len(source))]
        for frame in frames:
            view = make_view(frame, published=False)
            points, cells = backproject(view)
            assert len(points) > 800
            np.testing.assert_array_equal(see_points(torch.from_numpy(points), view), cells)
            published = make_view(frame)
            points, cells = backproject(published)
            found = see_points(torch.from_numpy(points), published).numpy()
            assert ((found == cells) | (found == -1)).all()
            assert (found == cells).mean() > 0.8  # the frustum leaves out what is near and at the border
