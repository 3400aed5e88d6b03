"""Multi-bin heading: an angle as one of twelve bins of 30 degrees and a residual from the bin's centre; bin 0 is at 0.

Source: the multi-bin heading of KITTI detectors, as in xinzhuma/monodle and ZrrSkywalker/MonoDETR.
"""

from __future__ import annotations

import math

import numpy as np

HEADING_BINS = 12
BIN_WIDTH = 2 * math.pi / HEADING_BINS


def heading_bins(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins (N,) int64 of angles (N,) in radians, and their residuals (N,) from the bins' centres.

    Residuals lie in [-BIN_WIDTH / 2, BIN_WIDTH / 2).
    """
    shifted = (angles % (2 * np.pi) + BIN_WIDTH / 2) % (2 * np.pi)
    bins = (shifted / BIN_WIDTH).astype(np.int64)
    return bins, shifted - (bins * BIN_WIDTH + BIN_WIDTH / 2)


def heading_angle(bins: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return angles (N,) in (-pi, pi], decoded from bin logits and residuals (N, 12)."""
    best = bins.argmax(1)
    angle = best * BIN_WIDTH + residuals[np.arange(len(best)), best]
    return np.where(angle > np.pi, angle - 2 * np.pi, angle)
