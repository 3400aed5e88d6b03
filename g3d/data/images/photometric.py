"""Photometric distortion: random brightness, contrast, saturation, hue and order of the channels.

Source: the SSD augmentation (Liu et al., ECCV 2016) as ZhanYang-nwpu/Mono3DVG and ZrrSkywalker/MonoDETR apply it to RGB
images. Their conversion to hue, saturation and value takes the first channel as blue; this module does the same.
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
    """Parameters of a photometric distortion; None skips the step.

    Attributes:
        brightness: offset added to every channel, -32..32.
        contrast: factor of every channel, 0.5..1.5.
        contrast_first: whether contrast is applied before saturation and hue; otherwise it is applied after them.
        saturation: factor of the saturation, 0.5..1.5.
        hue: offset added to the hue in degrees, -18..18.
        channels: index of the source channel of each channel.
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = True
    saturation: float | None = None
    hue: float | None = None
    channels: tuple[int, int, int] = (0, 1, 2)


def draw_photometric(rng: np.random.Generator) -> Photometric:
    """Draw a distortion in which each step has probability 1/2, in the published order of draws.

    For each step, `integers(2)` decides whether it is applied; then `uniform` draws its value, or `integers(6)` the
    order of the channels.
    """
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
    """Return an image (H, W, 3) uint8 with distorted colours, of the same shape and type.

    Args:
        overflow: treatment of values outside 0..255. "clip" takes the nearest bound. "wrap" takes the value modulo 256,
            as the published cast does above 255, which turns the brightest pixels dark. Below 0, the published cast
            depends on the processor; here it wraps too.
    """
    values = distort_float(image, drawn)
    if overflow == "clip":
        return values.clip(0, 255, out=values).astype(np.uint8)
    return (values.astype(np.int32) & 255).astype(np.uint8)


def distort_float(image: np.ndarray, drawn: Photometric) -> np.ndarray:
    """Return the distorted image (H, W, 3) as float32, not limited to 0..255."""
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
    """Change saturation and hue of pixels (N, 3) float32 in place.

    The conversion to HSV and back also runs for neutral parameters, because it changes the last bit of some pixels in
    the published code.
    """
    try:
        hue_saturation.cpu(pixels, np.float32(saturation), np.float32(hue))
    except KernelUnavailable:
        hue_saturation.reference(pixels, np.float32(saturation), np.float32(hue))
