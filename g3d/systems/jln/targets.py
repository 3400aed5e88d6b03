"""What the network should say about the object of a sentence: its label -> boxes, depth, size, heading, and masks of its region.

Source: the official JLN repository's Mono3DRefer data set (that of ZhanYang-nwpu/Mono3DVG and the region masks).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.augment import Augmentation
from g3d.data.image import apply_affine
from g3d.data.types import Objects
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import project_at_depth, ray_angle
from g3d.geometry.heading import heading_bins
from g3d.systems.jln.config import CLASS_NAMES, STRIDES

_MAX_TRUNCATED, _MAX_OCCLUDED = 0.5, 2
_DEPTH_STRIDE = 16


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of one sample, or of B samples with a leading dimension B. P: positions of all four levels, P16: those of stride 16.

    Attributes:
        label: () int64, index in CLASS_NAMES.
        box: (4,) float32, the 2D box: centre x and y, width, height; 0..1 of the network image.
        box3d: (6,) float32, projected 3D centre x and y, then distances from it to the left, right, top and bottom side of the 2D box;
            0..1 of the network image; a distance is negative when the centre lies beyond that side.
        depth: () float32, metres, times the augmentation's scale.
        size: (3,) float32, height, width, length in metres.
        heading_bin: () int64, 0..11. heading_res: () float32, radians.
        present: () bool; False leaves the object out of the matched losses: it is too truncated or occluded.
        regions: (P,) uint8, 1 where a position of a level lies in the 2D box, rows first, levels from fine to coarse.
        depth_regions: (P16,) uint8, the same at stride 16.
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

    def to(self, device: torch.device | str) -> Targets:
        return Targets(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    @staticmethod
    def stack(targets: list[Targets]) -> Targets:
        """Targets of samples -> targets of their batch."""
        return Targets(*(torch.stack([getattr(t, f.name) for t in targets]) for f in fields(Targets)))


def encode(target: Objects, camera: np.ndarray, image_size: tuple[int, int], augmentation: Augmentation, data: Any) -> Targets:
    """The label of a sentence's object -> targets.

    In a mirrored image the camera is not mirrored, as published: heading is relative to the ray of the unmirrored camera, which lies
    about 2 degrees beside the true one where KITTI's principal point is.

    Args:
        target: one row, the object in the original image.
        camera: (3, 4) projection matrix of the original image.
        image_size: width, height of the original image.
        augmentation: as drawn for the image.
        data: the preset's `data` section: resolution, region_masks.
    """
    box, yaw = target.boxes2d.reshape(2, 2), target.rotation_y
    middle = target.locations - target.sizes[:, :1] / 2 * [0, 1, 0]
    center = project_at_depth(middle, camera)
    if augmentation.flip:  # labels mirror x to W - x, pixels to W - 1 - x: half a pixel apart, as published
        box = np.array([[image_size[0] - box[1, 0], box[0, 1]], [image_size[0] - box[0, 0], box[1, 1]]])
        center = np.stack([image_size[0] - center[:, 0], center[:, 1]], 1)
        yaw = wrap_angle(np.pi - yaw)
    bins, residuals = heading_bins(wrap_angle(yaw - ray_angle(box[:, 0].mean(keepdims=True), camera)))

    transform = augmentation.transform(image_size, data.resolution)
    corners = apply_affine(box, transform)  # of the 2D box, network pixels
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
        present=torch.tensor(bool(target.truncated[0] <= _MAX_TRUNCATED and target.occluded[0] <= _MAX_OCCLUDED)),
        regions=torch.from_numpy(np.concatenate([level.ravel() for level in regions])),
        depth_regions=torch.from_numpy(regions[STRIDES.index(_DEPTH_STRIDE)].ravel()),
    )


def region_masks(corners: np.ndarray, resolution: tuple[int, int], image_size: tuple[int, int], form: str) -> list[np.ndarray]:
    """The positions of each feature level that a 2D box covers, the cells of its first and last row and column included.

    Args:
        corners: (2, 2) x, y of the upper left and lower right corner, network pixels; may lie outside the network image.
        resolution: width, height of the network image.
        image_size: width, height of the original image, which only the published form looks at.
        form: "exact"; or "published": the corners, though in network pixels, are divided by the original image's size (masks a little too
            large), cut towards zero, and negative ones count from the far end as Python's slices do (boxes that begin left of or above
            the image lose their mask or mark the wrong corner).

    Returns:
        For each of STRIDES a mask (h, w) uint8.
    """
    masks = []
    for stride in STRIDES:
        mask = np.zeros((resolution[1] // stride, resolution[0] // stride), np.uint8)
        cells = mask.shape[::-1]
        if form == "published":
            first, last = np.trunc(corners * cells / image_size).astype(int)
        else:
            first, last = np.floor(corners / stride).astype(int)
            first, last = np.maximum(first, 0), np.maximum(last, -1)  # -1 is before the first cell: no slice of a mask
        mask[first[1] : last[1] + 1, first[0] : last[0] + 1] = 1
        masks.append(mask)
    return masks


def _floats(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
