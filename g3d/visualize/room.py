"""Data types of a drawn indoor scene: a mesh or a cloud in several colourings, boxes, cameras."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

NOTHING = "#8a939e"

STRUCTURE = frozenset(
    {"wall", "floor", "ceiling", "otherstructure", "other structure", "unannotated", "unlabelled", "unlabeled"}
)
"""Classes of the room itself and of parts without a label; their boxes enclose all others."""


@dataclass(frozen=True)
class Layer:
    """One colouring of the vertices: colours (N, 3) uint8, or ids (N,) int32 with names.

    Ids below 0 mean unlabelled and are grey.
    """

    colours: np.ndarray | None = None
    ids: np.ndarray | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def painted(self) -> np.ndarray:
        """Return the colours of the vertices, (N, 3) uint8."""
        if self.colours is not None:
            return self.colours
        assert self.ids is not None
        found, inverse = np.unique(self.ids, return_inverse=True)
        return np.array([rgb(colour_of(int(i))) for i in found], np.uint8).reshape(-1, 3)[inverse.reshape(-1)]


@dataclass(frozen=True)
class RoomObject:
    """An object of a scene, with a box if it has one.

    Attributes:
        id: number of the object in its scene.
        name: its class or label.
        corners: (8, 3) metres in the order of g3d/geometry/boxes.py, None without a box.
        size: extents along the box's x, y and z in metres, None without a box.
        score: confidence of a prediction, None for a label.
        colour: "#RRGGBB" of its box; None: the colour of its id.
    """

    id: int
    name: str
    corners: np.ndarray | None = None
    size: tuple[float, float, float] | None = None
    score: float | None = None
    colour: str | None = None

    @property
    def is_structure(self) -> bool:
        """True for walls, floor and ceiling, which a page hides at first."""
        return self.name.lower() in STRUCTURE

    @property
    def shown_colour(self) -> str:
        """The colour of the box as "#RRGGBB"."""
        return self.colour or colour_of(self.id)


@dataclass(frozen=True)
class CameraView:
    """A camera frustum: the camera's name and the points (5, 3) of its centre and of the corners of its far end."""

    name: str
    corners: np.ndarray


@dataclass(frozen=True)
class Room:
    """The drawable content of one scene, in one frame (z up, metres).

    Attributes:
        name: name of the scene.
        vertices: (N, 3) float32.
        faces: (F, 3) int32, or None for a cloud.
        layers: colourings by name, at least one; the first is shown first.
        objects: the objects, with or without boxes.
        cameras: camera frustums.
        notes: sentences for the reader, about the frame and missing data.
        offset: (3,) float64, subtracted from the coordinates of the file; None: no offset.
        rows: (N,) int64, the index of each vertex in the file; None: all vertices were kept.
        left_out: number of vertices of the file that were left out.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray | None
    layers: Mapping[str, Layer]
    objects: Sequence[RoomObject] = ()
    cameras: Sequence[CameraView] = ()
    notes: Sequence[str] = ()
    offset: np.ndarray | None = None
    rows: np.ndarray | None = None
    left_out: int = 0


def scene_corners(centers: np.ndarray, sizes: np.ndarray, yaws: np.ndarray) -> np.ndarray:
    """Return the corners of scene boxes, (N, 8, 3) metres: around the bottom, then around the top.

    Args:
        centers: (N, 3) metres.
        sizes: (N, 3) extents along the boxes' own x, y and z in metres.
        yaws: (N,) radians about z (up), from +x towards +y.
    """
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5
    unit = np.array([[x, y, z] for z in (-0.5, 0.5) for x, y in ring])
    local = unit * np.asarray(sizes, float)[:, None]
    cos, sin = np.cos(yaws)[:, None], np.sin(yaws)[:, None]
    turned = [cos * local[..., 0] - sin * local[..., 1], sin * local[..., 0] + cos * local[..., 1], local[..., 2]]
    return np.stack(turned, -1) + np.asarray(centers, float)[:, None]


def colour_of(number: int) -> str:
    """Return the colour of an id as "#RRGGBB": consecutive ids get different hues, ids below 0 are grey."""
    if number < 0:
        return NOTHING
    red, green, blue = colorsys.hls_to_rgb((number * 137.508 % 360) / 360, 0.52 + 0.12 * (number % 3), 0.62)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the colour "#RRGGBB" as three numbers, 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def camera_view(
    name: str, pose: np.ndarray, intrinsics: np.ndarray, image_size: tuple[int, int], reach: float = 0.5
) -> CameraView:
    """Return the frustum of a camera.

    Args:
        name: name of the frame.
        pose: (4, 4) camera to world.
        intrinsics: (3, 3) pixels.
        image_size: (width, height) in pixels.
        reach: depth of the frustum's far end, metres.
    """
    width, height = image_size
    pixels = np.array([[0, 0], [width, 0], [width, height], [0, height]], float) - 0.5
    rays = np.c_[(pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], np.ones(4)] * reach
    return CameraView(name, np.vstack([np.zeros(3), rays]) @ pose[:3, :3].T + pose[:3, 3])
