"""How an image is brought to a network's input: mirrored, and cut out by a window drawn at random.

Source: the augmentation of xinzhuma/monodle, which ZrrSkywalker/MonoDETR and the systems built on it share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from g3d.data.images.image import affine_from_crop


@dataclass(frozen=True, eq=False)
class Augmentation:
    """How an image is brought to the network's input.

    Attributes:
        flip: mirror it first.
        crop: the window was drawn at random.
        center: (2,) centre of the window, pixels of the (mirrored) image.
        scale: width of the window over the width of the image.
    """

    flip: bool
    crop: bool
    center: np.ndarray
    scale: float

    def transform(self, image_size: tuple[int, int], resolution: tuple[int, int]) -> np.ndarray:
        """(2, 3), pixels of the (mirrored) image -> network pixels."""
        return affine_from_crop(self.center, image_size[0] * self.scale, resolution)


def no_augmentation(image_size: tuple[int, int]) -> Augmentation:
    """The whole image, as in evaluation."""
    return Augmentation(False, False, np.array(image_size) / 2, 1.0)


def draw_augmentation(
    rng: np.random.Generator | np.random.RandomState, image_size: tuple[int, int], config: Any
) -> Augmentation:
    """Random flip, and random scale and shift, in the published order of draws.

    Args:
        rng: uniform for the flip, uniform for the crop; if cropped, normal for the scale and for the shifts in x and y.
        image_size: width, height, pixels.
        config: the preset's `augment` section: flip, crop (probabilities), scale (spread and bound), shift (spread; its
            bound is twice it).
    """
    whole = no_augmentation(image_size)
    flip, crop = rng.uniform() < config.flip, rng.uniform() < config.crop
    if not crop:
        return Augmentation(flip, False, whole.center, 1.0)
    spread, limit = config.scale, config.shift
    scale = np.clip(rng.standard_normal() * spread + 1, 1 - spread, 1 + spread)
    shift = np.array([np.clip(rng.standard_normal() * limit, -2 * limit, 2 * limit) for _ in range(2)])
    return Augmentation(flip, True, whole.center + image_size * shift, float(scale))
