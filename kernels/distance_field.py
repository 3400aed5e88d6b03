"""Signed distances of simple solids, their union as a truncated distance field, and sightlines through that field.

A solid has a kind, a centre, a rotation (columns: its own axes in the field's frame), half sizes and two more lengths:

    BOX        half sizes x, y, z; first extra: radius of its rounded edges
    CONE       radius at the bottom, radius at the top, half height along its own z
    ELLIPSOID  half axes x, y, z; its distance is exact on the surface and a first-order estimate elsewhere
    RIM        half sizes x, y, z of an upright wall around a rounded rectangle; extras: corner radius, wall thickness

Distances are in metres, positive outside. Letters: S solids, (X, Y, Z) voxels.
"""

from __future__ import annotations

import math

import numpy as np

from g3d.kernels.compiled import kernel, part

BOX, CONE, ELLIPSOID, RIM = range(4)
NOBODY = -1


@part()
def _box(x: float, y: float, z: float, half: np.ndarray, radius: float) -> float:
    x, y, z = abs(x) - half[0] + radius, abs(y) - half[1] + radius, abs(z) - half[2] + radius
    inside = min(max(x, max(y, z)), 0.0)
    x, y, z = max(x, 0.0), max(y, 0.0), max(z, 0.0)
    return math.sqrt(x * x + y * y + z * z) + inside - radius


@part()
def _cone(x: float, y: float, z: float, half: np.ndarray) -> float:
    """The profile is a trapezoid: the nearer of its cap and its slanted side decides."""
    radius, bottom, top, height = math.sqrt(x * x + y * y), half[0], half[1], half[2]
    cap_r = max(radius - (bottom if z < 0 else top), 0.0)
    cap_z = abs(z) - height
    run, rise = top - bottom, 2 * height
    along = ((radius - bottom) * run + (z + height) * rise) / (run * run + rise * rise)
    along = min(max(along, 0.0), 1.0)
    side_r, side_z = radius - bottom - along * run, z + height - along * rise
    distance = math.sqrt(min(cap_r * cap_r + cap_z * cap_z, side_r * side_r + side_z * side_z))
    return -distance if side_r < 0 and cap_z < 0 else distance


@part()
def _ellipsoid(x: float, y: float, z: float, half: np.ndarray) -> float:
    x, y, z = x / half[0], y / half[1], z / half[2]
    level = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / half[0], y / half[1], z / half[2]
    slope = math.sqrt(x * x + y * y + z * z)
    return level * (level - 1) / slope if slope > 1e-9 else -min(half[0], min(half[1], half[2]))


@part()
def _rim(x: float, y: float, z: float, half: np.ndarray, corner: float, wall: float) -> float:
    x, y = abs(x) - half[0] + corner, abs(y) - half[1] + corner
    outline = min(max(x, y), 0.0) - corner
    x, y = max(x, 0.0), max(y, 0.0)
    outline += math.sqrt(x * x + y * y)
    across, up = abs(outline + wall / 2) - wall / 2, abs(z) - half[2]
    inside = min(max(across, up), 0.0)
    across, up = max(across, 0.0), max(up, 0.0)
    return math.sqrt(across * across + up * up) + inside


@part()
def _distance(kind: int, x: float, y: float, z: float, half: np.ndarray, extra: np.ndarray) -> float:
    if kind == BOX:
        return _box(x, y, z, half, extra[0])
    if kind == CONE:
        return _cone(x, y, z, half)
    if kind == ELLIPSOID:
        return _ellipsoid(x, y, z, half)
    return _rim(x, y, z, half, extra[0], extra[1])


@part()
def _reach(kind: int, half: np.ndarray, axis: int) -> float:
    """Half the solid's extent along one of its own axes."""
    return max(half[0], half[1]) if kind == CONE and axis < 2 else half[axis]


@part()
def _span(middle: float, reach: float, origin: float, voxel: float, count: int) -> tuple[int, int]:
    """Voxels [start, stop) of an axis within `reach` of `middle`."""
    start = math.ceil((middle - reach - origin) / voxel)
    stop = math.floor((middle + reach - origin) / voxel) + 1
    return max(0, start), min(count, stop)


