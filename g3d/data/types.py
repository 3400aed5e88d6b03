"""Types shared by the packages: sources, samples, batches and predictions as small frozen dataclasses.

The answers (boxes and masks) are in g3d/data/answers.py and can also be imported from here. Letters in shapes: B
samples of a batch, I images of a batch, H and W pixels. Frames: `camera` is KITTI's rectified camera-0 frame (x right,
y down, z forward, metres); `scene` is the frame of a scan's own file, after the transform of its source if it has one,
and `aligned` is that frame after the scan's axis alignment (both z up, metres).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from g3d.data.answers import Answer as Answer
from g3d.data.answers import AnswerT as AnswerT
from g3d.data.answers import CameraBoxes as CameraBoxes
from g3d.data.answers import ImageBoxes as ImageBoxes
from g3d.data.answers import PixelMask as PixelMask
from g3d.data.answers import PointMask as PointMask
from g3d.data.answers import SceneBoxes as SceneBoxes
from g3d.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageSource:
    """One image as the input of a query.

    Attributes:
        path: the image file, None where it is not known.
        size: (width, height) in pixels, None where it is not known.
        camera: (3, 4) float64, projection matrix, None where it is not known.
    """

    path: str | None = None
    size: tuple[int, int] | None = None
    camera: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SceneSource:
    """One scanned scene as the input of a query.

    Attributes:
        path: prepared folder, folder of the raw scan, or mesh file; None where it is not known.
        name: the scene's name, for example "scene0000_00".
        frame: the frame of the boxes in answers about this scene.
        transform: (4, 4) float64, from the coordinates of a user's own file to the frame `scene` of the answers; None
            if they are the same.
    """

    path: str | None
    name: str
    frame: Literal["scene", "aligned"] = "scene"
    transform: np.ndarray | None = None


Source = ImageSource | SceneSource
KnownT = TypeVar("KnownT")


class Batch(Protocol):
    """The result of a system's `collate`: it has a length in samples and can be moved to a device."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> Batch: ...


@dataclass(frozen=True, eq=False)
class ImageSample:
    """One image prepared for a network, with the transform from the original image.

    Attributes:
        id: the sample's name in its data set, for example "000008".
        image: (3, H, W) uint8, RGB, warped to the network's size. The device normalises it; a group's samples share it.
        source: the original image with its size and camera.
        transform: (2, 3) float64, original pixels -> network pixels.
        targets: the system's own encoded targets, None where there are no labels.
        expression: the sentence asked about the image, None for detection.
    """

    id: str
    image: Tensor
    source: ImageSource
    transform: np.ndarray
    targets: Any = None
    expression: str | None = None


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """B samples about I images.

    Attributes:
        ids: ids of the B samples.
        images: (I, 3, H, W) uint8.
        sources: the original image of each sample.
        transforms: (2, 3) float64 of each sample, original pixels -> network pixels.
        expressions: the sentence of each sample, None for detection.
        image_of: (B,) int64, index of each sample's image among the I images; None if every sample has its own, I = B.
        targets: the system's own targets with a method `to(device)`; None where there are no labels.
    """

    ids: tuple[str, ...]
    images: Tensor
    sources: tuple[ImageSource, ...]
    transforms: tuple[np.ndarray, ...]
    expressions: tuple[str | None, ...]
    image_of: Tensor | None = None
    targets: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def cameras(self) -> tuple[np.ndarray, ...]:
        """(3, 4) float64, the projection matrix of each sample's original image.

        Raises:
            ValueError: the camera of a sample is not known.
        """
        return tuple(_known(source.camera, "camera") for source in self.sources)

    @property
    def image_sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each sample's original image, pixels.

        Raises:
            ValueError: the size of a sample's image is not known.
        """
        return tuple(_known(source.size, "image size") for source in self.sources)

    def to(self, device: torch.device | str) -> ImageBatch:
        targets = None if self.targets is None else self.targets.to(device)
        image_of = None if self.image_of is None else self.image_of.to(device)
        return replace(self, images=self.images.to(device, non_blocking=True), targets=targets, image_of=image_of)

    def pin_memory(self) -> ImageBatch:
        """Return the batch with images in page-locked memory, from which copies to a GPU are asynchronous."""
        return replace(self, images=self.images.pin_memory())

    @staticmethod
    def of_groups(groups: Sequence[Sequence[ImageSample]], targets: Any = None) -> ImageBatch:
        """Return the batch of groups of samples; all samples of a group share the image of its first sample."""
        samples = [sample for group in groups for sample in group]
        shared = len(samples) > len(groups)
        return ImageBatch(
            ids=tuple(sample.id for sample in samples),
            images=torch.stack([group[0].image for group in groups]),
            sources=tuple(sample.source for sample in samples),
            transforms=tuple(sample.transform for sample in samples),
            expressions=tuple(sample.expression for sample in samples),
            image_of=torch.tensor([k for k, group in enumerate(groups) for _ in group]) if shared else None,
            targets=targets,
        )


def _known(value: KnownT | None, what: str) -> KnownT:
    if value is None:
        raise ValueError(f"the {what} of a sample is not known")
    return value


@dataclass(frozen=True, eq=False)
class Prediction:
    """A system's answers about one sample and one sentence, sufficient to evaluate and to draw without the model.

    Attributes:
        sample: the sample's id.
        source: the image or scene of the sample.
        answers: the answers, of different types or several masks; an empty answer means that there is no such object.
        expression: the sentence, None for detection.
        maps: (h, w) float32 attention maps in the image's frame, by name; predictions files do not contain them.
    """

    sample: str
    source: Source
    answers: tuple[Answer, ...]
    expression: str | None = None
    maps: Mapping[str, np.ndarray] | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """Sample and expression of the prediction."""
        return self.sample, self.expression

    def answer(self, kind: type[AnswerT]) -> AnswerT:
        """Return the answer of one type.

        Raises:
            InputError: there is no answer of that type, or there is more than one.
        """
        found = [answer for answer in self.answers if isinstance(answer, kind)]
        if len(found) != 1:
            kinds = ", ".join(answer.kind for answer in self.answers) or "no answer"
            raise InputError(f"prediction for {self.sample!r}: found {kinds}, expected one answer {kind.kind}")
        return found[0]
