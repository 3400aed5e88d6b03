"""Scenes as 3D object detectors read them: annotated points and boxes, drawn points, and published augmentation.

Everything is in the aligned frame, in metres. Letters in shapes: N points of a scene, n drawn points, K boxes.

Source: scannet/scannet_detection_dataset.py of facebookresearch/votenet and zeliu98/Group-Free-3D; lib/dataset.py of
ZzZZCHS/WS-3DVG, which is that of daveredrum/ScanRefer.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from g3d.data.scannet.labels import DETECTION18_IDS, SCANREFER_BOX_IDS, detection18, scanrefer18

MAXIMUM_BOXES = 64
"""Box rows of VoteNet and Group-Free 3D."""


@dataclass(frozen=True, eq=False)
class DetectionScene:
    """An annotated scene.

    Attributes:
        name: the scene's name.
        points: (N, 3) float32.
        colours: (N, 3) uint8.
        instances: (N,) int64, objectId + 1, 0 = none.
        nyu40: (N,) int64, class of the object that a point belongs to, 0 = none.
        boxes: (K, 6) float64, centre and size.
        box_nyu40: (K,) int64.
        box_ids: (K,) int64 objectId, -1 where the files do not state it.
        annotated: False for a test scan, whose labels are all 0.
    """

    name: str
    points: np.ndarray
    colours: np.ndarray
    instances: np.ndarray
    nyu40: np.ndarray
    boxes: np.ndarray
    box_nyu40: np.ndarray
    box_ids: np.ndarray
    annotated: bool = True


@dataclass(frozen=True)
class ClassSystem:
    """A choice of objects and their class numbers.

    Attributes:
        nyu40: nyu40 ids of the objects that are kept.
        index: function from nyu40 ids (any shape) to class numbers.
    """

    nyu40: tuple[int, ...]
    index: Callable[[np.ndarray], np.ndarray]


DETECTION18 = ClassSystem(DETECTION18_IDS, detection18)
"""The 18 classes of VoteNet and Group-Free 3D."""
SCANREFER18 = ClassSystem(SCANREFER_BOX_IDS, scanrefer18)
"""The 37 nyu40 classes that ScanRefer and WS-3DVG keep, as 17 classes and "others"."""


@dataclass(frozen=True, eq=False)
class DetectionItem:
    """Drawn points of one scene, with its objects and boxes.

    Attributes:
        points: (n, 3) float32 positions, or (n, 4) with the height above the floor as last column.
        instances: (n,) int64, objectId + 1, 0 = none.
        nyu40: (n,) int64, 0 = none.
        boxes: (K, 6) float64, centre and size of the kept boxes.
        classes: (K,) int64 class numbers of the boxes.
        ids: (K,) int64 objectId of the boxes, -1 where it is not known.
        kept: nyu40 ids of the objects that count.
    """

    points: np.ndarray
    instances: np.ndarray
    nyu40: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    ids: np.ndarray
    kept: tuple[int, ...]

    def objects(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the objects among the drawn points.

        As published, an instance is an object if its first drawn point has a kept nyu40 id; instance 0, the points
        without annotation, is treated like every other.

        Returns:
            (I, 3) float32, the middle of the bounding box of each object's drawn points, and (n,) int64, the object
            that a point belongs to, -1 for none.
        """
        if not len(self.points):
            return np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
        _, first, instance_of, sizes = np.unique(
            self.instances, return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(instance_of.reshape(-1), kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        positions = self.points[order, :3]
        low, high = np.minimum.reduceat(positions, starts), np.maximum.reduceat(positions, starts)
        counts = np.isin(self.nyu40[first], self.kept)
        numbers = np.where(counts, np.cumsum(counts) - 1, -1)
        middles = (np.float32(0.5) * (low + high))[counts]
        return middles, numbers[instance_of.reshape(-1)].astype(np.int64)


def draw_item(
    scene: DetectionScene, rows: np.ndarray, height: bool, system: ClassSystem = DETECTION18
) -> DetectionItem:
    """Return the chosen points of a scene with its kept boxes.

    Args:
        scene: the annotated scene.
        rows: (n,) int64, the points in their order; see `draw_rows`.
        height: append the height above the floor, which `floor_height` finds from all points of the scene.
        system: the objects that are kept, and their classes.
    """
    points = scene.points[rows]
    if height:
        points = np.hstack([points, points[:, 2:3] - floor_height(scene.points)])
    keep = np.isin(scene.box_nyu40, system.nyu40)
    return DetectionItem(
        points=points,
        instances=scene.instances[rows],
        nyu40=scene.nyu40[rows],
        boxes=scene.boxes[keep],
        classes=system.index(scene.box_nyu40[keep]).astype(np.int64),
        ids=scene.box_ids[keep],
        kept=system.nyu40,
    )


def floor_height(points: np.ndarray) -> np.float32:
    """Return the height of the floor: the 0.99th percentile (0.99 percent, as published) of the z of (N, 3) points."""
    return np.float32(np.percentile(points[:, 2], 0.99))


def draw_rows(random: np.random.Generator, count: int, drawn: int) -> np.ndarray:
    """Return `drawn` of `count` rows as (drawn,) int64, in random order; with repetitions only if there are fewer."""
    return random.choice(count, drawn, replace=count < drawn)


def draw_generator(scene: str, epoch: int) -> np.random.Generator:
    """Return the generator that draws a scene's points.

    The published code draws without a seed, also in evaluation. Here, the same scene and epoch (or repetition of an
    evaluation) always give the same points, whatever the order of the scenes and the number of processes.
    """
    return np.random.default_rng([zlib.crc32(scene.encode()), epoch])


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a scene in training; the defaults are those of VoteNet and Group-Free 3D.

    Attributes:
        flip: probability of mirroring x, and of mirroring y.
        degrees: bounds of the rotation about x, y and z, in this order of application; 0 for none.
        scale: bound of the logarithm of the scale of each axis.
        shift: bound in metres of the shift of each axis, a multiple of 1 mm.
        published_box_sizes: the published fault in box sizes after a rotation about x or y: the half sizes are placed
            on the wrong axes, so that the size hardly changes. False bounds the turned box.
    """

    flip: float = 0.5
    degrees: tuple[float, float, float] = (0.0, 0.0, 5.0)
    scale: float = 0.0
    shift: float = 0.0
    published_box_sizes: bool = False


WS3DVG_AUGMENTATION = Augmentation(flip=0.3, degrees=(5.0, 5.0, 5.0), scale=0.1, shift=0.5)
"""The augmentation of WS-3DVG and ScanRefer, with correct box sizes."""


def augment(item: DetectionItem, random: np.random.Generator, settings: Augmentation = Augmentation()) -> DetectionItem:
    """Return a randomly changed copy of an item. Heights above the floor do not change."""
    points, boxes = item.points[:, :3].astype(np.float64), item.boxes.copy()
    for axis in (0, 1):
        if random.random() < settings.flip:
            points[:, axis] *= -1
            boxes[:, axis] *= -1
    for axis, bound in enumerate(settings.degrees):
        if bound:
            turn = rotation_about(axis, np.radians(random.uniform(-bound, bound)))
            points = points @ turn.T
            boxes = turned_boxes(boxes, turn, axis, settings.published_box_sizes)
    if settings.scale:
        scale = np.exp(random.uniform(-settings.scale, settings.scale, 3))
        points, boxes = points * scale, boxes * np.tile(scale, 2)
    if settings.shift:
        steps = round(settings.shift * 1000)
        shift = random.integers(-steps, steps, 3, endpoint=True) / 1000
        points = points + shift
        boxes[:, :3] += shift
    return replace(item, points=np.hstack([points.astype(np.float32), item.points[:, 3:]]), boxes=boxes)


def rotation_about(axis: int, angle: float) -> np.ndarray:
    """Return the (3, 3) rotation by `angle` radians about x, y or z (0, 1, 2), counter-clockwise seen from its tip."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(angle)
    turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
    return turn


def turned_boxes(boxes: np.ndarray, turn: np.ndarray, axis: int, published: bool = False) -> np.ndarray:
    """Return the axis-aligned bounds of turned boxes, (K, 6) centre and size.

    Args:
        boxes: (K, 6) centre and size, metres.
        turn: (3, 3) rotation about one axis.
        axis: number of this axis.
        published: see `Augmentation.published_box_sizes`.
    """
    centers, sizes = boxes[:, :3] @ turn.T, boxes[:, 3:6]
    if not published or axis == 2:
        return np.hstack([centers, sizes @ np.abs(turn).T])
    others = [k for k in range(3) if k != axis]
    changed = sizes.copy()
    changed[:, others] = sizes[:, others] @ np.abs(turn[:2, :2]).T
    return np.hstack([centers, changed])
