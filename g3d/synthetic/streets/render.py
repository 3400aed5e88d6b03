"""Rendering of scenes to images: colour, the actor of every sample, and depth, on one CPU core."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from g3d.kernels import rasterise
from g3d.kernels.shade import IN_CONTACT, IN_SHADOW, shade, tally
from g3d.synthetic.streets.meshes import Mesh
from g3d.synthetic.streets.scene import Actor, Light, Scene

NEAR = 0.1  # metres
_MAP_ORIGIN, _MAP_SHAPE, _MAP_CELL = (
    (-32.0, 0.0),
    (512, 512),
    0.125,
)  # the map of ground shadows: x and z of its corner, number of cells, edge of a cell; metres


@dataclass(frozen=True, eq=False)
class Frame:
    """A rendered scene. Every pixel has a regular grid of `samples` x `samples` samples.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        samples: samples along each side of a pixel.
        index: (H * samples, W * samples) int32, the triangle that each sample shows, -1 for the sky.
        inverse_depth: the same shape, float32, 1 / metres, 0 for the sky.
        owners: (T,) int16, the actor of each triangle, -1 for all other triangles.
        silhouettes: the screen triangles of each actor, (M, 3, 3) float64, including hidden triangles and triangles
            outside the image.
        visible: (N,) int64, number of samples that show each actor.
    """

    image: np.ndarray
    samples: int
    index: np.ndarray
    inverse_depth: np.ndarray
    owners: np.ndarray
    silhouettes: tuple[np.ndarray, ...]
    visible: np.ndarray

    @property
    def instances(self) -> np.ndarray:
        """The actor that each sample shows, -1 for none: (H * samples, W * samples) int16."""
        return np.append(self.owners, np.int16(-1))[self.index]


def render(scene: Scene, samples: int = 2) -> Frame:
    """Render a scene; the same scene gives the same bytes."""
    width, height = scene.camera.image_size
    meshes = [*(actor.mesh for actor in scene.actors), scene.fixtures, scene.ground, scene.background]
    everything = Mesh.join(meshes)
    ends = np.cumsum([len(mesh) for mesh in meshes])
    owners = np.full(len(everything), -1, np.int16)
    for number, end in enumerate(ends[: len(scene.actors)]):
        owners[end - len(meshes[number]) : end] = number
    screen, source = rasterise.project(everything.triangles, scene.camera.matrix, NEAR)
    index = np.full((height * samples, width * samples), rasterise.NOTHING, np.int32)
    inverse_depth = np.zeros(index.shape, np.float32)
    rasterise.draw(screen, source, samples, inverse_depth, index)

    shadows = _ground_shadows(scene)
    lit = _light_faces(everything, scene.light)
    for number, actor in enumerate(scene.actors):
        if not _is_sunlit(actor, scene.light, shadows):
            own = slice(ends[number] - len(actor.mesh), ends[number])
            lit[own, 1] = lit[own, 0]
    shadows |= _actor_shadows(scene)
    image = np.empty((height, width, 3), np.uint8)
    light = scene.light
    shade(
        index,
        inverse_depth,
        samples,
        lit,
        everything.materials,
        scene.camera.matrix,
        shadows,
        _MAP_ORIGIN,
        _MAP_CELL,
        light.sky,
        light.clouds,
        light.haze,
        light.grain,
        scene.seed,
        image,
    )
    counts = np.zeros(len(everything), np.int64)
    tally(index, counts)
    visible = np.bincount(owners[owners >= 0], counts[owners >= 0], len(scene.actors)).astype(np.int64)
    starts = np.searchsorted(source, np.concatenate([[0], ends[: len(scene.actors)]]))
    silhouettes = tuple(screen[a:b] for a, b in itertools.pairwise(starts))
    return Frame(image, samples, index, inverse_depth, owners, silhouettes, visible)


def _light_faces(mesh: Mesh, light: Light) -> np.ndarray:
    """Return each face's colour in the shade and in the sun, (T, 2, 3) float32, linear. Faces are two-sided; the side
    towards the camera is lit."""
    corners = mesh.triangles.astype(np.float32)
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.stack([u[:, k - 2] * v[:, k - 1] - u[:, k - 1] * v[:, k - 2] for k in range(3)], 1)
    normal /= np.maximum(np.sqrt((normal**2).sum(1, keepdims=True)), 1e-12)
    away = (normal * corners[:, 0]).sum(1, keepdims=True) > 0  # away from the camera at the origin
    normal[away[:, 0]] *= -1
    base = mesh.colours**2  # the sensor's response curve is a square root
    in_shade = base * light.ambient * (0.72 - 0.28 * normal[:, 1:2])  # up is -y: faces towards the sky get more light
    in_sun = in_shade + base * light.sun * np.maximum(0, -(normal @ light.towards))[:, None]
    return np.stack([in_shade, in_sun], 1).astype(np.float32)


def _is_sunlit(actor: Actor, light: Light, shadows: np.ndarray) -> bool:
    """Return whether a point at 60 % of an actor's height is in the sun; the shadow map is read where the sun's ray
    through it meets the ground."""
    lift = actor.size[0] * 0.6
    x, z = (actor.location[axis] + light.towards[axis] / light.towards[1] * lift for axis in (0, 2))
    column, row = (int((place - first) / _MAP_CELL) for place, first in zip((x, z), _MAP_ORIGIN, strict=True))
    if not (0 <= row < _MAP_SHAPE[0] and 0 <= column < _MAP_SHAPE[1]):
        return True
    return not shadows[row, column] & IN_SHADOW


def _ground_shadows(scene: Scene) -> np.ndarray:
    """Return the ground map (kernels/shade.py) with the shadows of the fixtures."""
    shadows = np.zeros(_MAP_SHAPE, np.uint8)
    _cast(scene.fixtures.triangles, scene, shadows)
    return shadows


def _actor_shadows(scene: Scene) -> np.ndarray:
    """Return the ground map with the shadows of the actors and the areas that they stand on."""
    shadows = np.zeros(_MAP_SHAPE, np.uint8)
    for actor in scene.actors:
        _cast(actor.mesh.triangles, scene, shadows)
        along = 0.47 * actor.size[2] * np.array([np.cos(actor.rotation_y), -np.sin(actor.rotation_y)])
        across = 0.47 * actor.size[1] * np.array([np.sin(actor.rotation_y), np.cos(actor.rotation_y)])
        a, b, c, d = (
            actor.location[[0, 2]] + corner
            for corner in (along + across, along - across, -along - across, -along + across)
        )
        stand = np.array([[a, b, c], [a, c, d]])
        _cover(stand[..., 0], stand[..., 1], shadows, IN_CONTACT)
    return shadows


def _cast(triangles: np.ndarray, scene: Scene, shadows: np.ndarray) -> None:
    """Mark the cells of the ground that triangles occlude from the sun."""
    towards = scene.light.towards / scene.light.towards[1]
    above = scene.street.ground - triangles[..., 1]
    _cover(triangles[..., 0] + above * towards[0], triangles[..., 2] + above * towards[2], shadows, IN_SHADOW)


def _cover(x: np.ndarray, z: np.ndarray, shadows: np.ndarray, bit: int) -> None:
    """Set a bit in the cells under triangles on the ground, given by their corners' x and z, (M, 3) each."""
    flat = np.zeros((len(x), 3, 3))
    flat[..., 0], flat[..., 1] = x, z
    first = _MAP_ORIGIN[0] + _MAP_CELL / 2, _MAP_ORIGIN[1] + _MAP_CELL / 2
    rasterise.cover(flat, first, (_MAP_CELL, _MAP_CELL), shadows, bit)
