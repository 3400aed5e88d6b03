"""Requests to `g3d infer`: a user's own images or scenes, camera parameters, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.kitti.raw import check_principal_point, read_calibration
from g3d.data.scannet.upright import Fit
from g3d.errors import InputError
from g3d.geometry.cameras import camera_from_focal, focal_from_field_of_view


@dataclass(frozen=True)
class InferRequest:
    """A question about a user's own data. At most one of the three camera parameters is given.

    Attributes:
        images: image files and folders of images.
        calibration: a KITTI calibration file for all images, or a folder with `<image's name>.txt` for each.
        focal: focal length in pixels.
        field_of_view: horizontal field of view in degrees.
        expressions: sentences, each asked about each image or scene; empty for detection.
        maps: whether predictions contain attention maps.
        scenes: files or folders of scanned scenes.
        fit: the statement about the axes and the unit of scenes in the user's own files.

    Raises:
        InputError: several camera parameters are given, a value is out of range, a sentence is empty, or axes or a unit
            are stated without a scene.
    """

    images: tuple[Path, ...] = ()
    calibration: Path | None = None
    focal: float | None = None
    field_of_view: float | None = None
    expressions: tuple[str, ...] = ()
    maps: bool = False
    scenes: tuple[Path, ...] = ()
    fit: Fit = Fit()  # noqa: RUF009 - it is immutable

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.calibration, self.focal, self.field_of_view)) > 1:
            raise InputError(*CAMERA_NEEDED)
        if self.focal is not None and not 0 < self.focal < float("inf"):
            raise InputError(f"--focal {self.focal:g}: expected a focal length in pixels, above 0")
        if self.field_of_view is not None and not 0 < self.field_of_view < 180:
            raise InputError(
                f"--fov {self.field_of_view:g}: expected a horizontal field of view in degrees, between 0 and 180"
            )
        if self.fit.stated and not self.scenes:
            raise InputError(f"{self.fit.stated}: is for --scene", "leave it away")
        for number, expression in enumerate(self.expressions, 1):
            if not expression.strip():
                raise InputError(
                    f"--text: sentence {number} of {len(self.expressions)} is empty; expected words that describe one "
                    f"object"
                )

    @property
    def has_camera(self) -> bool:
        """Whether one of the three camera parameters is given."""
        return not (self.calibration is None and self.focal is None and self.field_of_view is None)

    def camera(self, image: Path, size: tuple[int, int]) -> np.ndarray:
        """Return the (3, 4) projection matrix of an image of `size` (width, height).

        Raises:
            MissingDataError, InputError: the calibration file is missing, cannot be used, or belongs to another image.
        """
        if self.calibration is None:
            focal = self.focal if self.field_of_view is None else focal_from_field_of_view(self.field_of_view, size[0])
            if focal is None:
                raise InputError(*CAMERA_NEEDED)
            return camera_from_focal(focal, size)
        path = self.calibration / f"{image.stem}.txt" if self.calibration.is_dir() else self.calibration
        camera = read_calibration(path)
        check_principal_point(camera, size, path)
        return camera


CAMERA_NEEDED = (
    "g3d infer: give either --calib or --focal or --fov",
    "--fov is the horizontal field of view in degrees: about 65 for a phone's main camera, 80 for KITTI's",
)


class Queries:
    """The samples of a request: all sentences about the first image or scene, then all about the next.

    A sample's id is the name of its image or scene, with a number ("street-01", "street-02") if there are several
    sentences. Without sentences, there is one sample for each image or scene.

    Attributes:
        ids: the id of each sample.
        drawn: None, as g3d.systems.base.Samples requires; a user's data is never used for training.

    Args:
        names: names of the images or scenes.
        expressions: sentences, each asked about each image or scene; empty for detection.
        option: the command-line option that named them, for messages.

    Raises:
        InputError: two images or scenes have the same name.
    """

    drawn = None

    def __init__(self, names: Sequence[str], expressions: Sequence[str], option: str) -> None:
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            what = "images" if option == "--image" else "scenes"
            raise InputError(
                f"{option}: several {what} are called {repeated!r}", "results go by name: rename one, or run them apart"
            )
        self._names = list(names)
        self._expressions: tuple[str | None, ...] = tuple(expressions) or (None,)
        count = len(self._expressions)
        self.ids = [name + (f"-{k + 1:02d}" if count > 1 else "") for name in names for k in range(count)]

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        """Return the name of the image or scene that a sample is about."""
        return self._names[self.source(index)]

    def source(self, index: int) -> int:
        """Return the number of the image or scene that a sample is about."""
        return index // len(self._expressions)

    def expression(self, index: int) -> str | None:
        """Return the sentence of a sample, None for detection."""
        return self._expressions[index % len(self._expressions)]
