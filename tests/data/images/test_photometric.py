"""Photometric distortion: the published order of draws, what it leaves alone, and what becomes of values beyond
0..255."""

from __future__ import annotations

import numpy as np
import pytest

from g3d.data.images import photometric
from g3d.data.images.photometric import Photometric, distort, distort_float, draw_photometric
from g3d.kernels import hue_saturation
from g3d.kernels.compiled import KernelUnavailable


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (20, 30, 3), np.uint8)


def test_kernel_and_reference_agree_to_the_bit(image: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        found = (image.reshape(-1, 3).astype(np.float32) + np.float32(rng.uniform(-32, 32))) * np.float32(
            rng.uniform(0.5, 1.5)
        )
        found[:40] = found[:40, :1]  # grey
        found[40:44] = 0
        expected = found.copy()
        change = np.float32(rng.uniform(0.5, 1.5)), np.float32(rng.uniform(-18, 18))
        hue_saturation.cpu(found, *change)
        hue_saturation.reference(expected, *change)
        assert np.array_equal(found, expected)


def test_without_numba_the_reference_runs(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Photometric(brightness=9, saturation=1.2, hue=-7, channels=(2, 0, 1))
    expected = distort(image, drawn)

    def refuse(*arguments: object) -> None:
        raise KernelUnavailable("no Numba")

    monkeypatch.setattr(photometric.hue_saturation, "cpu", refuse)
    assert np.array_equal(distort(image, drawn), expected)


def test_nothing_drawn_changes_at_most_the_last_bit(image: np.ndarray) -> None:
    found = distort(image, Photometric())
    assert np.abs(found.astype(int) - image).max() <= 1  # 99.99999 is cut to 99, as published
    assert found.dtype == np.uint8


def test_grey_stays_grey_whatever_the_hue() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    assert np.array_equal(distort(grey, Photometric(saturation=1.5, hue=18)), grey)


def test_a_turn_of_the_hue_moves_red_towards_the_next_colour() -> None:
    blue_green_red = np.array([[[0, 0, 200]]], np.uint8)
    assert np.allclose(distort_float(blue_green_red, Photometric(hue=12)), [[[0, 200 * 12 / 60, 200]]], atol=1e-3)
    assert np.allclose(distort_float(blue_green_red, Photometric(hue=-12)), [[[200 * 12 / 60, 0, 200]]], atol=1e-3)


def test_contrast_scales_the_value_whether_it_comes_first_or_last() -> None:
    pixel = np.array([[[10, 90, 250]]], np.uint8)
    first, last = (
        distort_float(pixel, Photometric(brightness=-20, contrast=1.4, contrast_first=k, saturation=1.3))
        for k in (True, False)
    )
    assert np.allclose(first, last, atol=1e-3)


def test_values_beyond_255_are_clipped_or_wrap() -> None:
    bright = np.full((2, 2, 3), 250, np.uint8)
    drawn = Photometric(brightness=16)
    assert (distort(bright, drawn) == 255).all()
    assert (distort(bright, drawn, "wrap") == 10).all()
    assert (distort(np.zeros((2, 2, 3), np.uint8), Photometric(brightness=-16)) == 0).all()


def test_a_permutation_takes_channels() -> None:
    image = np.array([[[10, 20, 30]]], np.uint8)
    assert distort(image, Photometric(channels=(2, 0, 1))).round(-1).tolist() == [[[30, 10, 20]]]


def test_the_same_generator_draws_the_same_and_every_step_half_the_time() -> None:
    drawn = [draw_photometric(np.random.default_rng(seed)) for seed in range(400)]
    assert drawn[7] == draw_photometric(np.random.default_rng(7))
    for name, low, high in (
        ("brightness", -32, 32),
        ("contrast", 0.5, 1.5),
        ("saturation", 0.5, 1.5),
        ("hue", -18, 18),
    ):
        values = [getattr(each, name) for each in drawn if getattr(each, name) is not None]
        assert 150 < len(values) < 250
        assert low <= min(values) < max(values) <= high
        assert max(values) - min(values) > 0.9 * (high - low)
    assert {each.channels for each in drawn} == set(photometric._ORDERS)
    assert 150 < sum(each.contrast_first for each in drawn) < 250


def test_the_image_given_is_not_changed(image: np.ndarray) -> None:
    before = image.copy()
    distort(image, Photometric(brightness=30, contrast=1.5, saturation=0.5, hue=10, channels=(1, 2, 0)), "wrap")
    assert np.array_equal(image, before)
