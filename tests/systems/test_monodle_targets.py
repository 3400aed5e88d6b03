"""Encoding and decoding: rules that no parity case isolates, and that one undoes the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g3d.data.images.augment import draw_augmentation, no_augmentation
from g3d.data.images.image import affine_from_crop, apply_affine, invert_affine
from g3d.data.kitti.object_depth import depth_rectangles
from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import box_corners, wrap_angle
from g3d.geometry.cameras import project
from g3d.geometry.heading import HEADING_BINS
from g3d.systems.monodle.config import AugmentConfig, DataConfig
from g3d.systems.monodle.decode import decode, objects_from_rows
from g3d.systems.monodle.model import ObjectValues, Peaks
from g3d.systems.monodle.targets import (
    MEAN_SIZES,
    Targets,
    encode,
    gaussian_radius,
)

CAMERA = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.22], [0, 0, 1, 0.0027]])
SIZE = (1242, 375)


def cars(*places: tuple[float, float], yaw: float = 0.4, name: str = "Car") -> CameraBoxes:
    """Cars on the ground at (x, z)."""
    count = len(places)
    locations = np.array([[x, 1.7, z] for x, z in places])
    sizes, yaws = np.tile([1.5, 1.6, 3.9], (count, 1)), np.full(count, yaw)
    corners = project(box_corners(locations, sizes, yaws), CAMERA)
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    alpha = wrap_angle(yaws - np.arctan2(locations[:, 0], locations[:, 2]))
    return CameraBoxes(
        np.array([name] * count), boxes, sizes, locations, yaws, alpha, np.zeros(count), np.zeros(count, np.int64)
    )


def encoded(objects: CameraBoxes, **settings: object) -> Targets:
    return encode(
        objects, CAMERA, SIZE, no_augmentation(SIZE), DataConfig(**settings), rectangles=depth_rectangles(objects)
    )


@pytest.mark.parametrize(
    ("width", "height", "radius"), [(20, 10, 3), (80, 50, 16), (5, 3, 1), (150, 40, 17), (0.1, 0.1, 0)]
)
def test_gaussian_radius_is_the_published_one(width: float, height: float, radius: int) -> None:
    assert gaussian_radius(width, height) == radius


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"occluded": np.array([3])}, False),  # no level
        ({"truncated": np.array([0.6])}, False),
        ({"classes": np.array(["Van"])}, False),
        ({"locations": np.array([[0.0, 1.7, 1.9]])}, False),
        ({"locations": np.array([[0.0, 1.7, 65.1]])}, False),
        ({"locations": np.array([[30.0, 1.7, 10.0]])}, False),  # projected centre beyond the map
        ({"boxes2d": np.array([[600.0, 180, 640, 203.9]])}, False),  # 24.9 pixels high, counting both rows
        ({"boxes2d": np.array([[600.0, 180, 640, 204.0]])}, True),
    ],
)
def test_which_objects_are_learnt(change: dict, kept: bool) -> None:
    targets = encoded(replace(cars((0.0, 20.0)), **change))
    assert bool(targets.mask_2d[0]) is kept
    assert bool(targets.heatmap.eq(1).any()) is kept


def test_slot_is_the_label_line_and_lines_beyond_the_last_slot_are_dropped() -> None:
    three = cars((-3.0, 20.0), (0.0, 25.0), (3.0, 30.0))
    three = replace(three, classes=np.array(["Car", "DontCare", "Car"]))
    targets = encoded(three, max_objects=2)
    assert targets.mask_2d.tolist() == [True, False]
    assert targets.depth.tolist() == [20.0, 0.0]


def test_merged_classes_draw_into_the_heatmap_only() -> None:
    van = cars((0.0, 20.0), name="Van")
    targets = encoded(van, class_merging=True)
    assert targets.heatmap[1].max() == 1
    assert not targets.mask_2d.any()


def test_labels_at_depth_zero_do_no_harm() -> None:
    with np.errstate(all="raise"):
        targets = encoded(replace(cars((0.0, 20.0)), locations=np.zeros((1, 3))))
    assert not targets.mask_2d.any()


def test_flip_mirrors_labels_and_keeps_depth() -> None:
    objects = cars((-4.0, 20.0))
    flipped = encode(
        objects,
        CAMERA,
        SIZE,
        replace(no_augmentation(SIZE), flip=True),
        DataConfig(),
        rectangles=depth_rectangles(objects),
    )
    plain = encoded(objects)
    x, mirrored = (int(t.cells[0]) % 320 + float(t.offset_3d[0, 0]) for t in (plain, flipped))
    assert x + mirrored == pytest.approx(320, abs=1e-3)
    assert torch.equal(plain.depth, flipped.depth)
    np.testing.assert_array_equal(flipped.obj_depth.numpy()[:, ::-1], plain.obj_depth.numpy())


def test_a_cropped_image_has_no_3d_targets_and_scaled_depth() -> None:
    objects = cars((0.0, 20.0))
    augmentation = replace(no_augmentation(SIZE), crop=True, scale=0.9)
    cropped = encode(objects, CAMERA, SIZE, augmentation, DataConfig(), rectangles=depth_rectangles(objects))
    assert cropped.mask_2d.any()
    assert not cropped.mask_3d.any()
    assert not cropped.obj_depth.any()
    assert cropped.depth[0] == 18.0


def test_draws_are_made_in_the_published_order() -> None:
    config = AugmentConfig(flip=0.5, crop=1.0, scale=0.4, shift=0.1)
    augmentation = draw_augmentation(np.random.RandomState(3), SIZE, config)
    rng = np.random.RandomState(3)
    flip, _, scale, x, y = rng.uniform() < 0.5, rng.uniform(), rng.randn(), rng.randn(), rng.randn()
    assert augmentation.flip == flip
    assert augmentation.scale == pytest.approx(np.clip(scale * 0.4 + 1, 0.6, 1.4))
    np.testing.assert_allclose(
        augmentation.center, [621 + 1242 * np.clip(x * 0.1, -0.2, 0.2), 187.5 + 375 * np.clip(y * 0.1, -0.2, 0.2)]
    )


def test_object_depth_is_empty_when_not_asked_for() -> None:
    targets = encode(cars((0.0, 20.0)), CAMERA, SIZE, no_augmentation(SIZE), DataConfig())
    assert Targets.stack([targets, targets]).obj_depth.shape == (2, 0, 0)


@pytest.mark.parametrize("mean_sizes", [False, True])
@pytest.mark.parametrize("resolution", [(1280, 384), (640, 192)])
def test_decoding_perfect_heads_gives_the_labels_back(resolution: tuple[int, int], mean_sizes: bool) -> None:
    objects = cars((-6.0, 18.0), (0.5, 30.0), (9.0, 45.0), yaw=2.0)
    targets = encode(objects, CAMERA, SIZE, no_augmentation(SIZE), DataConfig(resolution=resolution), mean_sizes)
    found = decode(
        *perfect_heads(targets, 3), [CAMERA], [SIZE], resolution, 0.2, True, MEAN_SIZES if mean_sizes else None
    )[0]
    assert found.classes.tolist() == ["Car"] * 3
    for name in ("boxes2d", "locations", "sizes", "alpha"):
        np.testing.assert_allclose(getattr(found, name), getattr(objects, name), atol=2e-3)
    rays = np.arctan2(project(objects.locations, CAMERA)[:, 0] - 609.6, 721.5)
    np.testing.assert_allclose(found.rotation_y, objects.alpha + rays, atol=1e-3)


def test_published_way_back_is_off_in_height_only() -> None:
    objects = cars((0.5, 8.0))
    targets = encoded(objects)
    exact, published = (
        decode(*perfect_heads(targets, 1), [CAMERA], [SIZE], (1280, 384), 0.2, e)[0].boxes2d[0] for e in (True, False)
    )
    np.testing.assert_allclose(published[[0, 2]], exact[[0, 2]], atol=1e-3)
    assert (published[3] - published[1]) / (exact[3] - exact[1]) == pytest.approx(375 / 96 / (1242 / 320), abs=1e-6)


def perfect_heads(targets: Targets, count: int) -> tuple[Peaks, ObjectValues]:
    """Return the outputs of a perfect network for the first objects of an image."""
    bins = torch.nn.functional.one_hot(targets.heading_bin[:count], HEADING_BINS).double()
    raw = torch.logit(1 / (1 + targets.depth[:count].double()) - 1e-6)
    heads = ObjectValues(
        targets.offset_2d[:count],
        targets.size_2d[:count],
        torch.stack([raw, torch.zeros(count)], 1),
        targets.offset_3d[:count],
        targets.size_3d[:count],
        torch.cat([bins, bins * targets.heading_res[:count, None]], 1),
    )
    peaks = Peaks(torch.full((1, count), 0.9), torch.ones(1, count, dtype=torch.int64), targets.cells[None, :count])
    return peaks, ObjectValues(*(value[None] for value in heads))


def test_threshold_is_on_the_peak_and_the_score_carries_the_confidence() -> None:
    rows = np.zeros((3, 37))
    rows[:, 0], rows[:, 1], rows[:, 36], rows[:, 6] = 1, [0.5, 0.19, 0.2], [0.1, 9.0, 2.0], 10
    found = objects_from_rows(rows, CAMERA, SIZE, (1280, 384), 0.2)
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, [0.05, 0.4])


def test_no_detection() -> None:
    assert len(objects_from_rows(np.zeros((0, 37)), CAMERA, SIZE, (1280, 384))) == 0


def test_affine_keeps_the_aspect_and_the_middle() -> None:
    transform = affine_from_crop(np.array([600.0, 200.0]), 640.0, (1280, 384))
    points, expected = np.array([[600.0, 200], [280, 200], [600, 210]]), [[640, 192], [0, 192], [640, 212]]
    np.testing.assert_allclose(apply_affine(points, transform), expected)
    np.testing.assert_allclose(apply_affine(np.array([0.0, 192.0]), invert_affine(transform)), [280, 200])
