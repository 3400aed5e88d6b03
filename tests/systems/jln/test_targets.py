"""Targets and samples of JLN: rules that no parity case isolates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from g3d import config
from g3d.data.images.augment import Augmentation, no_augmentation
from g3d.data.mono3drefer.raw import Expression
from g3d.data.types import CameraBoxes, ImageBatch, ImageSource
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import project_at_depth, ray_angle
from g3d.geometry.heading import heading_angle, heading_bins
from g3d.systems.jln.config import CLASS_NAMES, Config, DataConfig
from g3d.systems.jln.samples import augmented, make_sample, warped_image
from g3d.systems.jln.targets import MAX_SCENE, Targets, encode, region_masks

CAMERA = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.22], [0, 0, 1, 0.0027]])
SIZE = (1242, 375)
SOURCE = ImageSource("a.png", SIZE, CAMERA)
RESOLUTION = (1280, 384)
SCALE = RESOLUTION[0] / SIZE[0]


def van(box: tuple[float, ...] = (500.0, 150.0, 700.0, 300.0), **changes: Any) -> CameraBoxes:
    found = CameraBoxes(
        np.array(["van"]),
        np.array([box]),
        np.array([[2.0, 1.8, 4.5]]),
        np.array([[1.0, 1.7, 20.0]]),
        np.array([0.4]),
        np.array([0.3]),
        np.zeros(1),
        np.zeros(1, np.int64),
    )
    return replace(found, **{name: np.array(value) for name, value in changes.items()})


def encoded(target: CameraBoxes, augmentation: Augmentation | None = None, **settings: Any) -> Targets:
    return encode(
        target, CAMERA, SIZE, augmentation or no_augmentation(SIZE), DataConfig(train="train", val="val", **settings)
    )


@pytest.fixture(scope="module")
def preset() -> Config:
    loaded = config.load("jln")
    assert isinstance(loaded, Config)
    return loaded


def test_boxes_are_fractions_of_the_network_image() -> None:
    found = encoded(van())
    x, y = (600 - 621) * SCALE + 640, (225 - 187.5) * SCALE + 192
    assert torch.allclose(
        found.box, torch.tensor([x / 1280, y / 384, 200 * SCALE / 1280, 150 * SCALE / 384]), atol=1e-6
    )
    u, v = project_at_depth(np.array([1.0, 0.7, 20.0]), CAMERA)  # the middle of the box: 1 m above its bottom
    assert torch.allclose(
        found.box3d[:2], torch.tensor([((u - 621) * SCALE + 640) / 1280, ((v - 187.5) * SCALE + 192) / 384]).float()
    )
    assert found.box3d[2] + found.box3d[3] == pytest.approx(found.box[2].item(), abs=1e-6)
    assert found.box3d[4] + found.box3d[5] == pytest.approx(found.box[3].item(), abs=1e-6)
    assert (found.label, found.depth, found.size.tolist()) == (
        CLASS_NAMES.index("van"),
        20.0,
        pytest.approx([2.0, 1.8, 4.5]),
    )


def test_a_centre_outside_the_2d_box_has_a_negative_distance() -> None:
    assert encoded(van((700.0, 150.0, 800.0, 300.0))).box3d[2] < 0


def test_a_flip_mirrors_the_boxes_and_turns_the_heading() -> None:
    whole = encoded(van())
    flipped = encoded(van(), replace(no_augmentation(SIZE), flip=True))
    assert flipped.box[0] == pytest.approx(1 - whole.box[0].item(), abs=1e-6)
    assert flipped.box3d[0] == pytest.approx(1 - whole.box3d[0].item(), abs=1e-6)
    assert flipped.box3d[2:4].tolist() == pytest.approx(whole.box3d[[3, 2]].tolist(), abs=1e-6)
    for name in ("depth", "size", "label", "present"):
        assert torch.equal(getattr(flipped, name), getattr(whole, name))
    logits = np.eye(12)[[flipped.heading_bin]]
    alpha = heading_angle(logits, np.full((1, 12), flipped.heading_res))
    assert alpha == pytest.approx(
        wrap_angle(np.pi - 0.4 - ray_angle(np.array([642.0]), CAMERA)), abs=1e-5
    )  # 1242 - 600


def test_a_window_scales_depth_but_not_size() -> None:
    found = encoded(van(), replace(no_augmentation(SIZE), crop=True, scale=0.95))
    assert found.depth == pytest.approx(19.0)
    assert found.size.tolist() == pytest.approx([2.0, 1.8, 4.5])
    assert found.box[2] == pytest.approx(200 * SCALE / 0.95 / 1280)


@pytest.mark.parametrize(
    ("truncated", "occluded", "present"),
    [(0.0, 0, True), (0.5, 2, True), (0.51, 0, False), (0.0, 3, False), (-1, -1, True)],
)
def test_too_hidden_objects_are_left_out_of_the_matched_losses(truncated: float, occluded: int, present: bool) -> None:
    found = encoded(van(truncated=[truncated], occluded=[occluded]))
    assert found.present.item() is present
    assert found.regions.any()  # the masks are learnt all the same, as published


def test_exact_regions_are_the_cells_that_the_box_meets() -> None:
    corners = np.array([[100.0, 50.0], [300.0, 120.0]])
    for mask, stride in zip(region_masks(corners, RESOLUTION, SIZE, "exact"), (8, 16, 32, 64), strict=True):
        rows, columns = np.nonzero(mask)
        assert mask.shape == (384 // stride, 1280 // stride)
        assert (columns.min(), columns.max()) == (100 // stride, 300 // stride)
        assert (rows.min(), rows.max()) == (50 // stride, 120 // stride)
        assert mask.sum() == (300 // stride - 100 // stride + 1) * (120 // stride - 50 // stride + 1)


@pytest.mark.parametrize("form", ["exact", "published"])
def test_regions_of_boxes_that_begin_outside(form: str) -> None:
    begins_left = np.array([[-30.0, 50.0], [90.0, 120.0]])
    beyond = {
        "left": np.array([[-300.0, 50.0], [-100.0, 120.0]]),
        "above": np.array([[100.0, -90.0], [300.0, -70.0]]),
        "right": np.array([[1400.0, 50.0], [1500.0, 120.0]]),
        "below": np.array([[100.0, 400.0], [300.0, 500.0]]),
    }
    finest = region_masks(begins_left, RESOLUTION, SIZE, form)[0]
    marked = {
        side
        for side, corners in beyond.items()
        if any(mask.any() for mask in region_masks(corners, RESOLUTION, SIZE, form))
    }
    if form == "exact":
        assert finest[50 // 8 : 120 // 8 + 1, : 90 // 8 + 1].all()
        assert finest.sum() == (120 // 8 - 50 // 8 + 1) * (90 // 8 + 1)
        assert not marked
    else:  # negative starts count from the far end
        assert not finest.any()
        assert marked == {"left", "above"}


def test_published_regions_are_a_little_too_large() -> None:
    corners = np.array([[600.0, 150.0], [900.0, 300.0]])
    exact, published = (region_masks(corners, RESOLUTION, SIZE, form)[0] for form in ("exact", "published"))
    assert published.sum() > exact.sum()
    assert np.nonzero(published.any(0))[0].max() == int(900 * 160 / 1242)


def test_regions_follow_the_resolution() -> None:
    found = encoded(van(), resolution=(256, 128))
    assert found.regions.shape == (16 * 32 + 8 * 16 + 4 * 8 + 2 * 4,)
    assert found.depth_regions.shape == (8 * 16,)
    assert torch.equal(found.regions[16 * 32 : 16 * 32 + 8 * 16], found.depth_regions)


def test_targets_stack_and_move() -> None:
    batch = Targets.stack([encoded(van()), encoded(van((10.0, 20.0, 90.0, 60.0)))]).to("cpu")
    assert batch.box.shape == (2, 4)
    assert (batch.label.dtype, batch.heading_bin.dtype, batch.present.dtype, batch.regions.dtype) == (
        torch.int64,
        torch.int64,
        torch.bool,
        torch.uint8,
    )
    assert all(getattr(batch, name).dtype == torch.float32 for name in ("box", "box3d", "depth", "size", "heading_res"))


def expression(sentence: str) -> Expression:
    return Expression("000000_1_0", "000000", 1, 0, "van", sentence, van())


def test_the_sentence_follows_the_flip_when_asked(preset: Config) -> None:
    image = torch.zeros(3, 384, 1280, dtype=torch.uint8)
    said = expression("The van on the left.")
    flipped = replace(no_augmentation(SIZE), flip=True)
    published = config.load("jln-as-published")
    assert isinstance(published, Config)
    for augmentation, settings, sentence in (
        (no_augmentation(SIZE), preset, "The van on the left."),
        (flipped, preset, "The van on the right."),
        (flipped, published, "The van on the left."),
    ):
        assert make_sample(image, SOURCE, said, augmentation, settings, training=False).expression == sentence


def test_sentences_about_an_image_share_it(preset: Config) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    whole = no_augmentation(SIZE)
    image = warped_image(pixels, whole, preset.data.resolution)
    samples = [make_sample(image, SOURCE, expression(s), whole, preset, True) for s in ("one", "two")]
    batch = ImageBatch.of_groups([samples], Targets.stack([s.targets for s in samples]))
    assert batch.images.shape == (1, 3, 384, 1280)
    assert batch.image_of is not None
    assert batch.image_of.tolist() == [0, 0]
    assert batch.expressions == ("one", "two")


def test_a_mirrored_image_is_warped_mirrored(preset: Config) -> None:
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[:, :100] = 200
    image = warped_image(pixels, replace(no_augmentation(SIZE), flip=True), preset.data.resolution)
    assert (image[:, 192, -90:] == 200).all()
    assert (image[:, 192, :1100] == 0).all()


def test_augmentation_repeats_with_its_generator(preset: Config) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8)
    first, again, other = (augmented(pixels, np.random.default_rng(seed), preset.augment) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert (first[1].flip, first[1].scale, first[1].center.tolist()) == (
        again[1].flip,
        again[1].scale,
        again[1].center.tolist(),
    )
    assert not np.array_equal(first[0], other[0])
    for seed in range(50):
        drawn = augmented(pixels, np.random.default_rng(seed), preset.augment)[1]
        assert 0.95 <= drawn.scale <= 1.05
        assert (np.abs(drawn.center / (200, 60) - 0.5) <= 0.1 + 1e-12).all()


def test_no_photometric_distortion_leaves_the_pixels(preset: Config) -> None:
    pixels = np.full((60, 200, 3), 77, np.uint8)
    settings = preset.augment.model_copy(update={"photometric": False})
    assert augmented(pixels, np.random.default_rng(0), settings)[0] is pixels


def test_heading_bins_are_the_twelve_of_the_network() -> None:
    bins, residuals = heading_bins(np.array([0.0, np.pi, -np.pi / 2]))
    assert bins.tolist() == [0, 6, 9]
    assert np.abs(residuals).max() < 1e-12


@pytest.mark.parametrize("flip", [False, True])
def test_a_scene_holds_each_learnt_object_as_its_own_sentence_would(flip: bool) -> None:
    near, far = van(), van((100.0, 160.0, 160.0, 190.0), locations=[[-8.0, 1.7, 44.0]])
    hidden = van((300.0, 160.0, 360.0, 190.0), occluded=[3], locations=[[-4.0, 1.7, 30.0]])
    scene = CameraBoxes(
        *(np.concatenate([getattr(o, name) for o in (far, hidden, near)]) for name in vars(near) if name != "scores")
    )
    augmentation = replace(no_augmentation(SIZE), flip=flip)
    data = DataConfig(train="train", val="val", depth_map="scene")
    found = encode(near, CAMERA, SIZE, augmentation, data, scene)
    assert found.scene_boxes is not None
    assert found.scene_depths is not None
    assert found.scene_depths[:3].tolist() == [20, 44, 0]  # nearest first
    for row, each in enumerate((near, far)):
        torch.testing.assert_close(found.scene_boxes[row], encoded(each, augmentation).box)
    both = Targets.stack([found, found]).to("cpu")
    assert both.scene_boxes is not None
    assert both.scene_boxes.shape == (2, MAX_SCENE, 4)


def test_without_a_scene_there_is_none() -> None:
    both = Targets.stack([encoded(van()), encoded(van())])
    assert both.scene_boxes is None
    assert both.scene_depths is None
