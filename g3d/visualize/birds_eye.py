"""Draw boxes in a bird's-eye view: footprints on a metre grid, with the camera at the bottom and forward up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from g3d.data.answers import CameraBoxes
from g3d.geometry.boxes import box_corners
from g3d.geometry.cameras import camera_offset, unproject
from g3d.visualize.canvas import Canvas, text_size
from g3d.visualize.image_item import ImageItem
from g3d.visualize.palette import TRUTH, class_colour
from g3d.visualize.wireframe import distances, has_box3d

GROUND, LINES, ARCS, BORDERS, WORDS = "#12181F", "#2A3440", "#4A5866", "#5E6D7C", "#8D9AA8"
_BEHIND = 4.0  # metres shown behind the camera


@dataclass(frozen=True)
class View:
    """The mapping from the ground to the image: `scale` pixels per metre, camera at (`x`, `y`) pixels, forward is
    up."""

    scale: float
    x: float
    y: float

    def pixels(self, ground: np.ndarray) -> np.ndarray:
        """Convert ground points (..., 2), (x, z) in metres, camera frame, to pixels (..., 2)."""
        return np.stack([self.x + self.scale * ground[..., 0], self.y - self.scale * ground[..., 1]], -1)

    @staticmethod
    def fit(size: tuple[int, int], reach: float) -> View:
        """Return a view of `reach` metres ahead in an image of `size` (width, height)."""
        scale = size[1] / (reach + _BEHIND)
        return View(scale, size[0] / 2, size[1] - _BEHIND * scale)


def birds_eye(item: ImageItem, size: tuple[int, int], truth: bool = True, reach: float | None = None) -> Image.Image:
    """Return the bird's-eye view: metre grid, range arcs, the camera's field of view, footprints, and a legend.

    Predictions are filled in their class's colour, ground truth is outlined in white and dashed; the line from the
    middle to the front shows the heading. Positions are in the camera frame.

    Args:
        item: the item to draw, which must have a camera; the image is not read.
        size: (width, height) of the view, pixels.
        truth: draw the ground truth, if the item has any.
        reach: metres shown ahead of the camera; by default up to the farthest object, 30 to 120.
    """
    shown = [item.predictions] + ([item.ground_truth] if truth and item.ground_truth is not None else [])
    shown = [objects[has_box3d(objects)] for objects in shown]
    view = View.fit(size, reach or _reach(shown))
    canvas = Canvas(Image.new("RGB", size, GROUND))
    _draw_ground(canvas, view, item)
    for objects in shown[1:]:
        _draw_truth(canvas, view, objects)
    _draw_footprints(canvas, view, shown[0])
    canvas.flatten()
    _write_ranges(canvas, view)
    canvas.text((12, 12), item.name, "#C9D3DD", 13)
    nothing = "No box has a size" if len(item.predictions) else "No detections"
    _write_legend(canvas, shown[0], shown[1] if len(shown) > 1 else None, nothing)
    return canvas.picture


def _reach(shown: list[CameraBoxes]) -> float:
    ahead = max((float(objects.locations[:, 2].max()) for objects in shown if len(objects)), default=0.0)
    return float(np.clip(np.ceil((ahead + 5) / 10) * 10, 30, 120))


def _draw_ground(canvas: Canvas, view: View, item: ImageItem) -> None:
    far = view.y / view.scale
    side = 10 * np.ceil(canvas.size[0] / 2 / view.scale / 10)
    camera, left, right = _field_of_view(item, 2 * far)
    canvas.polygon(view.pixels(np.stack([camera, left, right])), "#FFFFFF", 0.045)
    for x in np.arange(-side, side + 1, 10):
        canvas.line(view.pixels(np.array([[x, -_BEHIND], [x, far]])), LINES, 1, 0.55)
    for z in np.arange(0, far, 10):
        canvas.line(view.pixels(np.array([[-side, z], [side, z]])), LINES, 1, 0.55)
    turn = np.linspace(-np.pi / 2, np.pi / 2, 91)
    for distance in np.arange(10, np.hypot(far, side), 10):
        arc = distance * np.stack([np.sin(turn), np.cos(turn)], -1)
        canvas.line(view.pixels(arc), ARCS if distance % 20 == 0 else LINES, 1)
    for border in (left, right):
        canvas.line(view.pixels(np.stack([camera, border])), BORDERS, 1.2)
    canvas.disc((view.x, view.y), 3.5, WORDS)


def _field_of_view(item: ImageItem, depth: float) -> np.ndarray:
    """Return (3, 2) ground points: the camera, and the left and right border of its image at `depth` metres."""
    assert item.camera is not None  # there is no view without a camera
    middle = item.camera[1, 2]
    border = unproject(
        np.array([[-0.5, middle], [item.image_size[0] - 0.5, middle]]), np.array([depth, depth]), item.camera
    )
    return np.array([[camera_offset(item.camera)[0], 0], border[0, [0, 2]], border[1, [0, 2]]])


def _footprints(objects: CameraBoxes) -> np.ndarray:
    """Return the ground points of the boxes' bottom corners, (N, 4, 2); 0 and 1 are the front."""
    return box_corners(objects.locations, objects.sizes, objects.rotation_y)[:, :4][..., [0, 2]]


