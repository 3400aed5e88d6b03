"""What is drawn of an indoor scene: a mesh or a cloud in several colourings, boxes, cameras."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

NOTHING = "#8a939e"


@dataclass(frozen=True)
class Layer:
    """One colouring of the vertices: their own colours (N, 3) uint8, or ids (N,) int32 with a name for each.

    Ids below 0 mean nothing, and are grey.
    """

    colours: np.ndarray | None = None
    ids: np.ndarray | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def painted(self) -> np.ndarray:
        """(N, 3) uint8."""
        if self.colours is not None:
            return self.colours
        assert self.ids is not None
        found, inverse = np.unique(self.ids, return_inverse=True)
        return np.array([rgb(colour_of(int(i))) for i in found], np.uint8).reshape(-1, 3)[inverse.reshape(-1)]


@dataclass(frozen=True)
class RoomObject:
    """An object: its id, name, and box as corners (8, 3) in metres (g3d.geometry.boxes order), if it has one."""

    id: int
    name: str
    corners: np.ndarray | None = None
    size: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class CameraView:
    """A camera: its name and the points (5, 3) of its eye and the corners of its picture, held half a metre away."""

    name: str
    corners: np.ndarray


@dataclass(frozen=True)
class Room:
    """Everything that is drawn of one scene, in one frame (z up, metres).

    Attributes:
        name: of the scene.
        vertices: (N, 3) float32.
        faces: (F, 3) int32, or None for a cloud.
        layers: colourings by name, at least one; the first is shown first.
        objects: with boxes.
        cameras: to draw.
        notes: sentences for the reader: which frame this is, what is missing.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray | None
    layers: Mapping[str, Layer]
    objects: Sequence[RoomObject] = ()
    cameras: Sequence[CameraView] = ()
    notes: Sequence[str] = ()


def colour_of(number: int) -> str:
    """ "#RRGGBB" of an id: neighbouring numbers get unlike hues; below 0 grey."""
    if number < 0:
        return NOTHING
    red, green, blue = colorsys.hls_to_rgb((number * 137.508 % 360) / 360, 0.52 + 0.12 * (number % 3), 0.62)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def rgb(colour: str) -> tuple[int, int, int]:
    """ "#RRGGBB" as numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def camera_view(
    name: str, pose: np.ndarray, intrinsics: np.ndarray, image_size: tuple[int, int], reach: float = 0.5
) -> CameraView:
    """The frustum of a camera.

    Args:
        name: of the frame.
        pose: (4, 4) camera to world.
        intrinsics: (3, 3) pixels.
        image_size: (width, height).
        reach: metres from the eye to its far end.
    """
    width, height = image_size
    pixels = np.array([[0, 0], [width, 0], [width, height], [0, height]], float) - 0.5
    rays = np.c_[(pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], np.ones(4)] * reach
    return CameraView(name, np.vstack([np.zeros(3), rays]) @ pose[:3, :3].T + pose[:3, 3])
