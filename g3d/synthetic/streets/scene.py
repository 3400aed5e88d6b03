"""Data types of a synthetic street scene: camera, light, street, and the labelled actors.

Everything is in KITTI's camera frame. Sizes, positions and angles of labelled actors are sampled with the 2 decimals of
KITTI's text format, so that the written labels are exactly the rendered values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from g3d.errors import InputError
from g3d.synthetic.streets.meshes import Mesh
from g3d.synthetic.streets.street import Street

CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Cyclist", "Misc")  # Misc: buses
SHARES: dict[str, float] = {
    "Car": 0.78,
    "Van": 0.06,
    "Truck": 0.03,
    "Pedestrian": 0.08,
    "Cyclist": 0.045,
    "Misc": 0.005,
}


@dataclass(frozen=True)
class SceneSettings:
    """The settings that all scenes of one synthetic world share.

    Attributes:
        image_size: (width, height) in pixels; KITTI's is (1242, 375).
        vary_size: whether sizes differ slightly between frames, as in KITTI.
        shares: share of each of CLASSES among the placed actors.
        focal: focal length as a multiple of the image's width; KITTI's is 0.581.
    """

    image_size: tuple[int, int] = (1242, 375)
    vary_size: bool = True
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    focal: float = 721.5377 / 1242

    def __post_init__(self) -> None:
        if min(self.image_size) < 32:
            raise InputError(
                f"image_size: expected at least 32 x 32 pixels, found {self.image_size[0]} x {self.image_size[1]}"
            )
        unknown = sorted(set(self.shares) - set(CLASSES))
        if unknown:
            raise InputError(
                f"shares: unknown class {unknown[0]!r}", hint=f"Classes of the made streets: {', '.join(CLASSES)}."
            )
        if any(not 0 <= share < float("inf") for share in self.shares.values()) or sum(self.shares.values()) <= 0:
            raise InputError(f"shares: expected numbers from 0 up, not all 0, found {dict(self.shares)}")
        if not 0.2 <= self.focal <= 5:
            raise InputError(f"focal: expected a multiple of the image's width in 0.2..5, found {self.focal}")


@dataclass(frozen=True, eq=False)
class Camera:
    """A level camera: `matrix` (3, 4) is P2, rounded as in a calibration file; image_size (width, height); height above
    the road in metres."""

    matrix: np.ndarray
    image_size: tuple[int, int]
    height: float


@dataclass(frozen=True, eq=False)
class Light:
    """Sun and sky, in linear light.

    Attributes:
        name: "clear", "low sun", "hazy" or "overcast".
        sun: (3,) colour and strength.
        towards: (3,) unit vector from the sun to the scene, camera frame.
        ambient: (3,) light of the sky.
        sky: (3, 3) colours of horizon, zenith, clouds.
        clouds: share of the sky that is covered.
        haze: extinction per metre.
        grain: standard deviation of the sensor noise, in levels of 255.
    """

    name: str
    sun: np.ndarray
    towards: np.ndarray
    ambient: np.ndarray
    sky: np.ndarray
    clouds: float
    haze: float
    grain: float


@dataclass(frozen=True, eq=False)
class Actor:
    """A labelled object of a scene.

    Attributes:
        type: KITTI's class.
        kind: finer class, e.g. "hatchback".
        colour: name of the colour of the paint, or of a person's upper clothing.
        size: (3,) height, width, length, metres.
        location: (3,) centre of the bottom face, metres.
        rotation_y: yaw, radians.
        place: place on the street, e.g. "own lane", "parking", "pavement".
        side: "left" or "right" half of the view.
        state: activity, e.g. "driving", "parked", "walking".
        mesh: mesh in the camera frame; its extent is exactly the box.
    """

    type: str
    kind: str
    colour: str
    size: np.ndarray
    location: np.ndarray
    rotation_y: float
    place: str
    state: str
    mesh: Mesh

    @property
    def side(self) -> str:
        return "left" if self.location[0] < 0 else "right"

    @property
    def direction(self) -> str:
        """Direction that the actor faces, seen from the camera: "away", "towards", "left" or "right"."""
        forward, right = -np.sin(self.rotation_y), np.cos(self.rotation_y)
        if abs(forward) >= abs(right):
            return "away" if forward > 0 else "towards"
        return "right" if right > 0 else "left"


@dataclass(frozen=True, eq=False)
class Scene:
    """The content of a rendered scene: flat ground, upright fixtures, a background without shadows, and the labelled
    actors."""

    seed: int
    camera: Camera
    light: Light
    street: Street
    ground: Mesh
    fixtures: Mesh
    background: Mesh
    actors: tuple[Actor, ...]