def _draw_footprints(canvas: Canvas, view: View, objects: CameraBoxes) -> None:
    rings = view.pixels(_footprints(objects))
    for k in np.argsort(-distances(objects), kind="stable"):
        colour, ring = class_colour(str(objects.classes[k])), rings[k]
        canvas.polygon(ring, colour, 0.35)
        canvas.line(ring[[0, 1, 2, 3, 0]], colour, 1.6)
        canvas.line(_heading(ring), colour, 1.6)
        canvas.line(ring[:2], colour, 2.6)


def _draw_truth(canvas: Canvas, view: View, objects: CameraBoxes) -> None:
    for ring in view.pixels(_footprints(objects)):
        canvas.line(ring[[0, 1, 2, 3, 0]], TRUTH[0], 1.4, dash=(3, 2.5))
        canvas.line(_heading(ring), TRUTH[0], 1.4)


def _heading(ring: np.ndarray) -> np.ndarray:
    """Return the line (2, 2) from the middle of a footprint through the middle of its front, extended by half."""
    middle, front = ring.mean(0), ring[:2].mean(0)
    return np.stack([middle, front + 0.5 * (front - middle)])


def _write_ranges(canvas: Canvas, view: View) -> None:
    """Write the distances of the arcs along the camera's axis."""
    for distance in range(20, int(view.y / view.scale), 20):
        x, y = view.pixels(np.array([0.0, distance]))
        canvas.text((x + 4, y - 2), f"{distance} m", WORDS, 11, "ls")


def _write_legend(canvas: Canvas, found: CameraBoxes, truth: CameraBoxes | None, nothing: str) -> None:
    """Draw the classes with their counts in the lower left corner, outside the camera's field of view."""
    names, counts = np.unique(found.classes, return_counts=True)
    rows = [(class_colour(str(name)), f"{name}   {count}") for name, count in zip(names, counts, strict=True)]
    if truth is not None:
        rows.append((TRUTH[0], f"Ground truth   {len(truth)}"))
    if not rows:
        rows = [(LINES, nothing)]
    step = text_size("Ag", 12)[1] + 7
    top = canvas.size[1] - 12 - step * len(rows)
    for k, (colour, _) in enumerate(rows):
        y = top + step * k
        if colour == TRUTH[0]:
            canvas.line(np.array([[12, y + 6], [24, y + 6]]), colour, 1.4, dash=(3, 2.5))
        else:
            canvas.box((12, y + 1, 24, y + 11), colour, 1, 2)
    canvas.flatten()
    for k, (_, words) in enumerate(rows):
        canvas.text((31, top + step * k + 6), words, "#C9D3DD", 12, "lm")
