"""From an image, a camera and a sentence to what the network is trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.data.images.augment import Augmentation, draw_augmentation
from g3d.data.images.image import warp_image
from g3d.data.images.photometric import distort, draw_photometric
from g3d.data.mono3drefer.raw import Expression
from g3d.data.text.mirrored_words import mirrored
from g3d.data.types import ImageSample, Objects
from g3d.systems.jln.config import AugmentConfig, Config
from g3d.systems.jln.targets import encode


def augmented(pixels: np.ndarray, rng: np.random.Generator, config: AugmentConfig) -> tuple[np.ndarray, Augmentation]:
    """An image with its colours changed, and how it is to be mirrored and cut out, in the published order of draws.

    Args:
        pixels: (H, W, 3) uint8, as read.

    Returns:
        The pixels (H, W, 3) uint8, not yet mirrored; the augmentation, for `make_sample`.
    """
    if config.photometric:
        pixels = distort(pixels, draw_photometric(rng), config.photometric_overflow)
    return pixels, draw_augmentation(rng, (pixels.shape[1], pixels.shape[0]), config)


def warped_image(pixels: np.ndarray, augmentation: Augmentation, resolution: tuple[int, int]) -> Tensor:
    """(H, W, 3) uint8 of the original size -> (3, height, width) uint8, mirrored if so drawn, in the network's
    frame."""
    transform = augmentation.transform((pixels.shape[1], pixels.shape[0]), resolution)
    if augmentation.flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return torch.from_numpy(warp_image(pixels, transform, resolution)).permute(2, 0, 1)


def make_sample(
    image: Tensor,
    image_size: tuple[int, int],
    camera: np.ndarray,
    expression: Expression,
    augmentation: Augmentation,
    config: Config,
    training: bool,
    path: str | None = None,
    scene: Objects | None = None,
) -> ImageSample:
    """One sentence about an image, ready for the network.

    Args:
        image: of `warped_image`; sentences that are given the same tensor share it in their batch, and its features.
        image_size: width, height of the original image.
        camera: (3, 4) projection matrix of the original image.
        augmentation: as the image was warped.
        config: of the preset: data and augment.flip_words, which mirrors the sentence of a mirrored image.
        training: with targets.
        path: of the image file.
        scene: all objects of the image, for the depth map of `data.depth_map: scene`.
    """
    sentence = mirrored(expression.sentence) if augmentation.flip and config.augment.flip_words else expression.sentence
    targets = encode(expression.objects, camera, image_size, augmentation, config.data, scene) if training else None
    transform = augmentation.transform(image_size, config.data.resolution)
    return ImageSample(expression.id, image, image_size, camera, transform, targets, path, sentence)
