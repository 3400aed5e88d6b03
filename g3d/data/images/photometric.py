"""Photometric distortion: random brightness, contrast, saturation, hue and order of the channels.

Source: the SSD augmentation (Liu et al., ECCV 2016) as ZhanYang-nwpu/Mono3DVG and ZrrSkywalker/MonoDETR apply it: to an
    RGB image of which
the conversion to hue, saturation and value takes the first channel for blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from g3d.kernels import hue_saturation
from g3d.kernels.compiled import KernelUnavailable

_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


@dataclass(frozen=True)
class Photometric:
    """What is done to an image; None leaves that step out.

    Attributes:
        brightness: added to every channel, -32..32.
        contrast: factor of every channel, 0.5..1.5.
        contrast_first: before saturation and hue, otherwise after.
        saturation: factor, 0.5..1.5.
        hue: degrees added, -18..18.
        channels: the channel that each one is taken from.
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = True
    saturation: float | None = None
    hue: float | None = None
    channels: tuple[int, int, int] = (0, 1, 2)


def draw_photometric(rng: np.random.Generator) -> Photometric:
    """Every step with probability a half, in the published order of draws: `integers(2)` whether, then `uniform` how
    much."""
    brightness = _maybe(rng, -32, 32)
    contrast_first = bool(rng.integers(2))
    contrast = _maybe(rng, 0.5, 1.5) if contrast_first else None
    saturation, hue = _maybe(rng, 0.5, 1.5), _maybe(rng, -18, 18)
    if not contrast_first:
        contrast = _maybe(rng, 0.5, 1.5)
    channels = _ORDERS[rng.integers(6)] if rng.integers(2) else _ORDERS[0]
    return Photometric(brightness, contrast, contrast_first, saturation, hue, channels)


def _maybe(rng: np.random.Generator, low: float, high: float) -> float | None:
    return float(rng.uniform(low, high)) if rng.integers(2) else None


def distort(image: np.ndarray, drawn: Photometric, overflow: Literal["clip", "wrap"] = "clip") -> np.ndarray:
    """Change the colours of an image (H, W, 3) uint8 -> the same.

    Args:
        overflow: what becomes of values beyond 0..255: "clip" to the nearest; "wrap" around as the published cast does
            above 255, which turns the brightest spots dark (below 0 that cast does what the processor does; here it
            wraps as well).
    """
    values = distort_float(image, drawn)
    if overflow == "clip":
        return values.clip(0, 255, out=values).astype(np.uint8)
    return (values.astype(np.int32) & 255).astype(np.uint8)


def distort_float(image: np.ndarray, drawn: Photometric) -> np.ndarray:
    """(H, W, 3) uint8 -> float32, before it is brought back to 0..255."""
    values = image.astype(np.float32)
    if drawn.brightness is not None:
        values += np.float32(drawn.brightness)
    if drawn.contrast is not None and drawn.contrast_first:
        values *= np.float32(drawn.contrast)
    _turn_colours(values.reshape(-1, 3), 1 if drawn.saturation is None else drawn.saturation, drawn.hue or 0)
    if drawn.contrast is not None and not drawn.contrast_first:
        values *= np.float32(drawn.contrast)
    return values if drawn.channels == _ORDERS[0] else values.take(drawn.channels, -1)


def _turn_colours(pixels: np.ndarray, saturation: float, hue: float) -> None:
    """Change (N, 3) float32 in place. Without a change as well: the way to HSV and back costs some pixels their last
    bit, as published."""
    try:
        hue_saturation.cpu(pixels, np.float32(saturation), np.float32(hue))
    except KernelUnavailable:
        hue_saturation.reference(pixels, np.float32(saturation), np.float32(hue))
