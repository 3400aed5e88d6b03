"""Items of 3D detection: drawn points, the floor, and augmentation that moves points and boxes alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.detection_items import CHAIR, TWO_CHAIRS, UNKNOWN

from g3d.data.scannet.detection import (
    SCANREFER18,
    WS3DVG_AUGMENTATION,
    Augmentation,
    DetectionItem,
    DetectionScene,
    augment,
    draw_generator,
    draw_item,
    draw_rows,
    floor_height,
    rotation_about,
    turned_boxes,
)

WALL = 1


def scene(count: int = 200) -> DetectionScene:
    """One object that fills its box, of each of four classes."""
    random = np.random.default_rng(0)
    owners = np.arange(count) % 4
    points = (random.uniform(-0.5, 0.5, (count, 3)) + owners[:, None] * 3).astype(np.float32)
    nyu40 = np.array([CHAIR, UNKNOWN, 39, WALL])
    low, high = (np.array([f(points[owners == k], axis=0) for k in range(4)], float) for f in (np.min, np.max))
    boxes = np.hstack([(low + high) / 2, high - low])
    colours = np.zeros((count, 3), np.uint8)
    return DetectionScene("made", points, colours, owners + 1, nyu40[owners], boxes, nyu40, np.arange(4))


def test_boxes_of_the_18_classes_are_kept() -> None:
    item = draw_item(scene(), np.arange(200), height=False)
    assert item.points.shape == (200, 3)
    assert item.classes.tolist() == [2, 17]
    assert item.ids.tolist() == [0, 2]
    others = draw_item(scene(), np.arange(200), False, SCANREFER18)
    assert others.classes.tolist() == [2, 17]
    middles, object_of = item.objects()
    assert np.allclose(middles, item.boxes[:, :3], atol=1e-6)
    assert object_of.tolist() == [0, -1, 1, -1] * 50


def test_the_height_is_above_the_floor_of_the_whole_scene() -> None:
    whole = scene()
    item = draw_item(whole, np.array([7, 3, 3]), height=True)
    lowest = np.sort(whole.points[:, 2]).astype(float)
    floor = lowest[1] + (lowest[2] - lowest[1]) * 0.9701  # 0.99 % of 199 steps are 1.9701
    assert floor_height(whole.points) == pytest.approx(floor, abs=1e-6)
    assert np.allclose(item.points[:, 3], whole.points[[7, 3, 3], 2] - floor, atol=1e-6)


@pytest.mark.parametrize(("count", "drawn"), [(50, 20), (20, 50), (1, 4)])
def test_points_repeat_only_where_there_are_too_few(count: int, drawn: int) -> None:
    rows = draw_rows(draw_generator("scene0000_00", 0), count, drawn)
    assert len(rows) == drawn
    assert len(np.unique(rows)) == drawn if count >= drawn else len(np.unique(rows)) <= count


def test_the_draw_depends_on_the_scene_and_the_epoch_alone() -> None:
    draws = [draw_rows(draw_generator(*key), 1000, 8).tolist() for key in (("a", 0), ("a", 0), ("b", 0), ("a", 1))]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3


@pytest.mark.parametrize("settings", [Augmentation(), WS3DVG_AUGMENTATION, Augmentation(flip=1.0, degrees=(0, 0, 0))])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_follow_their_points(settings: Augmentation, seed: int) -> None:
    item = draw_item(scene(), np.arange(200), height=True)
    made = augment(item, np.random.default_rng(seed), settings)
    assert not np.allclose(made.points[:, :3], item.points[:, :3])
    assert np.array_equal(made.points[:, 3], item.points[:, 3])
    for row, number in enumerate((0, 2)):
        inside = made.points[np.arange(200) % 4 == number, :3]
        low, high = made.boxes[row, :3] - made.boxes[row, 3:] / 2, made.boxes[row, :3] + made.boxes[row, 3:] / 2
        assert (inside >= low - 1e-5).all()
        assert (inside <= high + 1e-5).all()
        assert (made.boxes[row, 3:] < 1.4 * item.boxes[row, 3:]).all()
    again = augment(item, np.random.default_rng(seed), settings)
    assert np.array_equal(made.points, again.points)


def test_no_augmentation_leaves_the_item_unchanged() -> None:
    made = augment(TWO_CHAIRS, np.random.default_rng(0), Augmentation(flip=0.0, degrees=(0, 0, 0)))
    assert np.array_equal(made.points, TWO_CHAIRS.points)
    assert np.array_equal(made.boxes, TWO_CHAIRS.boxes)


def test_mirrors_shifts_and_scales_have_their_bounds() -> None:
    random = np.random.default_rng(0)
    item = replace(TWO_CHAIRS, points=np.ones((1, 3), np.float32), boxes=np.ones((1, 6)))
    mirrored = [augment(item, random, Augmentation(degrees=(0, 0, 0))).boxes[0, :3] for _ in range(400)]
    assert np.abs((np.array(mirrored) < 0).mean(0) - [0.5, 0.5, 0]).max() < 0.07
    moved = Augmentation(flip=0.0, degrees=(0, 0, 0), shift=0.5)
    shifts = np.array([augment(item, random, moved).boxes[0, :3] - 1 for _ in range(400)])
    assert 0.45 < np.abs(shifts).max() <= 0.5
    assert np.allclose(shifts * 1000, np.round(shifts * 1000))
    scaled = Augmentation(flip=0.0, degrees=(0, 0, 0), scale=0.1)
    factors = np.array([augment(item, random, scaled).boxes[0] for _ in range(400)])
    assert np.array_equal(factors[:, :3], factors[:, 3:])
    assert 0.09 < np.abs(np.log(factors)).max() <= 0.1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turned_boxes_bound_their_corners(axis: int) -> None:
    turn = rotation_about(axis, 0.4)
    assert np.allclose(turn @ np.eye(3)[axis], np.eye(3)[axis])
    assert turn[(axis + 2) % 3, (axis + 1) % 3] > 0  # from the first towards the second of the other axes
    box = np.array([[1.0, 2, 3, 0.5, 1.0, 2.0]])
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = (box[0, :3] + signs * box[0, 3:] / 2) @ turn.T
    made = turned_boxes(box, turn, axis)[0]
    assert np.allclose(made[:3] - made[3:] / 2, corners.min(0))
    assert np.allclose(made[:3] + made[3:] / 2, corners.max(0))


def test_the_published_fault_hardly_changes_sizes_about_x_and_y() -> None:
    box = np.array([[0.0, 0, 0, 0.5, 1.0, 2.0]])
    about_x, about_z = (turned_boxes(box, rotation_about(axis, 0.1), axis, published=True)[0] for axis in (0, 2))
    assert np.allclose(about_x[3:], [0.5, 1.0, 2 * np.cos(0.1)])
    assert np.allclose(about_z, turned_boxes(box, rotation_about(2, 0.1), 2)[0])


def test_an_item_without_points_has_no_objects() -> None:
    empty = DetectionItem(*(value[:0] for value in (TWO_CHAIRS.points, TWO_CHAIRS.instances, TWO_CHAIRS.nyu40)),
                          TWO_CHAIRS.boxes, TWO_CHAIRS.classes, TWO_CHAIRS.ids, TWO_CHAIRS.kept)  # fmt: skip
    middles, object_of = empty.objects()
    assert (len(middles), len(object_of)) == (0, 0)