@kernel()
def fuse(
    kinds: np.ndarray,
    centres: np.ndarray,
    rotations: np.ndarray,
    halves: np.ndarray,
    extras: np.ndarray,
    origin: np.ndarray,
    voxel: float,
    band: float,
    blend: float,
    field: np.ndarray,
    owner: np.ndarray,
) -> None:
    """Write the union of solids into a truncated distance field.

    Where two surfaces are closer than `blend`, a quadratic fillet of at most blend / 4 joins them, as the averaging of
    a reconstruction does.

    Args:
        kinds, centres, rotations, halves, extras: (S,) int64, (S, 3), (S, 3, 3), (S, 3), (S, 2) float64.
        origin: (3,) float64, centre of the first voxel, metres.
        voxel: side of a voxel, metres.
        band: distances are cut at this, metres.
        blend: range of the fillets, metres, below `band`.
        field: (X, Y, Z) float32, `band` everywhere at first.
        owner: (X, Y, Z) int16, `NOBODY` everywhere at first: the solid whose surface is nearest.
    """
    size_x, size_y, size_z = field.shape
    deepest = np.float64(np.float32(-band))  # as the field holds it
    for s in range(len(kinds)):
        kind, turn, half, extra = kinds[s], rotations[s], halves[s], extras[s]
        wide, deep, tall = _reach(kind, half, 0), _reach(kind, half, 1), _reach(kind, half, 2)
        upright = abs(turn[2, 2]) > 1 - 1e-12
        reach = np.empty(3)
        for axis in range(3):
            reach[axis] = abs(turn[axis, 0]) * wide + abs(turn[axis, 1]) * deep + abs(turn[axis, 2]) * tall + band
        first_x, stop_x = _span(centres[s, 0], reach[0], origin[0], voxel, size_x)
        first_y, stop_y = _span(centres[s, 1], reach[1], origin[1], voxel, size_y)
        first_z, stop_z = _span(centres[s, 2], reach[2], origin[2], voxel, size_z)
        for i in range(first_x, stop_x):
            dx = origin[0] + voxel * i - centres[s, 0]
            for j in range(first_y, stop_y):
                dy = origin[1] + voxel * j - centres[s, 1]
                x0, y0 = turn[0, 0] * dx + turn[1, 0] * dy, turn[0, 1] * dx + turn[1, 1] * dy
                if upright and (abs(x0) > wide + band or abs(y0) > deep + band):
                    continue
                z0 = turn[0, 2] * dx + turn[1, 2] * dy
                following = first_z
                for k in range(first_z, stop_z):
                    old = np.float64(field[i, j, k])
                    if k < following or old <= deepest:
                        continue
                    dz = origin[2] + voxel * k - centres[s, 2]
                    new = _distance(kind, x0 + turn[2, 0] * dz, y0 + turn[2, 1] * dz, z0 + turn[2, 2] * dz, half, extra)
                    if new >= old + blend:
                        if kind != ELLIPSOID:  # the others' distances are exact: the next voxels are too far as well
                            following = k + np.int64((new - band - blend) / voxel)
                        continue
                    if new < old:
                        owner[i, j, k] = s
                    gap = max(blend - abs(new - old), 0.0)
                    joined = min(new, old) - gap * gap / (4 * blend)
                    field[i, j, k] = max(joined, -band)


@part()
def _distance_of(
    s: int,
    point: np.ndarray,
    kinds: np.ndarray,
    centres: np.ndarray,
    rotations: np.ndarray,
    halves: np.ndarray,
    extras: np.ndarray,
) -> float:
    dx, dy, dz = point[0] - centres[s, 0], point[1] - centres[s, 1], point[2] - centres[s, 2]
    turn = rotations[s]
    x = turn[0, 0] * dx + turn[1, 0] * dy + turn[2, 0] * dz
    y = turn[0, 1] * dx + turn[1, 1] * dy + turn[2, 1] * dz
    z = turn[0, 2] * dx + turn[1, 2] * dy + turn[2, 2] * dz
    return _distance(kinds[s], x, y, z, halves[s], extras[s])


@kernel()
def name_surfaces(
    points: np.ndarray,
    kinds: np.ndarray,
    centres: np.ndarray,
    rotations: np.ndarray,
    halves: np.ndarray,
    extras: np.ndarray,
    origin: np.ndarray,
    voxel: float,
    owner: np.ndarray,
    solids: np.ndarray,
) -> None:
    """Write the solid whose surface is nearest to each point, of those that own a voxel around it.

    Args:
        points: (N, 3) float64, metres.
        kinds, centres, rotations, halves, extras, origin, voxel, owner: as in `fuse`.
        solids: (N,) int64; `NOBODY` where no voxel around a point has an owner.
    """
    for n in range(len(points)):
        i = math.floor((points[n, 0] - origin[0]) / voxel)
        j = math.floor((points[n, 1] - origin[1]) / voxel)
        k = math.floor((points[n, 2] - origin[2]) / voxel)
        best, solids[n] = np.inf, NOBODY
        for a in range(max(i, 0), min(i + 2, owner.shape[0])):
            for b in range(max(j, 0), min(j + 2, owner.shape[1])):
                for c in range(max(k, 0), min(k + 2, owner.shape[2])):
                    s = np.int64(owner[a, b, c])
                    if s == NOBODY or s == solids[n]:
                        continue
                    away = abs(_distance_of(s, points[n], kinds, centres, rotations, halves, extras))
                    if away < best:
                        best, solids[n] = away, s


