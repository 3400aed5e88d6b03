"""A user's own images as samples: one for each image, or one for each sentence about each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from g3d.data.images.image import affine_from_crop, read_image, warp_image
from g3d.data.request import InferRequest, Queries
from g3d.data.types import ImageSample, ImageSource
from g3d.errors import MissingDataError

SUFFIXES = (".png", ".jpg", ".jpeg")


class UserImages(Queries):
    """The samples of a request about images; implements `g3d.systems.base.Samples`.

    Args:
        request: images, cameras, sentences.
        resolution: width, height of the network's input; the image fills its width.

    Raises:
        MissingDataError: an image is missing, or a folder contains no image.
        InputError: two images have the same name.
    """

    def __init__(self, request: InferRequest, resolution: tuple[int, int]) -> None:
        self.request, self.resolution = request, resolution
        self.paths = [path for given in request.images for path in _images_in(given)]
        super().__init__([path.stem for path in self.paths], request.expressions, "--image")

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        """Return samples of one image, which share its pixels; a user's images are not augmented.

        Raises:
            MissingDataError, InputError: the image or its calibration file cannot be used.
        """
        path = self.paths[self.source(indices[0])]
        pixels = read_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        transform = affine_from_crop(np.array(size) / 2, size[0], self.resolution)
        warped = torch.from_numpy(warp_image(pixels, transform, self.resolution)).permute(2, 0, 1)
        source = ImageSource(str(path), size, self.request.camera(path, size))
        return [
            ImageSample(self.ids[index], warped, source, transform, expression=self.expression(index))
            for index in indices
        ]


def _images_in(given: Path) -> Sequence[Path]:
    """Return the given image file, or the images of the given folder sorted by name.

    Raises:
        MissingDataError: the path does not exist, or the folder contains no image.
    """
    if given.is_dir():
        found = sorted(path for path in given.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise MissingDataError(f"--image {given}: no {', '.join(SUFFIXES)} file in this folder")
        return found
    if not given.is_file():
        raise MissingDataError(f"--image {given}: no such file or folder")
    return [given]
