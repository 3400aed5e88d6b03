"""Shading of a z-buffer: position-dependent textures, ground shadows, haze, sky, sensor noise, averaging of samples.

All functions are deterministic: the noise is a hash of position and seed, so the same scene gives the same bytes on
every run. Colours are linear RGB; 1 is the saturation level of the sensor.
"""

from __future__ import annotations

import math

import numpy as np

from g3d.kernels.compiled import kernel, part

PLAIN, ASPHALT, PAVING, MARKING, GRASS, FACADE, LEAVES = range(
    7
)  # materials; ASPHALT to GRASS are on the ground and receive shadows
IN_SHADOW, IN_CONTACT = 1, 2  # bits of the ground map: the sun is occluded; an object stands here
CONTACT_LIGHT = 0.35  # share of the light that remains under a vehicle

_TEN_BITS = np.uint64(0x3FF)
_NOISE_CELLS = 8192.0  # keeps coordinates positive before they are truncated to cells


@part(error_model="numpy")
def _bits(x: int, y: int, seed: int) -> int:
    """Return a 64-bit hash of two cell indices and a seed."""
    h = np.uint64(x) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(y) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return h ^ (h >> np.uint64(32))


@part(error_model="numpy")
def _hash(x: int, y: int, seed: int) -> float:
    """Return a pseudo-random number in [0, 1) from two cell indices and a seed."""
    return np.float64(_bits(x, y, seed) & np.uint64(0xFFFFFF)) * (1.0 / 0x1000000)


@part(error_model="numpy")
def _value_noise(x: float, y: float, seed: int) -> float:
    """Return smooth value noise in [0, 1) with a lattice spacing of 1."""
    x, y = x + _NOISE_CELLS, y + _NOISE_CELLS
    column, row = int(x), int(y)
    fx, fy = x - column, y - row
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    top = _hash(column, row, seed) * (1 - fx) + _hash(column + 1, row, seed) * fx
    bottom = _hash(column, row + 1, seed) * (1 - fx) + _hash(column + 1, row + 1, seed) * fx
    return top * (1 - fy) + bottom * fy


@part(error_model="numpy")
def _texture(material: int, x: float, y: float, z: float, focal: float, seed: int) -> float:
    """Return the brightness factor of a material at a point of the camera frame. A pattern fades out where it is
    smaller than a pixel."""
    flat = z * z / focal  # length of ground that a pixel covers for a camera at 1 m: the coarser of the two footprints
    upright = z / focal
    if material == ASPHALT:
        stains = 0.16 * (_value_noise(x * 0.45, z * 0.22, seed) - 0.5)
        grain = 0.34 * min(1.0, 0.03 / flat) * (_hash(int((x + 400) * 28), int((z + 400) * 28), seed) - 0.5)
        return 1 + stains + grain
    if material == PAVING:
        slab = int((x + 400) * 2), int((z + 400) * 2)
        joint = (x + 400) * 2 - slab[0] < 0.06 or (z + 400) * 2 - slab[1] < 0.06
        fade = min(1.0, 0.12 / flat)
        return 1 + fade * (0.12 * (_hash(slab[0], slab[1], seed) - 0.5) - (0.22 if joint else 0.0))
    if material == MARKING:
        return 1 - 0.25 * min(1.0, 0.25 / flat) * _value_noise(x * 5, z * 3, seed)
    if material == GRASS:
        tufts = 0.5 * min(1.0, 0.1 / flat) * (_hash(int((x + 400) * 14), int((z + 400) * 14), seed) - 0.5)
        return 1 + tufts + 0.35 * (_value_noise(x * 0.5, z * 0.3, seed) - 0.5)
    if material == FACADE:
        return (
            1
            + 0.14 * (_value_noise((x + z) * 0.7, y * 0.9, seed) - 0.5)
            - 0.05 * _hash(int((x + z + 800) * 9), int((y + 400) * 9), seed)
        )
    if material == LEAVES:
        fade = min(1.0, 0.04 / upright)
        leaf = _hash(int((x + 400) * 17) + 131 * int((y + 400) * 17), int((z + 400) * 17), seed) - 0.5
        tuft = _value_noise((x + 0.6 * z) * 2.6, (y + 0.5 * z) * 2.6, seed) - 0.5
        return 1 + 0.6 * fade * leaf + 0.7 * tuft
    return 1.0


