"""Sine encodings, by their formula, and pixel centres; the encoding's numbers are checked by the parity case
depth_predictor."""

from __future__ import annotations

import math

import pytest
import torch

from g3d.nn.positions import pixel_centres, sine_positions


def test_the_encoding_is_its_formula() -> None:
    found = sine_positions(3, 5, 16)
    assert found.shape == (3, 5, 16)
    for row, column, feature in ((0, 0, 0), (2, 1, 3), (1, 4, 8), (2, 3, 15), (0, 2, 9)):
        place, count = (row, 3) if feature < 8 else (column, 5)  # y first
        angle = 2 * math.pi * (place + 1) / (count + 1e-6) / 10000 ** (2 * (feature % 8 // 2) / 8)
        expected = math.sin(angle) if feature % 2 == 0 else math.cos(angle)
        assert found[row, column, feature].item() == pytest.approx(expected, abs=1e-5)


def test_channels_must_be_four_times_something() -> None:
    with pytest.raises(ValueError, match="multiple of 4, found 18"):
        sine_positions(2, 2, 18)


def test_pixel_centres_go_row_by_row_level_by_level() -> None:
    expected = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5)]
    torch.testing.assert_close(pixel_centres([(2, 2), (1, 1)]), torch.tensor(expected))
