"""Training targets of MonoDLE, made from labels: heatmap and per-object targets, with the published augmentation.

Every array has one slot per label line (the first `max_objects` lines), so that slot i is line i; slots of objects that
are not used for training stay zero and are False in the masks. A feature pixel has the size of 4 x 4 pixels of the
network's input; cells are row-major, y * w + x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.images.augment import Augmentation
from g3d.data.images.image import apply_affine, invert_affine
from g3d.data.kitti.object_depth import DepthRectangles, has_level, paint_warped
from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import box_corners, wrap_angle
from g3d.geometry.cameras import project, project_at_depth
from g3d.geometry.heading import heading_bins
from g3d.nn.dla import STRIDE
from g3d.systems.monodle.config import CLASS_NAMES

MEAN_SIZES = np.array(
    [[1.76255119, 0.66068622, 0.84422524], [1.52563191, 1.62856739, 3.52588311], [1.73698127, 0.59706367, 1.76282397]]
)
"""(3, 3) metres: mean height, width and length of Pedestrian, Car and Cyclist in KITTI's training labels.

Source: xinzhuma/monodle.
"""
_MIN_OVERLAP = 0.7


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of one image, or of B images with a leading dimension B; K slots, a feature map of h x w cells.

    Attributes:
        heatmap: (3, h, w) float32, Gaussians of Pedestrian, Car, Cyclist.
        cells: (K,) int64, the cell that contains the object's centre.
        offset_2d, offset_3d: (K, 2) float32, centre of the 2D box / projected 3D centre minus the cell, feature pixels.
        size_2d: (K, 2) float32, width and height, feature pixels.
        depth: (K,) float32, metres, multiplied by the augmentation's scale.
        heading_bin: (K,) int64, 0..11.
        heading_res: (K,) float32, radians.
        size_3d: (K, 3) float32, height, width, length in metres; with mean sizes, the difference from the class mean.
        src_size_3d: (K, 3) float32, height, width, length in metres.
        mask_2d: (K,) bool, True for objects used for training.
        mask_3d: (K,) bool, the same, but all False if the image is cropped.
        obj_depth: (H, W) float32, object-wise depth in the network's frame, metres; all 0 if the image is cropped; (0,
            0) if not requested.
    """

    heatmap: Tensor
    cells: Tensor
    offset_2d: Tensor
    offset_3d: Tensor
    size_2d: Tensor
    depth: Tensor
    heading_bin: Tensor
    heading_res: Tensor
    size_3d: Tensor
    src_size_3d: Tensor
    mask_2d: Tensor
    mask_3d: Tensor
    obj_depth: Tensor

    def to(self, device: torch.device | str) -> Targets:
        return Targets(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    @staticmethod
    def stack(targets: list[Targets]) -> Targets:
        """Return the targets of a batch, stacked from the targets of its images."""
        return Targets(*(torch.stack([getattr(t, f.name) for t in targets]) for f in fields(Targets)))


def encode(
    objects: CameraBoxes,
    camera: np.ndarray,
    image_size: tuple[int, int],
    augmentation: Augmentation,
    data: Any,
    mean_sizes: bool = False,
    rectangles: DepthRectangles | None = None,
) -> Targets:
    """Return the targets made from the labels of an image.

    Args:
        objects: all label lines in file order, including DontCare.
        camera: (3, 4) projection matrix of the original image.
        image_size: width, height of the original image.
        augmentation: the augmentation drawn for the image; a cropped image has no 3D targets.
        data: the preset's `data` section: resolution, classes, class_merging, center, box2d, min_depth, max_depth,
            max_objects.
        mean_sizes: make size_3d the difference from the class mean.
        rectangles: the content of the object-wise depth map, or None for no map.

    Source: xinzhuma/monodle, KITTI data set; Gaussians of princeton-vl/CornerNet.
    """
    resolution = data.resolution
    width, height = resolution[0] // STRIDE, resolution[1] // STRIDE
    transform = augmentation.transform(image_size, resolution)
    rows = np.flatnonzero(wanted(objects[: data.max_objects], data))
    objects = objects[rows]
    boxes, centers = boxes_and_centers(objects, camera, data.box2d)
    alpha = objects.alpha
    if augmentation.flip:  # labels mirror x to W - x, pixels to W - 1 - x: half a pixel apart, as published
        boxes = np.stack([image_size[0] - boxes[:, 2], boxes[:, 1], image_size[0] - boxes[:, 0], boxes[:, 3]], 1)
        centers = np.stack([image_size[0] - centers[:, 0], centers[:, 1]], 1)
        alpha = wrap_angle(np.pi - alpha)
    corners = apply_affine(boxes.reshape(-1, 2, 2), transform) / STRIDE
    box_centers, sizes_2d = corners.mean(1), corners[:, 1] - corners[:, 0]
    centers = apply_affine(centers, transform) / STRIDE

    cells = np.trunc(centers if data.center == "3d" else box_centers).astype(
        np.int64
    )  # rounds towards zero: centres less than a cell outside still count
    drawn = (cells >= 0).all(1) & (cells < (width, height)).all(1)
    class_ids = np.array([_class_id(name) for name in objects.classes], np.int64)
    heatmap = np.zeros((len(CLASS_NAMES), height, width), np.float32)
    for i in np.flatnonzero(drawn):
        draw_gaussian(heatmap[class_ids[i]], cells[i], gaussian_radius(*sizes_2d[i]))

    learnt = drawn & np.isin(objects.classes, CLASS_NAMES)  # a merged Van or Truck only draws into the heatmap
    present = np.ones(int(learnt.sum()), bool)
    sizes = objects.sizes[learnt]
    bins, residuals = heading_bins(alpha[learnt])

    def slots(values: np.ndarray, dtype: type = np.float32) -> Tensor:
        result = np.zeros((data.max_objects, *values.shape[1:]), dtype)
        result[rows[learnt]] = values
        return torch.from_numpy(result)

    return Targets(
        heatmap=torch.from_numpy(heatmap),
        cells=slots(cells[learnt, 1] * width + cells[learnt, 0], np.int64),
        offset_2d=slots((box_centers - cells)[learnt]),
        offset_3d=slots((centers - cells)[learnt]),
        size_2d=slots(sizes_2d[learnt]),
        depth=slots(objects.locations[learnt, 2] * augmentation.scale),
        heading_bin=slots(bins, np.int64),
        heading_res=slots(residuals),
        size_3d=slots(sizes - MEAN_SIZES[class_ids[learnt]] if mean_sizes else sizes),
        src_size_3d=slots(sizes),
        mask_2d=slots(present, np.bool_),
        mask_3d=slots(present & (not augmentation.crop), np.bool_),
        obj_depth=torch.from_numpy(_depth_map(rectangles, image_size, augmentation, resolution)),
    )


def _depth_map(
    rectangles: DepthRectangles | None,
    image_size: tuple[int, int],
    augmentation: Augmentation,
    resolution: tuple[int, int],
) -> np.ndarray:
    """Return the object-wise depth map in the network's frame: all 0 if cropped, (0, 0) if not requested."""
    if rectangles is None:
        return np.zeros((0, 0), np.float32)
    if augmentation.crop:
        return np.zeros((resolution[1], resolution[0]), np.float32)
    inverse = invert_affine(augmentation.transform(image_size, resolution))
    return paint_warped(rectangles, image_size, augmentation.flip, inverse, resolution)


def wanted(objects: CameraBoxes, data: Any) -> np.ndarray:
    """Return (N,) bool: True for objects of the trained classes, of a difficulty level, within the depth range.

    Van and Truck are included if classes are merged.
    """
    classes = [*data.classes, "Van", "Truck"] if data.class_merging else list(data.classes)
    depth = objects.locations[:, 2]
    return (
        np.isin(objects.classes, classes) & has_level(objects) & (depth >= data.min_depth) & (depth <= data.max_depth)
    )


def depth_map_of_cars(data: Any) -> bool:
    """Return whether the object-wise depth map shows cars only.

    As published, it does if one class is trained, whichever it is, and no classes are merged.
    """
    return len(data.classes) == 1 and not data.class_merging


def boxes_and_centers(objects: CameraBoxes, camera: np.ndarray, box2d: str) -> tuple[np.ndarray, np.ndarray]:
    """Return 2D boxes (N, 4) and projected 3D centres (N, 2), pixels of the original image, not clipped to it.

    Args:
        box2d: "annotated" for the label's own box, "projected" for the box around the projected corners of the 3D box.
    """
    middles = objects.locations - objects.sizes[:, :1] / 2 * [0, 1, 0]
    centers = project_at_depth(middles, camera)
    if box2d == "annotated":
        return objects.boxes2d, centers
    corners = project(box_corners(objects.locations, objects.sizes, objects.rotation_y), camera)
    return np.concatenate([corners.min(1), corners.max(1)], 1), centers


def gaussian_radius(width: float, height: float) -> int:
    """Return CornerNet's radius for boxes of (width, height) cells: corners within it overlap the box by about 0.7.

    The published solution of the quadratic equations omits the division by the leading coefficient; it is kept.
    """
    m, total, area = _MIN_OVERLAP, width + height, width * height
    inside = (total + math.sqrt(max(0.0, total**2 - 4 * area * (1 - m) / (1 + m)))) / 2
    both = (2 * total + math.sqrt(max(0.0, 4 * total**2 - 16 * (1 - m) * area))) / 2
    outside = (-2 * m * total + math.sqrt(max(0.0, 4 * m**2 * total**2 + 16 * m * (1 - m) * area))) / 2
    return max(0, int(min(inside, both, outside)))


def draw_gaussian(plane: np.ndarray, cell: np.ndarray, radius: int) -> None:
    """Raise a heatmap plane (h, w) to a Gaussian of peak 1 at `cell` (x, y).

    Sigma is (2 radius + 1) / 6, and the Gaussian is cut off at the radius.
    """
    (x, y), (height, width) = cell, plane.shape
    left, right = max(0, x - radius), min(width, x + radius + 1)
    top, bottom = max(0, y - radius), min(height, y + radius + 1)
    sigma = (2 * radius + 1) / 6
    values = np.exp(-((np.arange(left, right) - x) ** 2 + (np.arange(top, bottom)[:, None] - y) ** 2) / (2 * sigma**2))
    values[values < np.finfo(np.float64).eps] = 0
    window = plane[top:bottom, left:right]
    np.maximum(window, values, out=window, casting="same_kind")


def _class_id(name: str) -> int:
    """Return the network's class id of a trained type; Van and Truck, present only if merged, count as Car."""
    return CLASS_NAMES.index(name) if name in CLASS_NAMES else CLASS_NAMES.index("Car")
