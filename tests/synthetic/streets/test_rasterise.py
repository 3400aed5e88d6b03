"""The rasteriser against rays, and the rules of its coverage."""

import numpy as np
import pytest

from g3d.geometry.cameras import project as project_points
from g3d.kernels import rasterise

CAMERA = np.array([[40.0, 0, 31, 2.5], [0, 40, 19, -0.02], [0, 0, 1, 0.0027]])
SIZE = (64, 40)


def draw(triangles: np.ndarray, samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
    index = np.full((SIZE[1] * samples, SIZE[0] * samples), rasterise.NOTHING, np.int32)
    inverse_depth = np.zeros(index.shape, np.float32)
    screen, source = rasterise.project(triangles, CAMERA, 0.1)
    rasterise.draw(screen, source, samples, inverse_depth, index)
    return inverse_depth, index


def coverage(triangle: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    screen, _ = rasterise.project(triangle[None], CAMERA, 0.1)
    rasterise.cover(screen, (0.0, 0.0), (1.0, 1.0), mask, 1)
    return mask


@pytest.mark.parametrize("samples", [1, 2])
def test_every_sample_shows_the_triangle_that_its_ray_meets_first(samples: int) -> None:
    rng = np.random.default_rng(0)
    triangles = rng.uniform((-6, -4, 1), (6, 4, 14), (30, 1, 3)) + rng.normal(0, 2.0, (30, 3, 3))
    triangles[:3, 0, 2] = -2.0  # a corner behind the camera: clipped
    inverse_depth, index = draw(triangles, samples)
    expected_depth, expected = rasterise.reference(triangles, CAMERA, SIZE, samples, near=0.1)
    assert (expected >= 0).mean() > 0.5
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(inverse_depth, expected_depth, rtol=1e-6)


def test_triangles_that_share_an_edge_leave_no_gap_and_no_overlap() -> None:
    rng = np.random.default_rng(1)
    turn = 2 * np.pi * np.arange(6) / 6 + 0.2
    rim = np.stack(
        [3.3 * np.cos(turn), 2.3 * np.sin(turn), 6 + 0.8 * np.cos(turn)], -1
    )  # flat, so convex on the screen too
    pixels = project_points(rim, CAMERA)
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    along = np.roll(pixels, -1, 0) - pixels
    inside = np.all(
        [a[0] * (rows - p[1]) - a[1] * (columns - p[0]) > 0 for p, a in zip(pixels, along, strict=True)], axis=0
    )
    for _ in range(20):
        hub = rng.uniform((-0.8, -0.8, 5.2), (0.8, 0.8, 6.8))
        covered = sum(coverage(np.array([hub, rim[k], rim[(k + 1) % 6]])).astype(int) for k in range(6))
        assert covered.max() == 1
        np.testing.assert_array_equal(covered.astype(bool), inside)


def test_of_two_equally_near_triangles_the_first_is_kept() -> None:
    triangle = np.array([[-2.0, -1, 5], [2, -1, 5], [0, 2, 5]])
    _, index = draw(np.stack([triangle, triangle]))
    assert set(np.unique(index)) == {-1, 0}


def test_what_lies_wholly_behind_the_camera_is_not_drawn() -> None:
    screen, source = rasterise.project(np.array([[[-2.0, -1, -5], [2, -1, -5], [0, 2, -5]]]), CAMERA, 0.1)
    assert len(screen) == len(source) == 0


def test_extent_is_that_of_the_part_inside_the_window() -> None:
    screen = np.array([[[10.0, 10, 1], [50, 10, 1], [10, 30, 1]]])
    assert rasterise.extent(screen, (0.0, 0.0, 100.0, 100.0)) == (10, 10, 50, 30)
    assert rasterise.extent(screen, (0.0, 0.0, 30.0, 100.0)) == (10, 10, 30, 30)
    assert rasterise.extent(screen, (20.0, 0.0, 100.0, 100.0)) == (20, 10, 50, 25)
    left, _, right, _ = rasterise.extent(screen, (60.0, 0.0, 100.0, 100.0))
    assert left > right
