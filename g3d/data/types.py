"""What travels between the rooms: objects of an image, samples, batches and predictions, each a small frozen dataclass.

Letters in shapes: N objects, B images of a batch, H and W pixels. Frames: `camera` is KITTI's rectified camera-0 frame
(x right, y down, z forward, metres). Angles are radians; yaw is defined in g3d/geometry/boxes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Objects:
    """N labelled or detected objects of one image.

    Attributes:
        classes: (N,) str, KITTI's type names ("Car", "Pedestrian", ..., "DontCare").
        boxes2d: (N, 4) float64, x1 y1 x2 y2 in pixels of the original image.
        sizes: (N, 3) float64, height width length in metres (KITTI's order).
        locations: (N, 3) float64, centre of the bottom face, camera frame, metres.
        rotation_y: (N,) float64, yaw in radians.
        alpha: (N,) float64, observation angle in radians; -10 where there is none.
        truncated: (N,) float64, 0..1, -1 where unknown.
        occluded: (N,) int64, 0 visible, 1 partly, 2 largely, 3 unknown, -1 not annotated.
        scores: (N,) float64 for detections, None for labels.
    """

    classes: np.ndarray
    boxes2d: np.ndarray
    sizes: np.ndarray
    locations: np.ndarray
    rotation_y: np.ndarray
    alpha: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.classes)
        for name, value in vars(self).items():
            if value is not None and len(value) != count:
                raise ValueError(f"Objects.{name}: expected {count} rows as in classes, found {len(value)}")

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Any) -> Objects:
        """The objects selected by a mask, a slice or an index array."""
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        selected: dict[str, Any] = {name: None if value is None else value[rows] for name, value in vars(self).items()}
        return Objects(**selected)

    def __iter__(self) -> Iterator[Objects]:
        return (self[i] for i in range(len(self)))

    @staticmethod
    def empty(scored: bool = False) -> Objects:
        none = np.zeros(0)
        return Objects(
            np.zeros(0, "<U16"),
            np.zeros((0, 4)),
            np.zeros((0, 3)),
            np.zeros((0, 3)),
            none,
            none,
            none,
            np.zeros(0, np.int64),
            none if scored else None,
        )


@dataclass(frozen=True, eq=False)
class ImageSample:
    """One image ready for a network, with what is needed to go back to the original.

    Attributes:
        id: the frame's name in its data set, e.g. "000008".
        image: (3, H, W) uint8, RGB, warped to the network's size; normalised on the device.
        image_size: (width, height) of the original image, pixels.
        camera: (3, 4) float64, projection matrix of the original image (KITTI's P2).
        transform: (2, 3) float64, original pixels -> network pixels.
        targets: the system's own encoded targets, None where there are no labels.
        path: the image file.
        expression: the sentence asked about the image, None for detection.
    """

    id: str
    image: Tensor
    image_size: tuple[int, int]
    camera: np.ndarray
    transform: np.ndarray
    targets: Any = None
    path: str | None = None
    expression: str | None = None


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """B samples stacked: images (I, 3, H, W) uint8; `targets` is the system's own, with a `to(device)` of its own.

    Samples that share one image tensor (several sentences about a picture) share one of the I images: `image_of` (B,)
    int64 says which. It is None where every sample has its own, I = B.
    """

    ids: tuple[str, ...]
    images: Tensor
    image_sizes: tuple[tuple[int, int], ...]
    cameras: tuple[np.ndarray, ...]
    transforms: tuple[np.ndarray, ...]
    targets: Any = None
    paths: tuple[str | None, ...] = ()
    expressions: tuple[str | None, ...] = ()
    image_of: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> ImageBatch:
        targets = None if self.targets is None else self.targets.to(device)
        image_of = None if self.image_of is None else self.image_of.to(device)
        return replace(self, images=self.images.to(device, non_blocking=True), targets=targets, image_of=image_of)

    @staticmethod
    def stack(samples: list[ImageSample], targets: Any = None) -> ImageBatch:
        images = list({id(s.image): s.image for s in samples}.values())
        place = {id(image): k for k, image in enumerate(images)}
        image_of = None if len(images) == len(samples) else torch.tensor([place[id(s.image)] for s in samples])
        return ImageBatch(
            tuple(s.id for s in samples),
            torch.stack(images),
            tuple(s.image_size for s in samples),
            tuple(s.camera for s in samples),
            tuple(s.transform for s in samples),
            targets,
            tuple(s.path for s in samples),
            tuple(s.expression for s in samples),
            image_of,
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system says about one sample (and one sentence): enough to evaluate and to draw without the model.

    Attributes:
        sample: the sample's id.
        objects: the detections, in the order in which the system ranks them; `objects.scores` is never None.
        expression: the sentence asked about, None for detection.
        image: path of the image, None if it was not a file.
        image_size: (width, height), pixels.
        camera: (3, 4) float64, projection matrix.
        maps: what the network looked at, to draw: (h, w) float32 in the image's frame by name; not kept in predictions
            files.
    """

    sample: str
    objects: Objects
    expression: str | None = None
    image: str | None = None
    image_size: tuple[int, int] | None = None
    camera: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] | None = None
