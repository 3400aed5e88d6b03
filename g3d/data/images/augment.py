"""Geometric augmentation of images: a random flip and a random crop window.

Source: the augmentation of xinzhuma/monodle, which ZrrSkywalker/MonoDETR and the systems built on it share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from g3d.data.images.image import affine_from_crop


@dataclass(frozen=True, eq=False)
class Augmentation:
    """A flip and a crop window that map an image to the network's input.

    Attributes:
        flip: mirror the image first.
        crop: whether the window was drawn at random.
        center: (2,), centre of the window in pixels of the (mirrored) image.
        scale: width of the window over the width of the image.
    """

    flip: bool
    crop: bool
    center: np.ndarray
    scale: float

    def transform(self, image_size: tuple[int, int], resolution: tuple[int, int]) -> np.ndarray:
        """Return the (2, 3) transform from pixels of the (mirrored) image to network pixels."""
        return affine_from_crop(self.center, image_size[0] * self.scale, resolution)


def no_augmentation(image_size: tuple[int, int]) -> Augmentation:
    """Return the augmentation that keeps the whole image unmirrored, as in evaluation."""
    return Augmentation(False, False, np.array(image_size) / 2, 1.0)


def draw_augmentation(
    rng: np.random.Generator | np.random.RandomState, image_size: tuple[int, int], config: Any
) -> Augmentation:
    """Draw a random flip, and a random scale and shift, in the published order of draws.

    Args:
        rng: the generator. It draws uniform numbers for flip and crop and, if cropped, normal numbers for the scale and
            the shifts in x and y.
        image_size: width, height in pixels.
        config: the preset's `augment` section: flip and crop (probabilities), scale (standard deviation and bound of
            the scale around 1), shift (standard deviation in fractions of the image size; the bound is twice that).
    """
    whole = no_augmentation(image_size)
    flip, crop = rng.uniform() < config.flip, rng.uniform() < config.crop
    if not crop:
        return Augmentation(flip, False, whole.center, 1.0)
    spread, limit = config.scale, config.shift
    scale = np.clip(rng.standard_normal() * spread + 1, 1 - spread, 1 + spread)
    shift = np.array([np.clip(rng.standard_normal() * limit, -2 * limit, 2 * limit) for _ in range(2)])
    return Augmentation(flip, True, whole.center + image_size * shift, float(scale))
