"""Random sampling of scenes: a scene depends only on its settings, seed and index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g3d.synthetic.streets import surroundings
from g3d.synthetic.streets.meshes import Colour, Mesh
from g3d.synthetic.streets.scene import Camera, Light, Scene, SceneSettings
from g3d.synthetic.streets.street import sample_street
from g3d.synthetic.streets.traffic import sample_actors


@dataclass(frozen=True)
class _Weather:
    """The ranges that a `Light` is sampled from, and the share of frames with this weather; sun elevation in
    degrees."""

    share: float
    elevation: tuple[float, float]
    sun: Colour
    ambient: Colour
    horizon: Colour
    zenith: Colour
    cloud: Colour
    cover: tuple[float, float]
    haze: float


_WEATHERS = {
    "clear": _Weather(
        0.48,
        (35, 62),
        (0.86, 0.82, 0.74),
        (0.36, 0.40, 0.47),
        (0.66, 0.78, 0.92),
        (0.14, 0.32, 0.72),
        (0.92, 0.93, 0.95),
        (0, 0.55),
        0.0012,
    ),
    "low sun": _Weather(
        0.14,
        (16, 28),
        (0.92, 0.72, 0.48),
        (0.34, 0.36, 0.42),
        (0.92, 0.80, 0.62),
        (0.22, 0.36, 0.66),
        (0.96, 0.84, 0.70),
        (0.1, 0.6),
        0.0022,
    ),
    "hazy": _Weather(
        0.13,
        (30, 50),
        (0.55, 0.53, 0.48),
        (0.48, 0.50, 0.53),
        (0.82, 0.85, 0.88),
        (0.48, 0.60, 0.76),
        (0.90, 0.90, 0.90),
        (0.2, 0.5),
        0.0065,
    ),
    "overcast": _Weather(
        0.25,
        (50, 70),
        (0.14, 0.14, 0.14),
        (0.72, 0.74, 0.77),
        (0.78, 0.80, 0.83),
        (0.58, 0.62, 0.68),
        (0.74, 0.76, 0.80),
        (0.75, 1),
        0.0028,
    ),
}


def sample_scene(settings: SceneSettings, seed: int, index: int) -> Scene:
    """Sample the scene of a frame; the same arguments give the same scene."""
    rng = np.random.default_rng([seed, index])
    camera = _sample_camera(rng, settings)
    light = _sample_light(rng)
    street = sample_street(rng, camera.height)
    actors = sample_actors(rng, settings, camera, street)
    keep_clear = np.array([[*a.location[[0, 2]], np.hypot(a.size[1], a.size[2]) / 2] for a in actors]).reshape(-1, 3)
    fixtures = Mesh.join(surroundings.fixtures(rng, street, keep_clear))
    ground = Mesh.join(surroundings.ground(rng, street))
    return Scene(
        int(rng.integers(1 << 30)),
        camera,
        light,
        street,
        ground,
        fixtures,
        surroundings.background(rng, street),
        tuple(actors),
    )


def _sample_camera(rng: np.random.Generator, settings: SceneSettings) -> Camera:
    width, height = settings.image_size
    scale = width / 1242
    if settings.vary_size:  # KITTI's four sizes, relative to the most common one
        shrink, lower = ((0, 0), (0, 0), (18, 5), (4, 1), (1, -1))[int(rng.integers(5))]
        width, height = width - round(shrink * scale), height - round(lower * scale)
    focal = settings.focal * settings.image_size[0] * rng.uniform(0.98, 1.02)
    centre = width / 2 - 11.4 * scale + rng.uniform(-6, 6) * scale, height * rng.uniform(0.455, 0.485)
    matrix = np.array(
        [
            [focal, 0, centre[0], 0.062 * focal],
            [0, focal, centre[1], rng.uniform(-0.0005, 0.0005) * focal],
            [0, 0, 1, 0.0027],
        ]
    )
    exact = np.array([float(f"{number:.12e}") for number in matrix.ravel()]).reshape(3, 4)
    return Camera(exact, (width, height), round(float(np.clip(rng.normal(1.65, 0.04), 1.55, 1.75)), 2))


def _sample_light(rng: np.random.Generator) -> Light:
    name = str(rng.choice(list(_WEATHERS), p=[weather.share for weather in _WEATHERS.values()]))
    weather = _WEATHERS[name]
    elevation, azimuth = np.radians(rng.uniform(*weather.elevation)), rng.uniform(0, 2 * np.pi)
    towards = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    exposure = rng.uniform(1.05, 1.35)
    sky = np.array([weather.horizon, weather.zenith, weather.cloud], np.float32) * min(1.0, exposure)
    clouds, haze, grain = rng.uniform(*weather.cover), weather.haze * rng.uniform(0.7, 1.4), rng.uniform(0.8, 2.2)
    return Light(
        name, np.array(weather.sun) * exposure, towards, np.array(weather.ambient) * exposure, sky, clouds, haze, grain
    )
