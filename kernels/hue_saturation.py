"""Change of hue and saturation through HSV, in OpenCV's float32 arithmetic.

Integer images are truncated to integers afterwards, so a difference in the last bit can change a pixel by one. OpenCV
uses fused multiply-add; these products are computed in float64 here, which gives the same result.

Shapes: `pixels` (N, 3) float32, blue, green, red, changed in place; not bounded to 0..255.
"""

from __future__ import annotations

import numpy as np

from g3d.kernels.compiled import kernel

_EPSILON = np.finfo(np.float32).eps
_SECTORS = np.array(
    [[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]]
)  # index of the one of four values that blue, green and red get


def reference(pixels: np.ndarray, saturation: np.float32, hue: np.float32) -> None:
    """Multiply the saturation by a factor and rotate the hue by -360..360 degrees, in NumPy."""
    blue, green, red = pixels.T
    value = pixels.max(1)
    spread = value - pixels.min(1)
    strength = spread / (np.abs(value) + _EPSILON) * saturation
    base = np.where(
        value == red, np.float32(360) * (green < blue), np.where(value == green, np.float32(120), np.float32(240))
    )
    ahead = np.where(value == red, green - blue, np.where(value == green, blue - red, red - green))
    angle = _fused(ahead, np.float32(60) / (spread + _EPSILON), base) + hue
    angle = np.where(angle > 360, angle - np.float32(360), np.where(angle < 0, angle + np.float32(360), angle))
    turned = angle * np.float32(1 / 60)
    part = turned - np.floor(turned)
    one = np.float32(1)
    values = np.stack(
        [
            value,
            value * (one - strength),
            value * _fused(-strength, part, one),
            value * _fused(-strength, one - part, one),
        ]
    )
    sector = np.floor(turned).astype(np.int64) % 6
    pixels[:] = np.take_along_axis(values, _SECTORS[sector].T, 0).T


def _fused(a: np.ndarray, b: np.ndarray, c: np.ndarray | np.float32) -> np.ndarray:
    return (a.astype(np.float64) * b + c).astype(np.float32)


@kernel()
def cpu(pixels: np.ndarray, saturation: np.float32, hue: np.float32) -> None:
    """Multiply the saturation by a factor and rotate the hue by -360..360 degrees, as the reference does."""
    one, full = np.float32(1), np.float32(360)
    values = np.empty(4, np.float32)
    for i in range(len(pixels)):
        blue, green, red = pixels[i]
        value = max(blue, green, red)
        spread = value - min(blue, green, red)
        strength = spread / (abs(value) + _EPSILON) * saturation
        if value == red:
            base, ahead = np.float32(360) if green < blue else np.float32(0), green - blue
        elif value == green:
            base, ahead = np.float32(120), blue - red
        else:
            base, ahead = np.float32(240), red - green
        scale = np.float32(60) / (spread + _EPSILON)
        angle = np.float32(np.float64(ahead) * np.float64(scale) + np.float64(base)) + hue
        angle = angle - full if angle > full else angle + full if angle < 0 else angle
        turned = angle * np.float32(1 / 60)
        whole = np.floor(turned)
        part = turned - whole
        values[0] = value
        values[1] = value * (one - strength)
        values[2] = value * np.float32(1.0 - np.float64(strength) * np.float64(part))
        values[3] = value * np.float32(1.0 - np.float64(strength) * np.float64(one - part))
        order = _SECTORS[int(whole) % 6]
        for channel in range(3):
            pixels[i, channel] = values[order[channel]]
