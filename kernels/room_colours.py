"""Colours of points on the surfaces of a room: materials by place, light by direction. One rule for the vertices of a
mesh and the pixels of a picture, so that both agree.

Textures are functions of the place in the solid's own frame and move with it. Colours are red, green, blue in 0..1.
"""

from __future__ import annotations

import math

import numpy as np

from g3d.kernels.compiled import kernel, part

PLAIN, WOOD, FABRIC, TILES, PLANKS, CARPET, PICTURE, LEAVES, GLOWING, STRIPES, BOOKS, CHECKED, LANDSCAPE = range(13)
_LIFT = 0.12  # metres before a surface at which the share of free space is read


@part()
def _hash(i: int, j: int, seed: int) -> float:
    """A number in [0, 1) from two cells and a seed."""
    h = np.uint64(i) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(j) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return np.float64((h >> np.uint64(40)) & np.uint64(0xFFFFFF)) * (1.0 / 0x1000000)


@part()
def _noise(x: float, y: float, seed: int) -> float:
    """Smooth noise in [0, 1) with one feature per unit."""
    x, y = x + 4096.0, y + 4096.0
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    low = _hash(i, j, seed) * (1 - fx) + _hash(i + 1, j, seed) * fx
    high = _hash(i, j + 1, seed) * (1 - fx) + _hash(i + 1, j + 1, seed) * fx
    return low * (1 - fy) + high * fy


@part()
def _cell(x: float, size: float) -> int:
    return math.floor(x / size) + 4096


@part()
def _near_line(x: float, size: float, width: float) -> bool:
    return x - math.floor(x / size) * size < width


@part()
def _picture(u: float, v: float, seed: int, base: np.ndarray, out: np.ndarray) -> None:
    """Large patches of a few colours; base is one of them."""
    patch = _noise(u * 6, v * 6, seed) + 0.35 * _noise(u * 17, v * 17, seed + 5)
    step = min(3, int(patch * 3))
    for channel in range(3):
        out[channel] = base[channel] if step == 0 else 0.15 + 0.8 * _hash(step, channel, seed)


@part()
def _landscape(u: float, v: float, seed: int, out: np.ndarray) -> None:
    """Bright sky above distant green: the view through a window; v is the height over the middle."""
    hill = -0.18 + 0.25 * (_noise(u * 2.1, 0.5, seed) - 0.5)
    if v > hill:
        out[0], out[1], out[2] = 0.78, 0.89, 1.0
    else:
        shade = 0.75 + 0.4 * (_noise(u * 9, v * 9, seed) - 0.5)
        out[0], out[1], out[2] = 0.5 * shade, 0.68 * shade, 0.42 * shade


@part()
def _surface(
    material: int, x: float, y: float, z: float, nx: float, ny: float, nz: float, seed: int, out: np.ndarray
) -> None:
    """Turn the base colour in `out` into that of a material at a place; n is the normal in the solid's frame."""
    ax, ay, az = abs(nx), abs(ny), abs(nz)
    u, v = (x, y) if az >= ax and az >= ay else (x, z) if ay >= ax else (y, z)
    factor = 1.0
    if material == WOOD:
        grain = _noise(u * 3.0, v * 28.0, seed) if ay < 0.8 else _noise(u * 28.0, v * 3.0, seed)
        factor = 0.86 + 0.28 * grain
    elif material == FABRIC:
        factor = 0.9 + 0.14 * _noise(u * 55, v * 55, seed) + 0.08 * _noise(u * 7, v * 7, seed + 1)
    elif material == TILES:
        if _near_line(u, 0.3, 0.022) or _near_line(v, 0.3, 0.022):
            factor = 0.78
        else:
            factor = 0.97 + 0.06 * _hash(_cell(u, 0.3), _cell(v, 0.3), seed)
    elif material == PLANKS:
        row = _cell(v, 0.14)
        shift = u + 0.9 * _hash(row, 7, seed)
        factor = 0.84 + 0.26 * _hash(row, _cell(shift, 0.9), seed) + 0.1 * (_noise(u * 4, v * 40, seed) - 0.5)
        if _near_line(v, 0.14, 0.012):
            factor *= 0.8
    elif material == CARPET:
        factor = 0.88 + 0.2 * _noise(u * 40, v * 40, seed) + 0.06 * _noise(u * 3, v * 3, seed + 3)
    elif material == PICTURE:
        _picture(u, v, seed, out.copy(), out)
    elif material == LEAVES:
        factor = 0.55 + 0.9 * _noise(x * 24 + z * 13, y * 24 - z * 9, seed)
    elif material == STRIPES:
        factor = 1.12 if (_cell(u, 0.09) & 1) == 0 else 0.72
    elif material == CHECKED:
        factor = 1.1 if ((_cell(u, 0.12) + _cell(v, 0.12)) & 1) == 0 else 0.68
    elif material == LANDSCAPE:
        _landscape(u, v, seed, out)
    elif material == BOOKS:
        spine = _cell(x + 0.011 * math.sin(x * 40), 0.042)
        for channel in range(3):
            out[channel] = 0.12 + 0.68 * _hash(spine, channel + 1, seed)
        if _near_line(x + 0.011 * math.sin(x * 40), 0.042, 0.006):
            factor = 0.6
    for channel in range(3):
        out[channel] *= factor


