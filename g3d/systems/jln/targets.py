"""Training targets of JLN, made from the label of a sentence's object: boxes, depth, size, heading and region masks.

Source: the official JLN repository's Mono3DRefer data set (that of ZhanYang-nwpu/Mono3DVG and the region masks).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.images.augment import Augmentation
from g3d.data.images.image import apply_affine
from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import project_at_depth, ray_angle
from g3d.geometry.heading import heading_bins
from g3d.systems.jln.config import CLASS_NAMES, STRIDES

_MAX_TRUNCATED, _MAX_OCCLUDED = 0.5, 2
_DEPTH_STRIDE = 16
MAX_SCENE = 32
"""Maximum number of an image's objects in the depth map."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of one sample, or of B samples with a leading dimension B.

    P is the number of positions of all four levels, P16 the number at stride 16.

    Attributes:
        label: () int64, index in CLASS_NAMES.
        box: (4,) float32, the 2D box: centre x and y, width, height; 0..1 of the network image.
        box3d: (6,) float32, projected 3D centre x and y, then its distances to the left, right, top and bottom side of
            the 2D box; 0..1 of the network image. A distance is negative if the centre lies beyond that side.
        depth: () float32, metres, multiplied by the augmentation's scale.
        size: (3,) float32, height, width, length in metres.
        heading_bin: () int64, 0..11.
        heading_res: () float32, radians.
        present: () bool; False excludes an object that is too truncated or too occluded from the matched losses.
        regions: (P,) uint8, 1 where a position lies in the 2D box; row-major, levels from fine to coarse.
        depth_regions: (P16,) uint8, the same at stride 16.
        scene_boxes: (MAX_SCENE, 4) float32, like `box`, of every object of the image that any sentence refers to; None
            if the depth map shows only the object of the sentence.
        scene_depths: (MAX_SCENE,) float32, like `depth`; 0 in unused rows.
    """

    label: Tensor
    box: Tensor
    box3d: Tensor
    depth: Tensor
    size: Tensor
    heading_bin: Tensor
    heading_res: Tensor
    present: Tensor
    regions: Tensor
    depth_regions: Tensor
    scene_boxes: Tensor | None = None
    scene_depths: Tensor | None = None

    def to(self, device: torch.device | str) -> Targets:
        return Targets(**{name: value.to(device, non_blocking=True) for name, value in self._given()})

    def _given(self) -> list[tuple[str, Tensor]]:
        return [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) is not None]

    @staticmethod
    def stack(targets: list[Targets]) -> Targets:
        """Return the targets of a batch, stacked from the targets of its samples."""
        return Targets(**{name: torch.stack([getattr(t, name) for t in targets]) for name, _ in targets[0]._given()})


def encode(
    target: CameraBoxes,
    camera: np.ndarray,
    image_size: tuple[int, int],
    augmentation: Augmentation,
    data: Any,
    scene: CameraBoxes | None = None,
) -> Targets:
    """Return the targets made from the label of a sentence's object.

    As published, the camera is not mirrored with the image: the heading is relative to the ray of the unmirrored
    camera, which differs from the true ray by about 2 degrees for KITTI's principal point.

    Args:
        target: one row, the object in the original image.
        camera: (3, 4) projection matrix of the original image.
        image_size: width, height of the original image.
        augmentation: the augmentation drawn for the image.
        data: the preset's `data` section: resolution, region_masks.
        scene: all objects of the image, for the depth map; the MAX_SCENE nearest ones are used.
    """
    box, yaw = _mirrored_boxes(target, image_size, augmentation)[0], target.rotation_y
    middle = target.locations - target.sizes[:, :1] / 2 * [0, 1, 0]
    center = project_at_depth(middle, camera)
    if augmentation.flip:
        center = np.stack([image_size[0] - center[:, 0], center[:, 1]], 1)
        yaw = wrap_angle(np.pi - yaw)
    bins, residuals = heading_bins(wrap_angle(yaw - ray_angle(box[:, 0].mean(keepdims=True), camera)))

    transform = augmentation.transform(image_size, data.resolution)
    corners = apply_affine(box, transform)  # corners of the 2D box, network pixels
    low, high = corners / data.resolution
    u, v = apply_affine(center[0], transform) / data.resolution
    regions = region_masks(corners, data.resolution, image_size, data.region_masks)
    return Targets(
        label=torch.tensor(CLASS_NAMES.index(target.classes[0])),
        box=_floats([*(low + high) / 2, *(high - low)]),
        box3d=_floats([u, v, u - low[0], high[0] - u, v - low[1], high[1] - v]),
        depth=_floats(target.locations[0, 2] * augmentation.scale),
        size=_floats(target.sizes[0]),
        heading_bin=torch.tensor(int(bins[0])),
        heading_res=_floats(residuals[0]),
        present=torch.tensor(bool(_learnt(target)[0])),
        regions=torch.from_numpy(np.concatenate([level.ravel() for level in regions])),
        depth_regions=torch.from_numpy(regions[STRIDES.index(_DEPTH_STRIDE)].ravel()),
        **({} if scene is None else _scene(scene, image_size, augmentation, transform, data.resolution)),
    )


def _learnt(objects: CameraBoxes) -> np.ndarray:
    """Return (N,) bool: True for objects that are neither too truncated nor too occluded."""
    return (objects.truncated <= _MAX_TRUNCATED) & (objects.occluded <= _MAX_OCCLUDED)


def _mirrored_boxes(objects: CameraBoxes, image_size: tuple[int, int], augmentation: Augmentation) -> np.ndarray:
    """Return (N, 2, 2): the corners of the 2D boxes in the image, mirrored if the image is mirrored."""
    boxes = objects.boxes2d.reshape(-1, 2, 2)
    if not augmentation.flip:
        return boxes
    # labels mirror x to W - x, pixels to W - 1 - x: half a pixel apart, as published
    return np.stack([image_size[0] - boxes[:, ::-1, 0], boxes[..., 1]], 2)


def _scene(
    objects: CameraBoxes,
    image_size: tuple[int, int],
    augmentation: Augmentation,
    transform: np.ndarray,
    resolution: tuple[int, int],
) -> dict[str, Tensor]:
    """Return the boxes and depths of the nearest objects that are used for training."""
    objects = objects[_learnt(objects)]
    objects = objects[np.argsort(objects.locations[:, 2], kind="stable")[:MAX_SCENE]]
    boxes, depths = np.zeros((MAX_SCENE, 4)), np.zeros(MAX_SCENE)
    low, high = (apply_affine(_mirrored_boxes(objects, image_size, augmentation), transform) / resolution).transpose(
        1, 0, 2
    )
    boxes[: len(objects)] = np.concatenate([(low + high) / 2, high - low], 1)
    depths[: len(objects)] = objects.locations[:, 2] * augmentation.scale
    return {"scene_boxes": _floats(boxes), "scene_depths": _floats(depths)}


def region_masks(
    corners: np.ndarray, resolution: tuple[int, int], image_size: tuple[int, int], form: str
) -> list[np.ndarray]:
    """Return the positions of each feature level that a 2D box covers, including its first and last rows and columns.

    Args:
        corners: (2, 2) x, y of the upper left and lower right corner, network pixels; they may lie outside the network
            image.
        resolution: width, height of the network image.
        image_size: width, height of the original image, used by the published form only.
        form: "exact" or "published". The published form divides the corners, which are in network pixels, by the
            original image's size (masks are slightly too large) and truncates towards zero; negative indices count from
            the far end as in Python's slices (a box that begins left of or above the image loses its mask or marks the
            wrong corner).

    Returns:
        For each of STRIDES, a mask (h, w) uint8.
    """
    masks = []
    for stride in STRIDES:
        mask = np.zeros((resolution[1] // stride, resolution[0] // stride), np.uint8)
        cells = mask.shape[::-1]
        if form == "published":
            first, last = np.trunc(corners * cells / image_size).astype(int)
        else:
            first, last = np.floor(corners / stride).astype(int)
            first, last = (
                np.maximum(first, 0),
                np.maximum(last, -1),
            )  # -1 lies before the first cell and gives an empty slice
        mask[first[1] : last[1] + 1, first[0] : last[0] + 1] = 1
        masks.append(mask)
    return masks


def _floats(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
