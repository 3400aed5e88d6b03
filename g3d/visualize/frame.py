"""A frame to draw: an image, its camera, what was found in it and what is really there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.images.image import read_image
from g3d.data.types import Objects
from g3d.errors import InputError


@dataclass(frozen=True, eq=False)
class Frame:
    """Everything that the pictures and the page need to know about one image.

    Attributes:
        name: shown as its title, unique among the frames of a page.
        image: the image file.
        camera: (3, 4) float64, projection matrix.
        image_size: (width, height), pixels; what `camera` and the boxes refer to.
        predictions: detections with scores.
        ground_truth: labels, None where they are not known.
        expression: the sentence that was asked about, None for detection.
        maps: (h, w) float over the whole image by their names in g3d.visualize.maps.KINDS, None where there are none.
    """

    name: str
    image: Path
    camera: np.ndarray
    image_size: tuple[int, int]
    predictions: Objects
    ground_truth: Objects | None = None
    expression: str | None = None
    maps: Mapping[str, np.ndarray] | None = None

    def load(self) -> Image.Image:
        """The image in RGB.

        Raises:
            MissingDataError: there is no such file.
            InputError: it is not an image, is cut short, or has another size than `image_size`.
        """
        image = load_image(self.image)
        if image.size != tuple(self.image_size):
            found, expected = ("x".join(map(str, size)) for size in (image.size, self.image_size))
            raise InputError(f"image {self.image}: found {found} pixels, expected {expected} as in frame {self.name}")
        return image


def load_image(path: Path | str) -> Image.Image:
    """Read an image file as RGB.

    Raises:
        MissingDataError, InputError: as g3d.data.images.image.read_image.
    """
    return Image.fromarray(read_image(path))