@part(error_model="numpy")
def _ground_light(
    ground: np.ndarray, x: float, z: float, origin: tuple[float, float], cell: float
) -> tuple[float, float]:
    """Return the shares of sunlight and of all light that reach a point on the ground, interpolated between the cells
    of the map."""
    column, row = (x - origin[0]) / cell - 0.5, (z - origin[1]) / cell - 0.5
    if not (0 <= column < ground.shape[1] - 1 and 0 <= row < ground.shape[0] - 1):
        return 1.0, 1.0
    c, r = int(column), int(row)
    if ground[r, c] | ground[r, c + 1] | ground[r + 1, c] | ground[r + 1, c + 1] == 0:
        return 1.0, 1.0
    fx, fy = column - c, row - r
    shadow, contact = 0.0, 0.0
    for down in range(2):
        for right in range(2):
            weight = (fx if right else 1 - fx) * (fy if down else 1 - fy)
            bits = ground[r + down, c + right]
            shadow += weight * (bits & IN_SHADOW)
            contact += weight * ((bits & IN_CONTACT) // IN_CONTACT)
    return 1 - shadow, 1 - (1 - CONTACT_LIGHT) * contact


@part(error_model="numpy")
def _sky(u: float, v: float, camera: np.ndarray, sky: np.ndarray, clouds: float, seed: int, out: np.ndarray) -> None:
    """Fill `out` with the sky's colour at pixel (u, v): a gradient from horizon to zenith, with clouds on a plane
    overhead."""
    right, up = (u - camera[0, 2]) / camera[0, 0], (camera[1, 2] - v) / camera[1, 1]
    height = max(0.0, up) / math.sqrt(1 + right * right + up * up)
    share = 1 - (1 - min(1.0, height * 1.8)) ** 2
    cover = 0.0
    if clouds > 0 and up > 0.01:
        distance = 1 / (up + 0.08)
        east, north = right * distance, distance
        noise = 0.68 * _value_noise(east * 0.9, north * 0.9, seed) + 0.32 * _value_noise(
            east * 2.9, north * 2.9, seed + 1
        )
        cover = min(1.0, max(0.0, (noise - 1 + clouds) * 3.5)) * min(1.0, height * 8)
    for channel in range(3):
        clear = sky[0, channel] + share * (sky[1, channel] - sky[0, channel])
        out[channel] = clear + cover * (sky[2, channel] - clear)


@kernel(error_model="numpy")
def shade(
    index: np.ndarray,
    inverse_depth: np.ndarray,
    samples: int,
    lit: np.ndarray,
    material: np.ndarray,
    camera: np.ndarray,
    ground: np.ndarray,
    ground_origin: tuple[float, float],
    ground_cell: float,
    sky: np.ndarray,
    clouds: float,
    haze: float,
    grain: float,
    seed: int,
    image: np.ndarray,
) -> None:
    """Fill `image`. If all samples of a pixel show the same triangle, shade the pixel once.

    Args:
        index, inverse_depth: (H * samples, W * samples), as `rasterise.draw` fills them.
        samples: samples along each side of a pixel.
        lit: (T, 2, 3) float32, colour of each triangle in the shade and in the sun.
        material: (T,) uint8, the material of each triangle.
        camera: (3, 4) float64 projection matrix.
        ground: (rows, columns) uint8 bits over the ground, rows along z and columns along x from `ground_origin` (x, z)
            in steps of `ground_cell` metres.
        sky: (3, 3) float32, colours of horizon, zenith and clouds; the horizon's colour is also the haze's.
        clouds: share of the sky that is covered, 0..1.
        haze: extinction per metre.
        grain: standard deviation of the sensor noise, in levels of 255.
        seed: seed of textures, clouds and noise.
        image: (H, W, 3) uint8, filled.
    """
    height, width = image.shape[:2]
    first, step = 0.5 / samples - 0.5, 1.0 / samples
    total, colour = np.zeros(3), np.zeros(3)
    for row in range(height):
        for column in range(width):
            total[:] = 0
            parts = samples * samples
            top, left = row * samples, column * samples
            same = index[top, left]
            for sample in range(1, parts):
                if index[top + sample // samples, left + sample % samples] != same:
                    same = -2
            taken = parts if same == -2 else 1
            for sample in range(taken):
                down, right = sample // samples, sample % samples
                triangle = index[top + down, left + right]
                v = row + (first + down * step if taken > 1 else 0.0)
                u = column + (first + right * step if taken > 1 else 0.0)
                if triangle < 0:
                    _sky(u, v, camera, sky, clouds, seed, colour)
                else:
                    w = 1.0 / inverse_depth[top + down, left + right]
                    z = w - camera[2, 3]
                    factor, sun, light = 1.0, 1.0, 1.0
                    kind = material[triangle]
                    if kind != PLAIN:
                        x = (u * w - camera[0, 2] * z - camera[0, 3]) / camera[0, 0]
                        y = (v * w - camera[1, 2] * z - camera[1, 3]) / camera[1, 1]
                        factor = _texture(kind, x, y, z, camera[0, 0], seed)
                        if kind <= GRASS:
                            sun, light = _ground_light(ground, x, z, ground_origin, ground_cell)
                    clear = math.exp(-haze * z)
                    for channel in range(3):
                        in_shade = lit[triangle, 0, channel]
                        own = factor * light * (in_shade + sun * (lit[triangle, 1, channel] - in_shade))
                        colour[channel] = own * clear + sky[0, channel] * (1 - clear)
                for channel in range(3):
                    total[channel] += colour[channel] / taken
            bits = _bits(column, row, seed + 7)
            for channel in range(3):  # two of six 10-bit numbers; their sum has a standard deviation of 1023 / sqrt(6)
                jitter = np.float64((bits & _TEN_BITS) + ((bits >> np.uint64(10)) & _TEN_BITS)) - 1023.0
                bits >>= np.uint64(20)
                level = 255 * math.sqrt(min(1.0, max(0.0, total[channel]))) + grain * jitter * (2.449 / 1023)
                image[row, column, channel] = np.uint8(min(255.0, max(0.0, level + 0.5)))


@kernel(error_model="numpy")
def tally(index: np.ndarray, counts: np.ndarray) -> None:
    """Add the number of samples that show each triangle to `counts` (T,) int64."""
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            if index[row, column] >= 0:
                counts[index[row, column]] += 1
