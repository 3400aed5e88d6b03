"""Headings as bins and residuals."""

from __future__ import annotations

import numpy as np

from g3d.geometry.heading import heading_angle, heading_bins


def test_heading_bins_and_their_inverse() -> None:
    angles = np.linspace(-np.pi + 1e-6, np.pi, 200)
    bins, residuals = heading_bins(angles)
    assert bins.min() == 0
    assert bins.max() == 11
    assert np.abs(residuals).max() <= np.pi / 12 + 1e-9
    assert heading_bins(np.array([0.0, 0.2, -0.2]))[0].tolist() == [0, 0, 0]
    table = np.zeros((200, 12))
    table[np.arange(200), bins] = residuals
    np.testing.assert_allclose(heading_angle(np.eye(12)[bins], table), angles, atol=1e-12)
