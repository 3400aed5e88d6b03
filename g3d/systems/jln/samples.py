"""The samples of JLN: Mono3DRefer's expressions with images and cameras, and with targets for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g3d.data.images.augment import Augmentation, draw_augmentation, no_augmentation
from g3d.data.images.image import read_image, warp_image
from g3d.data.images.photometric import distort, draw_photometric
from g3d.data.mono3drefer.folder import Mono3DReferRoot
from g3d.data.mono3drefer.raw import Expression
from g3d.data.text.mirrored_words import mirrored
from g3d.data.types import CameraBoxes, ImageSample, ImageSource
from g3d.systems.jln.config import AugmentConfig, Config
from g3d.systems.jln.targets import encode


class Expressions:
    """The expressions of a split; those about one image form a group.

    Attributes:
        ids: id of each expression.
        drawn: number of sentences that training draws for an image; None if each sentence is a sample with its own copy
            of the image.
    """

    def __init__(self, config: Config, root: Path, split: str, training: bool) -> None:
        self.config = config
        self.data = Mono3DReferRoot.find(root)
        self.expressions = self.data.expressions(split)
        self.ids = self.expressions.ids()
        self.drawn = config.data.sentences if training and config.data.sentences > 1 else None
        self.training = training
        self._images = self.expressions.frames()
        self._scenes = self.expressions.scenes() if training and config.data.depth_map == "scene" else {}

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        return self._images[index]

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        name = self.group(indices[0])
        path = self.data.image_path(name)
        pixels = read_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        augmentation = no_augmentation(size)
        if rng is not None:
            pixels, augmentation = augmented(pixels, rng, self.config.augment)
        image = warped_image(pixels, augmentation, self.config.data.resolution)
        source = ImageSource(str(path), size, self.data.calibration(name))
        scene = self._scenes.get(name)
        return [
            make_sample(image, source, self.expressions[index], augmentation, self.config, self.training, scene)
            for index in indices
        ]


def augmented(pixels: np.ndarray, rng: np.random.Generator, config: AugmentConfig) -> tuple[np.ndarray, Augmentation]:
    """Change an image's colours and draw its flip and crop, in the published order of draws.

    Args:
        pixels: (H, W, 3) uint8, as read.

    Returns:
        The pixels (H, W, 3) uint8, not yet mirrored, and the augmentation for `make_sample`.
    """
    if config.photometric:
        pixels = distort(pixels, draw_photometric(rng), config.photometric_overflow)
    return pixels, draw_augmentation(rng, (pixels.shape[1], pixels.shape[0]), config)


def warped_image(pixels: np.ndarray, augmentation: Augmentation, resolution: tuple[int, int]) -> Tensor:
    """Return an image (H, W, 3) uint8 warped to the network's frame: (3, height, width) uint8, mirrored if drawn so."""
    transform = augmentation.transform((pixels.shape[1], pixels.shape[0]), resolution)
    if augmentation.flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return torch.from_numpy(warp_image(pixels, transform, resolution)).permute(2, 0, 1)


def make_sample(
    image: Tensor,
    source: ImageSource,
    expression: Expression,
    augmentation: Augmentation,
    config: Config,
    training: bool,
    scene: CameraBoxes | None = None,
) -> ImageSample:
    """Return one sentence about an image as a sample for the network.

    Args:
        image: result of `warped_image`.
        source: the original image with its size and its (3, 4) projection matrix.
        augmentation: the augmentation that the image was warped with.
        config: the preset; `data`, and `augment.flip_words`, which mirrors the words of a mirrored image's sentence.
        training: also make targets.
        scene: all objects of the image, for the depth map of `data.depth_map: scene`.
    """
    assert source.size is not None
    assert source.camera is not None
    mirror = augmentation.flip and config.augment.flip_words
    sentence = mirrored(expression.sentence) if mirror else expression.sentence
    targets = None
    if training:
        targets = encode(expression.objects, source.camera, source.size, augmentation, config.data, scene)
    transform = augmentation.transform(source.size, config.data.resolution)
    return ImageSample(expression.id, image, source, transform, targets, sentence)
