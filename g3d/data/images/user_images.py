"""A user's own images as samples: one for each image, or one for each sentence about each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from g3d.data.boundary import reader
from g3d.data.files import read_text
from g3d.data.images.image import affine_from_crop, read_image, warp_image
from g3d.data.kitti.raw import check_principal_point, read_calibration
from g3d.data.types import ImageSample
from g3d.errors import InputError, MissingDataError
from g3d.geometry.cameras import camera_from_focal, focal_from_field_of_view

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class InferRequest:
    """What `g3d infer` was asked. The camera is known by exactly one of `calibration`, `focal` and `field_of_view`.

    Attributes:
        images: image files, and folders of them.
        calibration: a KITTI calibration file for all images, or a folder with `<image's name>.txt` for each.
        focal: focal length in pixels.
        field_of_view: horizontal, degrees.
        expressions: sentences; each is asked about each image. None for detection.
        maps: predictions carry what the network looked at, to draw.

    Raises:
        InputError: none or several ways to know the camera, a value that cannot be, an empty sentence.
    """

    images: tuple[Path, ...]
    calibration: Path | None = None
    focal: float | None = None
    field_of_view: float | None = None
    expressions: tuple[str, ...] = ()
    maps: bool = False

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.calibration, self.focal, self.field_of_view)) != 1:
            raise InputError(
                "g3d infer: give either --calib or --focal or --fov",
                "--fov is the horizontal field of view in degrees: about 65 for a phone's main camera, 80 for KITTI's",
            )
        if self.focal is not None and not 0 < self.focal < float("inf"):
            raise InputError(f"--focal {self.focal:g}: expected a focal length in pixels, above 0")
        if self.field_of_view is not None and not 0 < self.field_of_view < 180:
            raise InputError(
                f"--fov {self.field_of_view:g}: expected a horizontal field of view in degrees, between 0 and 180"
            )
        for number, expression in enumerate(self.expressions, 1):
            if not expression.strip():
                raise InputError(
                    f"--text: sentence {number} of {len(self.expressions)} is empty; expected words that describe one "
                    f"object"
                )

    def camera(self, image: Path, size: tuple[int, int]) -> np.ndarray:
        """(3, 4) projection matrix of an image of `size` (width, height).

        Raises:
            MissingDataError, InputError: its calibration file is not there, cannot be used, or is that of another
                image.
        """
        if self.calibration is None:
            focal = self.focal if self.field_of_view is None else focal_from_field_of_view(self.field_of_view, size[0])
            assert focal is not None  # one of the three is given
            return camera_from_focal(focal, size)
        path = self.calibration / f"{image.stem}.txt" if self.calibration.is_dir() else self.calibration
        camera = read_calibration(path)
        check_principal_point(camera, size, path)
        return camera


class UserImages:
    """The samples of a request, as `g3d.systems.base.Samples`: sentence after sentence about the first image, then
    about the next.

    Samples of one image share its tensor, so that a batch of them holds it once. A sample's id is the image's name
    without suffix, numbered ("street-01", "street-02") where several sentences are asked.

    Args:
        request: images, cameras, sentences.
        resolution: width, height of the network's input; the image fills its width.

    Raises:
        MissingDataError: an image, or a folder's images, are not there.
        InputError: two images of one name.
    """

    def __init__(self, request: InferRequest, resolution: tuple[int, int]) -> None:
        self.request, self.resolution = request, resolution
        self.paths = [path for given in request.images for path in _images_in(given)]
        self.expressions: tuple[str | None, ...] = request.expressions or (None,)
        names = [path.stem for path in self.paths]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(
                f"--image: several images are called {repeated[0]!r}",
                "results go by name: rename one, or run them apart",
            )
        self.ids = [name + _number(k, len(self.expressions)) for name in names for k in range(len(self.expressions))]
        self._last: tuple[int, ImageSample] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def sample(self, index: int, rng: np.random.Generator | None) -> ImageSample:
        """Sample `index`; a user's images are never augmented.

        Raises:
            MissingDataError, InputError: its image or its calibration file cannot be used.
        """
        picture, sentence = divmod(index, len(self.expressions))
        if self._last is None or self._last[0] != picture:
            self._last = (picture, self._read(self.paths[picture]))
        return replace(self._last[1], id=self.ids[index], expression=self.expressions[sentence])

    def _read(self, path: Path) -> ImageSample:
        pixels = read_image(path)
        size = (pixels.shape[1], pixels.shape[0])
        transform = affine_from_crop(np.array(size) / 2, size[0], self.resolution)
        warped = torch.from_numpy(warp_image(pixels, transform, self.resolution)).permute(2, 0, 1)
        return ImageSample(path.stem, warped, size, self.request.camera(path, size), transform, path=str(path))


@reader("sentences")
def read_expressions(path: Path) -> tuple[str, ...]:
    """The sentences of a text file, one a line; empty lines are skipped.

    Raises:
        MissingDataError: no such file.
        InputError: not text, no sentence in it, or a line without words.
    """
    lines = {
        number: line.strip() for number, line in enumerate(read_text(path, "sentences").splitlines(), 1) if line.strip()
    }
    if not lines:
        raise InputError(f"sentences {path}: found none, expected one on each line")
    for number, line in lines.items():
        if not any(letter.isalpha() for letter in line):
            raise InputError(f"sentences {path}: line {number}: found {line[:40]!r}, expected a sentence")
    return tuple(lines.values())


def _number(index: int, count: int) -> str:
    return f"-{index + 1:02d}" if count > 1 else ""


def _images_in(given: Path) -> Sequence[Path]:
    """The image itself, or the images of a folder by name.

    Raises:
        MissingDataError: nothing there, or no image in the folder.
    """
    if given.is_dir():
        found = sorted(path for path in given.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise MissingDataError(f"--image {given}: no {', '.join(SUFFIXES)} file in this folder")
        return found
    if not given.is_file():
        raise MissingDataError(f"--image {given}: no such file or folder")
    return [given]
