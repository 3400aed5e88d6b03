"""Find the axis of a room's scan that points up, among z and y, from the shape of its surface.

Four observations each speak for y, for z, or for neither:

1. Uprightness: surfaces of rooms are level or vertical. The share of the surface whose normals are along the axis or
   perpendicular to it is larger for the up axis, unless the walls happen to be along the other axes.
2. Height: a room is lower than it is wide, so its extent along the up axis is the smaller one.
3. Weight: furniture stands on the floor and ceilings are often not scanned. The surface is therefore not centred
   between the lowest and the highest point.
4. Openness: a scan without ceiling is an open bowl. The normals of its faces, weighted by area, do not cancel along the
   up axis, as those of opposite walls do. Clouds have no such normals.

The up axis is y if uprightness and at least one other observation speak for it and fewer speak for z, or if two speak
for it and none for z. It is z otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

Up = Literal["x", "-x", "y", "-y", "z", "-z"]

_LEVEL = 0.95  # cosine: normals within 18 degrees of an axis are along it
_VERTICAL = 0.2  # cosine: normals within 12 degrees of the level are perpendicular to an axis
_UPRIGHT, _LOWER, _WEIGHT, _OPEN = 0.05, 1.15, 0.03, 0.04  # least differences (of extents: ratio) that count
_SAMPLES, _POINTS, _NEIGHBOURS = 8_000, 200_000, 16
_FEWEST = 30  # points of a cloud, below which nothing can be said


@dataclass(frozen=True, eq=False)
class Surface:
    """Samples of a scan's surface.

    Attributes:
        normals: (S, 3) float64, of length 1.
        weights: (S,) float64, share of the surface, with sum 1.
        places: (S, 3) float64, positions in any unit.
        oriented: whether normals point out of the surface; otherwise their signs are arbitrary.
    """

    normals: np.ndarray
    weights: np.ndarray
    places: np.ndarray
    oriented: bool


@dataclass(frozen=True)
class UpAxis:
    """The axis that points up.

    Attributes:
        axis: "z", "y" or "-y".
        clear: False if as much speaks for y as for z, though z is taken.
    """

    axis: Up
    clear: bool = True


def find_up(vertices: np.ndarray, faces: np.ndarray, turned_y: Literal["y", "-y"] = "y") -> UpAxis:
    """Return the axis of a scan that points up: z, y or -y.

    Args:
        vertices: (N, 3) float64, finite, in any unit.
        faces: (F, 3) integer; F = 0 for a cloud.
        turned_y: the direction of y to take if y is the up axis and neither weight nor openness tells its sign.
    """
    if not len(faces) and len(vertices) < _FEWEST:
        return UpAxis("z")
    surface = mesh_surface(vertices, faces) if len(faces) else cloud_surface(vertices)
    if not len(surface.weights):
        return UpAxis("z")
    low, high = extent_of(vertices, faces)
    uprightness, weight, openness = _observed(surface, low, high)
    extents = high - low
    votes = [
        _vote(uprightness[1] - uprightness[2], _UPRIGHT),
        _vote(np.log(max(extents[2], 1e-9) / max(extents[1], 1e-9)), np.log(_LOWER)),
        _vote(abs(weight[1]) - abs(weight[2]), _WEIGHT),
        _vote(abs(openness[1]) - abs(openness[2]), _OPEN),
    ]
    for_y, for_z = votes.count(1), votes.count(-1)
    if not ((votes[0] == 1 and for_y >= 2 and for_y > for_z) or (for_y >= 2 and not for_z)):
        return UpAxis("z", clear=not for_y or for_y < for_z)
    sign = openness[1] if abs(openness[1]) >= _OPEN else weight[1] if abs(weight[1]) >= _WEIGHT else 0.0
    return UpAxis(turned_y if not sign else "y" if sign > 0 else "-y")


def extent_of(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest coordinates (3,) of a scan; those of clouds omit 0.5 % of the points at each end.

    Clouds often have stray points far outside the room.
    """
    if len(faces) or len(vertices) < _FEWEST:
        return vertices.min(0), vertices.max(0)
    some = vertices[:: -(-len(vertices) // _POINTS)]
    low, high = np.percentile(some, [0.5, 99.5], axis=0)
    return low, high


def mesh_surface(vertices: np.ndarray, faces: np.ndarray) -> Surface:
    """Return the normals, areas and centres of the faces of a mesh, of at most 200,000; faces without area are left
    out."""
    corners = vertices[faces[:: -(-len(faces) // _POINTS)]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    kept = areas > 0
    areas = areas[kept]
    return Surface(normals[kept] / areas[:, None], areas / areas.sum(), corners[kept].mean(1), True)


def cloud_surface(vertices: np.ndarray) -> Surface:
    """Return the normals at 8,000 points of a cloud: the directions in which their 16 nearest points vary least.

    Points and neighbours are drawn from at most 200,000 points with a fixed seed.
    """
    random = np.random.default_rng(0)
    some = vertices[random.permutation(len(vertices))[:_POINTS]]
    places = some[:_SAMPLES]
    _, nearest = cKDTree(some).query(places, min(_NEIGHBOURS, len(some)))
    around = some[nearest] - some[nearest].mean(1, keepdims=True)
    _, directions = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    return Surface(directions[:, :, 0], np.full(len(places), 1 / len(places)), places, False)


def _observed(surface: Surface, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return uprightness, weight and openness, each (3,) for x, y and z; the last two point up if they are positive."""
    cosines = np.abs(surface.normals)
    upright = surface.weights @ ((cosines > _LEVEL) | (cosines < _VERTICAL)).astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    weight = 0.5 - surface.weights @ np.clip((surface.places - low) / span, 0, 1)
    openness = surface.weights @ surface.normals if surface.oriented else np.zeros(3)
    return upright, np.where(high > low, weight, 0.0), openness


def _vote(difference: float, least: float) -> int:
    """Return 1 for y, -1 for z, and 0 if the difference is too small."""
    return 0 if abs(difference) < least else 1 if difference > 0 else -1