@part()
def _openness(share: np.ndarray, x: float, y: float, z: float) -> float:
    """Trilinear interpolation at a place in cells; places outside take the value at the border."""
    x = min(max(x, 0.0), share.shape[0] - 1.001)
    y = min(max(y, 0.0), share.shape[1] - 1.001)
    z = min(max(z, 0.0), share.shape[2] - 1.001)
    i, j, k = int(x), int(y), int(z)
    fx, fy, fz = x - i, y - j, z - k
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                total += weight * share[i + a, j + b, k + c]
    return total


@kernel()
def paint(
    points: np.ndarray,
    normals: np.ndarray,
    solids: np.ndarray,
    open_share: np.ndarray,
    origin: np.ndarray,
    cell: float,
    centres: np.ndarray,
    rotations: np.ndarray,
    colours: np.ndarray,
    materials: np.ndarray,
    lamps: np.ndarray,
    tint: np.ndarray,
    grain: float,
    seed: int,
    out: np.ndarray,
) -> None:
    """Write the colours of points on solids.

    Args:
        points, normals: (N, 3) float64, metres; normals of unit length, out of the surface.
        solids: (N,) int64, the solid of each point.
        open_share: (X, Y, Z) float32, 0..1, share of free space around each cell, which dims the light.
        origin: (3,) float64, place of the first cell's middle, metres.
        cell: side of a cell, metres.
        centres, rotations: (S, 3), (S, 3, 3) float64, as in distance_field.
        colours: (S, 3) float64, base colours, 0..1.
        materials: (S,) int64.
        lamps: (L, 4) float64, place in metres and strength of each light.
        tint: (3,) float64, the camera's exposure and white balance.
        grain: amplitude of the sensor's noise, 0..1.
        seed: of textures and noise.
        out: (N, 3) uint8.
    """
    colour, local = np.empty(3), np.empty(3)
    own = np.empty(3)
    for n in range(len(points)):
        s = solids[n]
        for axis in range(3):
            local[axis], own[axis] = 0.0, 0.0
            for k in range(3):
                local[axis] += rotations[s, k, axis] * (points[n, k] - centres[s, k])
                own[axis] += rotations[s, k, axis] * normals[n, k]
        colour[:] = colours[s]
        _surface(materials[s], local[0], local[1], local[2], own[0], own[1], own[2], seed + s, colour)
        light = 0.42 + 0.1 * normals[n, 2]
        for m in range(len(lamps)):
            dx, dy, dz = lamps[m, 0] - points[n, 0], lamps[m, 1] - points[n, 1], lamps[m, 2] - points[n, 2]
            length = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
            facing = (normals[n, 0] * dx + normals[n, 1] * dy + normals[n, 2] * dz) / length
            light += lamps[m, 3] * max(0.0, facing) / (1 + 0.12 * length * length)
        light *= _openness(
            open_share,
            (points[n, 0] + _LIFT * normals[n, 0] - origin[0]) / cell,
            (points[n, 1] + _LIFT * normals[n, 1] - origin[1]) / cell,
            (points[n, 2] + _LIFT * normals[n, 2] - origin[2]) / cell,
        )
        if materials[s] == GLOWING or materials[s] == LANDSCAPE:
            light = 1.05
        for channel in range(3):
            noise = grain * (_hash(n, channel, seed + 77) - 0.5)
            value = 255 * (min(1.0, colour[channel] * light) * tint[channel] + noise)
            out[n, channel] = np.uint8(min(255.0, max(0.0, value)))
