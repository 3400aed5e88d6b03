"""Visibility of each actor, measured on the rendered samples, and the label lines that follow from it.

The rules:
- 2D box: the exact extent of the actor's whole silhouette (including hidden parts) inside the image, whose corners are
  the centres of its corner pixels: x in [0, W - 1], y in [0, H - 1], as in KITTI.
- truncated: share of the silhouette's area that is outside the image.
- occluded: 0 if at least OCCLUSION[0] of the silhouette's samples inside the image are visible, 1 if at least
  OCCLUSION[1], else 2.
- An actor without a visible sample has no line. A barely visible actor (under LEAST_SEEN of its samples, LEAST_AREA
  pixels or LEAST_HEIGHT pixels of box height, or truncated beyond MOST_TRUNCATED) gets a DontCare line, after the
  others.
- alpha is rotation_y - atan2(x, z); sizes, positions and yaws are exactly those of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g3d.data.types import CameraBoxes
from g3d.geometry.boxes import wrap_angle
from g3d.kernels import rasterise
from g3d.synthetic.streets.render import Frame
from g3d.synthetic.streets.scene import Actor, Scene

OCCLUSION = (0.85, 0.5)
LEAST_SEEN, LEAST_AREA, LEAST_HEIGHT, MOST_TRUNCATED = 0.12, 16.0, 6.0, 0.9
_GRID = 128  # samples along each side of a silhouette that extends beyond the image, to measure its area
_EVERYWHERE = (-1e9, -1e9, 1e9, 1e9)


@dataclass(frozen=True)
class Sight:
    """The visibility of an actor in the image.

    Attributes:
        box: (left, top, right, bottom) inside the image, pixels; left > right if the actor is outside.
        truncated: share of its silhouette outside the image.
        visible: visible share of its samples inside the image; 0 if there are none.
        area: visible area, pixels.
    """

    box: tuple[float, float, float, float]
    truncated: float
    visible: float
    area: float

    @property
    def occluded(self) -> int:
        return 0 if self.visible >= OCCLUSION[0] else 1 if self.visible >= OCCLUSION[1] else 2

    @property
    def status(self) -> str:
        """Status of the actor: "labelled", "dontcare" or "hidden"."""
        if self.area == 0 or self.box[0] >= self.box[2] or self.box[1] >= self.box[3]:
            return "hidden"
        barely = self.visible < LEAST_SEEN or self.area < LEAST_AREA or self.box[3] - self.box[1] < LEAST_HEIGHT
        return "dontcare" if barely or self.truncated > MOST_TRUNCATED else "labelled"


@dataclass(frozen=True, eq=False)
class FrameLabels:
    """The label lines of a frame, `objects`, and for each actor its visibility and the index of its line, None if it
    has none."""

    objects: CameraBoxes
    sights: tuple[Sight, ...]
    lines: tuple[int | None, ...]


def label_frame(scene: Scene, frame: Frame) -> FrameLabels:
    """Measure all actors and return their labels in the order of the actors, DontCare last; numbers are rounded as in
    KITTI's text format."""
    sights = tuple(
        _measure(silhouette, int(seen), frame)
        for silhouette, seen in zip(frame.silhouettes, frame.visible, strict=True)
    )
    order = [k for status in ("labelled", "dontcare") for k, sight in enumerate(sights) if sight.status == status]
    lines = tuple(order.index(k) if k in order else None for k in range(len(sights)))
    rows = [_row(scene.actors[k], sights[k]) for k in order]
    if not rows:
        return FrameLabels(CameraBoxes.empty(), sights, lines)
    classes, truncated, occluded, alpha, boxes, sizes, locations, yaws = zip(*rows, strict=True)
    return FrameLabels(
        CameraBoxes(
            np.array(classes),
            np.array(boxes),
            np.array(sizes),
            np.array(locations),
            np.array(yaws),
            np.array(alpha),
            np.array(truncated),
            np.array(occluded),
        ),
        sights,
        lines,
    )


def silhouette_mask(silhouette: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the samples that an actor would cover without occlusion, (H * samples, W * samples) bool."""
    mask = np.zeros(frame.index.shape, np.uint8)
    step = 1 / frame.samples
    rasterise.cover(silhouette, (step / 2 - 0.5, step / 2 - 0.5), (step, step), mask, 1)
    return mask.astype(bool)


def _measure(silhouette: np.ndarray, seen: int, frame: Frame) -> Sight:
    height, width = frame.image.shape[:2]
    box = rasterise.extent(silhouette, (0.0, 0.0, width - 1.0, height - 1.0))
    whole = rasterise.extent(silhouette, _EVERYWHERE)
    fill = _samples_inside(silhouette, box, frame) if box[0] < box[2] else 0
    visible = seen / fill if fill else 0.0
    return Sight(box, _share_outside(silhouette, whole, (width, height)), min(1.0, visible), seen / frame.samples**2)


def _samples_inside(silhouette: np.ndarray, box: tuple[float, float, float, float], frame: Frame) -> int:
    """Count the samples of the image that a silhouette covers, with the grid and the coverage rule of the rendered
    image."""
    step = 1 / frame.samples
    rows, columns = frame.index.shape
    first = [max(0, int((low + 0.5) / step) - 2) for low in box[:2]]
    stop = [min(limit, int((high + 0.5) / step) + 4) for high, limit in zip(box[2:], (columns, rows), strict=True)]
    mask = np.zeros((stop[1] - first[1], stop[0] - first[0]), np.uint8)
    origin = step / 2 - 0.5
    rasterise.cover(silhouette, (origin + step * first[0], origin + step * first[1]), (step, step), mask, 1)
    return int(mask.sum())


def _share_outside(
    silhouette: np.ndarray, whole: tuple[float, float, float, float], image_size: tuple[int, int]
) -> float:
    left, top, right, bottom = whole
    if left >= -0.5 and top >= -0.5 and right <= image_size[0] - 0.5 and bottom <= image_size[1] - 0.5:
        return 0.0
    step = ((right - left) / _GRID, (bottom - top) / _GRID)
    mask = np.zeros((_GRID, _GRID), np.uint8)
    rasterise.cover(silhouette, (left + step[0] / 2, top + step[1] / 2), step, mask, 1)
    columns, rows = (low + gap * (np.arange(_GRID) + 0.5) for low, gap in zip((left, top), step, strict=True))
    inside = ((rows > -0.5) & (rows < image_size[1] - 0.5))[:, None] & (
        (columns > -0.5) & (columns < image_size[0] - 0.5)
    )
    return 1 - float(mask[inside].sum()) / max(1, int(mask.sum()))


def _row(actor: Actor, sight: Sight) -> tuple:
    box = np.round(sight.box, 2)
    if sight.status == "dontcare":
        return "DontCare", -1.0, -1, -10.0, box, np.full(3, -1.0), np.full(3, -1000.0), -10.0
    alpha = round(float(wrap_angle(actor.rotation_y - np.arctan2(actor.location[0], actor.location[2]))), 2)
    return (
        actor.type,
        round(sight.truncated, 2),
        sight.occluded,
        alpha,
        box,
        actor.size,
        actor.location,
        actor.rotation_y,
    )
