"""The samples of MonoDLE: KITTI frames with images and cameras, and with targets for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from g3d.data.images.augment import draw_augmentation, no_augmentation
from g3d.data.images.image import read_image, warp_image
from g3d.data.kitti.prepared import PreparedDepth, open_prepared, raw_root
from g3d.data.kitti.raw import KittiRoot, read_calibration, read_labels
from g3d.data.types import ImageSample, ImageSource
from g3d.systems.monodle.config import Config
from g3d.systems.monodle.targets import depth_map_of_cars, encode


class KittiFrames:
    """The frames of one split of KITTI; every frame is its own group.

    Attributes:
        ids: id of each frame.
        drawn: None: training takes each frame on its own.
    """

    drawn = None

    def __init__(self, config: Config, root: Path, split: str, training: bool) -> None:
        self.config = config
        self.kitti = KittiRoot.of_split(raw_root(root), split)
        self.ids = self.kitti.split(split)
        self.training = training
        self.depth: PreparedDepth | None = None
        if training and config.model.object_depth:
            self.depth = open_prepared(root)
            self.depth.check(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        return self.ids[index]

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        return [self._sample(index, rng) for index in indices]

    def _sample(self, index: int, rng: np.random.Generator | None) -> ImageSample:
        frame = self.ids[index]
        data = self.config.data
        path = self.kitti.image(frame)
        pixels = read_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        camera = read_calibration(self.kitti.calibration(frame))
        augmentation = no_augmentation(size) if rng is None else draw_augmentation(rng, size, self.config.augment)
        targets = None
        if self.training:
            rectangles = self.depth.frame(frame).of(cars_only=depth_map_of_cars(data)) if self.depth else None
            labels = read_labels(self.kitti.label(frame))
            targets = encode(labels, camera, size, augmentation, data, self.config.model.mean_sizes, rectangles)
        if augmentation.flip:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        transform = augmentation.transform(size, data.resolution)
        warped = torch.from_numpy(warp_image(pixels, transform, data.resolution)).permute(2, 0, 1)
        return ImageSample(frame, warped, ImageSource(str(path), size, camera), transform, targets)
