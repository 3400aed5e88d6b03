"""Photometric distortion: random brightness, contrast, saturation, hue and order of the channels.

Source: the SSD augmentation (Liu et al., ECCV 2016) as ZhanYang-nwpu/Mono3DVG and ZrrSkywalker/MonoDETR apply it: to an RGB image of which
the conversion to hue, saturation and value takes the first channel for blue. OpenCV's float32 arithmetic is followed to the rounding, for
the pixels are cut to whole numbers in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_EPSILON = np.finfo(np.float32).eps


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
    """Every step with probability a half, in the published order of draws: `integers(2)` whether, then `uniform` how much."""
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
        overflow: what becomes of values beyond 0..255: "clip" to the nearest; "wrap" around as the published cast does above 255, which
            turns the brightest spots dark (below 0 that cast does what the processor does; here it wraps as well).
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
    hue, saturation, value = hsv(values)
    if drawn.saturation is not None:
        saturation *= np.float32(drawn.saturation)
    if drawn.hue is not None:
        hue += np.float32(drawn.hue)
        hue[hue > 360] -= 360
        hue[hue < 0] += 360
    values = from_hsv(hue, saturation, value)
    if drawn.contrast is not None and not drawn.contrast_first:
        values *= np.float32(drawn.contrast)
    return values if drawn.channels == _ORDERS[0] else values[..., drawn.channels]


def hsv(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BGR (H, W, 3) float32 -> hue in degrees, saturation, value, each (H, W) float32."""
    blue, green, red = np.moveaxis(values, -1, 0)
    value = values.max(-1)
    spread = value - values.min(-1)
    saturation = spread / (np.abs(value) + _EPSILON)
    scale = np.float32(60) / (spread + _EPSILON)
    hue = np.where(value == red, (green - blue) * scale,
                   np.where(value == green, (blue - red) * scale + np.float32(120), (red - green) * scale + np.float32(240)))  # fmt: skip
    hue[hue < 0] += 360
    return hue, saturation, value


def from_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The inverse -> BGR (H, W, 3) float32."""
    turned = hue * np.float32(6 / 360)
    sector = np.floor(turned)
    part = turned - sector
    sector = sector.astype(np.int8) % 6
    table = np.stack([value, value * (1 - saturation), value * (1 - saturation * part), value * (1 - saturation * (1 - part))])
    order = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])[sector]
    return np.take_along_axis(table, np.moveaxis(order, -1, 0), 0).transpose(1, 2, 0)
