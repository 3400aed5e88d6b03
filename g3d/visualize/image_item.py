"""Item of an image page: the camera of one image, the answers about it and the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.answers import CameraBoxes, ImageBoxes, PixelMask
from g3d.data.images.image import read_image
from g3d.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageItem:
    """The data of one image, and of its sentence if there is one, for PNG files and pages.

    Attributes:
        name: title of the item, unique among the items of a page.
        image: the image file.
        camera: (3, 4) float64, projection matrix; None if unknown, which is allowed without 3D boxes.
        image_size: (width, height), pixels; `camera`, boxes and masks refer to it.
        predictions: 3D boxes with scores.
        ground_truth: labelled 3D boxes, None if unknown.
        expression: the referring sentence, None for detection.
        maps: (h, w) float over the whole image by their names in g3d.visualize.maps.KINDS, None if there are none.
        boxes: 2D boxes with scores, None if the system does not predict 2D boxes.
        masks: masks with scores.
        true_boxes: labelled 2D boxes, None if unknown.
        true_mask: labelled mask, None if unknown.
        answered: False if only labels are drawn; "no such object" would be wrong then.
    """

    name: str
    image: Path
    camera: np.ndarray | None
    image_size: tuple[int, int]
    predictions: CameraBoxes
    ground_truth: CameraBoxes | None = None
    expression: str | None = None
    maps: Mapping[str, np.ndarray] | None = None
    boxes: ImageBoxes | None = None
    masks: tuple[PixelMask, ...] = ()
    true_boxes: ImageBoxes | None = None
    true_mask: PixelMask | None = None
    answered: bool = True

    def __post_init__(self) -> None:
        width, height = self.image_size
        for mask in (*self.masks, *([] if self.true_mask is None else [self.true_mask])):
            if mask.mask.shape != (height, width):
                found = f"{mask.mask.shape[1]}x{mask.mask.shape[0]}"
                raise InputError(
                    f"{self.name}: found a mask of {found} pixels, expected {width}x{height} as the image has"
                )

    @property
    def candidates(self) -> int:
        """Number of predicted objects: boxes, and masks that are not empty."""
        return len(self.predictions) + len(self.boxes or ()) + sum(bool(mask.mask.any()) for mask in self.masks)

    @property
    def finds_nothing(self) -> bool:
        """Whether the answer to a sentence is that there is no such object."""
        return self.answered and self.expression is not None and not self.candidates

    def load(self) -> Image.Image:
        """Return the image in RGB.

        Raises:
            MissingDataError: the file does not exist.
            InputError: the file is not an image or is truncated, or its size is not `image_size`.
        """
        image = load_image(self.image)
        if image.size != tuple(self.image_size):
            found, expected = ("x".join(map(str, size)) for size in (image.size, self.image_size))
            raise InputError(f"image {self.image}: found {found} pixels, expected {expected} as in frame {self.name}")
        return image


def load_image(path: Path | str) -> Image.Image:
    """Read an image file as RGB.

    Raises:
        MissingDataError, InputError: for the reasons that g3d.data.images.image.read_image lists.
    """
    return Image.fromarray(read_image(path))