@kernel()
def nearest_surface(
    points: np.ndarray,
    first: np.ndarray,
    stop: np.ndarray,
    kinds: np.ndarray,
    centres: np.ndarray,
    rotations: np.ndarray,
    halves: np.ndarray,
    extras: np.ndarray,
    distance: np.ndarray,
) -> None:
    """Write each point's distance to the union of the solids [first, stop) that are named for it.

    Args:
        points: (N, 3) float64.
        first, stop: (N,) int64; `first` = `stop` gives infinity.
        kinds, centres, rotations, halves, extras: as in `fuse`.
        distance: (N,) float64, signed, metres.
    """
    for n in range(len(points)):
        best = np.inf
        for s in range(first[n], stop[n]):
            best = min(best, _distance_of(s, points[n], kinds, centres, rotations, halves, extras))
        distance[n] = best


@kernel()
def occupy(field: np.ndarray, band: float, side: int, occupied: np.ndarray) -> None:
    """Mark the blocks of `side` voxels along each axis in which a distance is below the band.

    Args:
        field, band: as in `fuse`.
        side: voxels along the edge of a block.
        occupied: (ceil(X / side), ceil(Y / side), ceil(Z / side)) bool, False at first.
    """
    limit = np.float32(band)  # as the field holds it
    for i in range(field.shape[0]):
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                if field[i, j, k] < limit:
                    occupied[i // side, j // side, k // side] = True


@kernel()
def count_views(
    points: np.ndarray,
    normals: np.ndarray,
    poses: np.ndarray,
    lens: np.ndarray,
    far: float,
    least_facing: float,
    wanted: int,
    origin: np.ndarray,
    voxel: float,
    band: float,
    field: np.ndarray,
    steps: np.ndarray,
    side: int,
    seen: np.ndarray,
) -> None:
    """Count the cameras that see each surface point, up to `wanted`, by marching through the distance field.

    Args:
        points, normals: (N, 3) float64, on the surface and of unit length, out of the solid.
        poses: (C, 4, 4) float64, camera to field frame; a camera looks along its +z.
        lens: (2,) float64, half the picture's width and height over the focal length.
        far: largest distance that a camera measures, metres.
        least_facing: smallest cosine between a surface's normal and the direction to the camera.
        wanted: the count stops here.
        origin, voxel, band, field: as in `fuse`.
        steps: (ceil(X / side), ceil(Y / side), ceil(Z / side)) float32, metres from anywhere in each block of the field
            in which there is nothing; 0 is always right.
        side: voxels along the edge of a block.
        seen: (N,) int32, zeros at first.
    """
    size_x, size_y, size_z = field.shape
    start = 0
    for n in range(len(points)):
        for turn in range(len(poses)):
            c = (start + turn) % len(poses)
            pose = poses[c]
            dx, dy, dz = pose[0, 3] - points[n, 0], pose[1, 3] - points[n, 1], pose[2, 3] - points[n, 2]
            depth = -(pose[0, 2] * dx + pose[1, 2] * dy + pose[2, 2] * dz)
            if depth < 0.2 or depth > far or normals[n, 0] * dx + normals[n, 1] * dy + normals[n, 2] * dz <= 0:
                continue
            if abs(pose[0, 0] * dx + pose[1, 0] * dy + pose[2, 0] * dz) > lens[0] * depth:
                continue
            if abs(pose[0, 1] * dx + pose[1, 1] * dy + pose[2, 1] * dz) > lens[1] * depth:
                continue
            length = math.sqrt(dx * dx + dy * dy + dz * dz)
            dx, dy, dz = dx / length, dy / length, dz / length
            if normals[n, 0] * dx + normals[n, 1] * dy + normals[n, 2] * dz < least_facing:
                continue
            at, free = 1.5 * voxel, True
            while at < length:
                x = points[n, 0] + normals[n, 0] * voxel + dx * at
                y = points[n, 1] + normals[n, 1] * voxel + dy * at
                z = points[n, 2] + normals[n, 2] * voxel + dz * at
                i = math.floor((x - origin[0]) / voxel + 0.5)
                j = math.floor((y - origin[1]) / voxel + 0.5)
                k = math.floor((z - origin[2]) / voxel + 0.5)
                if 0 <= i < size_x and 0 <= j < size_y and 0 <= k < size_z:
                    value = field[i, j, k]
                    if value < 0:
                        free = False
                        break
                    at += max(0.7 * voxel, value, steps[i // side, j // side, k // side])
                else:
                    at += band
            if free:
                seen[n] += 1
                start = c  # neighbours are mostly seen by the same camera
                if seen[n] >= wanted:
                    break
