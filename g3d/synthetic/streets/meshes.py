"""Low-poly solids: a few primitives, a builder that assembles them into models with named parts, and coloured meshes
for rendering.

Model frame: KITTI's object frame at rotation_y = 0: x forward, y down (the ground is y = 0), z to the left, metres. The
builder takes points as (forward, up, side), which is easier to read in the definitions of shapes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from g3d.kernels.shade import PLAIN

Point = Sequence[float] | np.ndarray
Colour = tuple[float, float, float]  # sRGB, 0..1


@dataclass(frozen=True, eq=False)
class Mesh:
    """Coloured triangles.

    Attributes:
        triangles: (T, 3, 3) float64, corners, metres.
        colours: (T, 3) float32, sRGB in 0..1.
        materials: (T,) uint8, of g3d.kernels.shade.
    """

    triangles: np.ndarray
    colours: np.ndarray
    materials: np.ndarray

    @staticmethod
    def join(meshes: Sequence[Mesh]) -> Mesh:
        """Join meshes into one mesh; an empty sequence gives an empty mesh."""
        if not meshes:
            return Mesh(np.zeros((0, 3, 3)), np.zeros((0, 3), np.float32), np.zeros(0, np.uint8))
        return Mesh(
            *(np.concatenate([getattr(m, name) for m in meshes]) for name in ("triangles", "colours", "materials"))
        )

    def __len__(self) -> int:
        return len(self.triangles)

    def placed(self, location: Point, rotation_y: float) -> Mesh:
        """Return the mesh rotated by `rotation_y` about the vertical, then translated: model frame -> camera frame
        (g3d/geometry/boxes.py)."""
        cos, sin = np.cos(rotation_y), np.sin(rotation_y)
        x, z = self.triangles[..., 0], self.triangles[..., 2]
        placed = self.triangles + np.asarray(location, float)
        placed[..., 0] += (cos - 1) * x + sin * z
        placed[..., 2] += (cos - 1) * z - sin * x
        return Mesh(placed, self.colours, self.materials)


@dataclass(frozen=True, eq=False)
class Model:
    """Triangles with named parts instead of colours.

    Attributes:
        triangles: (T, 3, 3) float64, model frame, metres; stands on y = 0, its box centred on x = z = 0.
        parts: (T,) int64, index into `names`.
        names: names of the parts.
    """

    triangles: np.ndarray
    parts: np.ndarray
    names: tuple[str, ...]

    @cached_property
    def size(self) -> np.ndarray:
        """Height, width, length of the bounding box, (3,), metres."""
        length, height, width = np.ptp(self.triangles.reshape(-1, 3), axis=0)
        return np.array([height, width, length])

    def painted(self, palette: Mapping[str, Colour], size: Point | None = None, material: int = PLAIN) -> Mesh:
        """Return the model scaled to `size` (height, width, length; its own if None) in the colours of its parts.

        Raises:
            KeyError: a part has no colour.
        """
        triangles = self.triangles
        if size is not None:
            height, width, length = np.asarray(size, float) / self.size
            triangles = triangles * np.array([length, height, width])
        colours = np.array([palette[name] for name in self.names], np.float32)[self.parts]
        return Mesh(triangles, colours, np.full(len(triangles), material, np.uint8))


class Builder:
    """A collector of polygons; points are (forward, up, side) in metres."""

    def __init__(self) -> None:
        self._triangles: list[np.ndarray] = []
        self._parts: list[str] = []

    def polygon(self, points: Sequence[Point] | np.ndarray, part: str) -> None:
        """Add a flat convex polygon as a triangle fan."""
        corners = np.asarray(points, float)
        for k in range(2, len(corners)):
            self._triangles.append(corners[[0, k - 1, k]])
            self._parts.append(part)

    def loft(self, sections: Sequence[Sequence[Point] | np.ndarray], part: str, capped: bool = True) -> None:
        """Add a surface through rings with equal numbers of points, closed at both ends if `capped`."""
        rings = [np.asarray(section, float) for section in sections]
        for ring, following in itertools.pairwise(rings):
            for k in range(len(ring)):
                n = (k + 1) % len(ring)
                self.polygon([ring[k], ring[n], following[n], following[k]], part)
        if capped:
            self.polygon(rings[0], part)
            self.polygon(rings[-1], part)

    def box(self, low: Point, high: Point, part: str) -> None:
        """Add an axis-aligned box between two opposite corners."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        self.loft([[(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)] for x in (x0, x1)], part)

    def mirrored_box(self, low: Point, high: Point, part: str) -> None:
        """Add a box and its mirror image on the other side."""
        self.box(low, high, part)
        self.box((low[0], low[1], -low[2]), (high[0], high[1], -high[2]), part)

    def limb(self, start: Point, end: Point, radii: tuple[float, float], part: str, sides: int = 5) -> None:
        """Add a tapered prism around the line from `start` to `end`."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        axis = (b - a) / np.linalg.norm(b - a)
        u = np.cross(axis, (0, 0, 1) if abs(axis[2]) < 0.9 else (1, 0, 0))
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        angles = 2 * np.pi * np.arange(sides) / sides
        ring = np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v
        self.loft([a + radii[0] * ring, b + radii[1] * ring], part)

    def ball(self, centre: Point, radii: Point, part: str, sides: int = 8, rings: int = 5) -> None:
        """Add an ellipsoid of `rings` bands; radii are along forward, up, side."""
        turn = 2 * np.pi * np.arange(sides) / sides
        sections = []
        for k in range(rings + 1):
            tilt = np.pi * k / rings
            ring = np.stack(
                [np.sin(tilt) * np.cos(turn), np.full(sides, np.cos(tilt)), np.sin(tilt) * np.sin(turn)], -1
            )
            sections.append(np.asarray(centre) + np.asarray(radii) * ring)
        self.loft(sections, part, capped=False)

    def disc(self, centre: Point, radius: float, part: str, sides: int = 14, upper_half: bool = False) -> None:
        """Add an upright disc in the forward-up plane, or its upper half."""
        turn = np.pi * (np.arange(sides + 1) / sides) if upper_half else 2 * np.pi * np.arange(sides) / sides
        x, y, z = centre
        self.polygon([(x + radius * np.cos(a), y + radius * np.sin(a), z) for a in turn], part)

    def wheel(self, centre: Point, radius: float, width: float, sides: int = 14) -> None:
        """Add a tyre with a hub on its outer side; `centre` is on the outer face and the tyre extends inwards."""
        x, y, side = centre
        inner = side - np.sign(side) * width
        turn = 2 * np.pi * np.arange(sides) / sides
        self.loft([[(x + radius * np.cos(a), y + radius * np.sin(a), z) for a in turn] for z in (inner, side)], "tyre")
        self.disc((x, y, side + np.sign(side) * 0.004), radius * 0.62, "hub", sides)

    def pane(self, corners: Sequence[Point] | np.ndarray, part: str, inset: float = 0.06, proud: float = 0.008) -> None:
        """Add a pane inside a quadrilateral face: shrunk by `inset` metres and offset from the face by `proud` metres.

        Corners are in order around the face; the offset points away from the model's vertical axis.
        """
        quad = np.asarray(corners, float)
        middle = quad.mean(0)
        towards = middle - quad
        quad = quad + towards * np.minimum(0.4, inset * np.sqrt(2) / np.linalg.norm(towards, axis=1))[:, None]
        normal = np.cross(quad[2] - quad[0], quad[3] - quad[1])
        normal /= np.linalg.norm(normal)
        outward = np.array([middle[0], 0, middle[2]])
        self.polygon(quad + normal * (proud if normal @ outward >= 0 else -proud), part)

    def build(self) -> Model:
        """Return the model, placed on the ground and centred."""
        points = np.array(self._triangles) * np.array([1, -1, 1])
        low, high = points.reshape(-1, 3).min(0), points.reshape(-1, 3).max(0)
        names = tuple(dict.fromkeys(self._parts))
        parts = np.array([names.index(part) for part in self._parts])
        return Model(points - np.array([(low[0] + high[0]) / 2, high[1], (low[2] + high[2]) / 2]), parts, names)
