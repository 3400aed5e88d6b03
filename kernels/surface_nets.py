"""Surface nets: the zero level of a distance field as a triangle mesh, and the noise of a fused field.

A cell between eight voxels that the surface crosses gets one vertex, the mean of the crossings of its edges. An edge
that the surface crosses gets one quadrilateral between its four cells, split along its shorter diagonal.

Source: Gibson, "Constrained Elastic Surface Nets", 1998 (without the relaxation).
"""

from __future__ import annotations

import math

import numpy as np

from g3d.kernels.compiled import kernel, part

_NONE = -1


@part()
def _mix(i: int, j: int, k: int, seed: int) -> float:
    """A number in [0, 1) from three cells and a seed."""
    h = np.uint64(i) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(j) * np.uint64(0xC2B2AE3D27D4EB4F)
    h += np.uint64(k) * np.uint64(0x165667B19E3779F9) + np.uint64(seed) * np.uint64(0x27D4EB2F165667C5)
    h = (h ^ (h >> np.uint64(31))) * np.uint64(0xD6E8FEB86659FD93)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return np.float64((h >> np.uint64(40)) & np.uint64(0xFFFFFF)) * (1.0 / 0x1000000)


@part()
def _smooth(x: float, y: float, z: float, seed: int) -> float:
    """Trilinear noise in [0, 1) with one feature per unit; coordinates from 0 on."""
    i, j, k = int(x), int(y), int(z)
    fx, fy, fz = x - i, y - j, z - k
    total = 0.0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = (fx if a else 1 - fx) * (fy if b else 1 - fy) * (fz if c else 1 - fz)
                total += weight * _mix(i + a, j + b, k + c, seed)
    return total


@kernel()
def roughen(field: np.ndarray, band: float, waves: float, length: float, grain: float, seed: int) -> None:
    """Add sensor noise to the voxels within the band of a distance field.

    Args:
        field: (X, Y, Z) float32, metres.
        band: where the field is cut, metres.
        waves: amplitude of the correlated noise (drift, calibration), metres.
        length: its correlation length, in voxels.
        grain: amplitude of the noise of single voxels, metres.
        seed: of the noise.
    """
    for i in range(field.shape[0]):
        for j in range(field.shape[1]):
            for k in range(field.shape[2]):
                if abs(field[i, j, k]) < band:
                    wave = _smooth(i / length, j / length, k / length, seed)
                    field[i, j, k] += 2 * waves * (wave - 0.5) + 2 * grain * (_mix(i, j, k, seed + 1) - 0.5)


@part()
def _crossed(field: np.ndarray, i: int, j: int, k: int) -> bool:
    """Whether the corners of a cell have both signs."""
    solid = field[i, j, k] < 0
    for a in range(2):
        for b in range(2):
            for c in range(2):
                if (field[i + a, j + b, k + c] < 0) != solid:
                    return True
    return False


@part()
def _middle(field: np.ndarray, i: int, j: int, k: int, out: np.ndarray) -> None:
    """Mean of the crossings of a cell's edges, in voxels."""
    out[:] = 0
    count = 0
    for axis in range(3):
        for p in range(2):
            for q in range(2):
                if axis == 0:
                    a, b, c, di, dj, dk = 0, p, q, 1, 0, 0
                elif axis == 1:
                    a, b, c, di, dj, dk = p, 0, q, 0, 1, 0
                else:
                    a, b, c, di, dj, dk = p, q, 0, 0, 0, 1
                start = np.float64(field[i + a, j + b, k + c])
                end = np.float64(field[i + a + di, j + b + dj, k + c + dk])
                if (start < 0) != (end < 0):
                    along = start / (start - end)
                    out[0] += i + a + along * di
                    out[1] += j + b + along * dj
                    out[2] += k + c + along * dk
                    count += 1
    out /= count


@kernel()
def extract(field: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the zero level of a field.

    Args:
        field: (X, Y, Z) float32.
        capacity: most vertices; half as many again are the most quadrilaterals.

    Returns:
        (N, 3) float64 vertices in voxels, each inside its cell; (F, 3) int32 triangles, counter-clockwise seen from
        the positive side. N > capacity (with no triangles) if there is no room.
    """
    size_x, size_y, size_z = field.shape
    number = np.full((size_x, size_y, size_z), _NONE, np.int32)
    vertices = np.empty((capacity, 3))
    count = 0
    for i in range(size_x - 1):
        for j in range(size_y - 1):
            for k in range(size_z - 1):
                if not _crossed(field, i, j, k):
                    continue
                if count < capacity:
                    _middle(field, i, j, k, vertices[count])
                    number[i, j, k] = count
                count += 1
    if count > capacity:
        return np.empty((count, 3)), np.empty((0, 3), np.int32)
    faces = np.empty((6 * count, 3), np.int32)
    made = 0
    quad = np.empty(4, np.int32)
    for i in range(1, size_x - 1):
        for j in range(1, size_y - 1):
            for k in range(1, size_z - 1):
                if number[i, j, k] == _NONE:
                    continue
                solid = field[i, j, k] < 0
                for axis in range(3):
                    if axis == 0:
                        other = field[i + 1, j, k] < 0
                        quad[0], quad[1] = number[i, j - 1, k - 1], number[i, j, k - 1]
                        quad[2], quad[3] = number[i, j, k], number[i, j - 1, k]
                    elif axis == 1:
                        other = field[i, j + 1, k] < 0
                        quad[0], quad[1] = number[i - 1, j, k - 1], number[i - 1, j, k]
                        quad[2], quad[3] = number[i, j, k], number[i, j, k - 1]
                    else:
                        other = field[i, j, k + 1] < 0
                        quad[0], quad[1] = number[i - 1, j - 1, k], number[i, j - 1, k]
                        quad[2], quad[3] = number[i, j, k], number[i - 1, j, k]
                    if other == solid:
                        continue
                    if not solid:
                        quad[1], quad[3] = quad[3], quad[1]
                    made = _split(vertices, quad, faces, made)
    return vertices[:count], faces[:made]


@part()
def _split(vertices: np.ndarray, quad: np.ndarray, faces: np.ndarray, made: int) -> int:
    """Append a quadrilateral as two triangles; return the new number of triangles."""
    one, two = 0.0, 0.0
    for axis in range(3):
        one += (vertices[quad[0], axis] - vertices[quad[2], axis]) ** 2
        two += (vertices[quad[1], axis] - vertices[quad[3], axis]) ** 2
    a = 0 if one <= two else 1
    faces[made, 0], faces[made, 1], faces[made, 2] = quad[a], quad[a + 1], quad[a + 2]
    faces[made + 1, 0], faces[made + 1, 1], faces[made + 1, 2] = quad[a], quad[a + 2], quad[(a + 3) % 4]
    return made + 2


@kernel()
def area_normals(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> None:
    """Write the mean normal of the faces around each vertex, weighted by area, of unit length.

    Args:
        vertices: (N, 3) float64.
        faces: (F, 3) int32.
        normals: (N, 3) float64, zeros at first; a vertex without faces keeps them.
    """
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        for corner in (a, b, c):
            normals[corner, 0] += uy * vz - uz * vy
            normals[corner, 1] += uz * vx - ux * vz
            normals[corner, 2] += ux * vy - uy * vx
    for n in range(len(normals)):
        length = math.sqrt(normals[n, 0] ** 2 + normals[n, 1] ** 2 + normals[n, 2] ** 2)
        if length > 0:
            normals[n] /= length


@kernel()
def smooth_normals(faces: np.ndarray, rings: int, normals: np.ndarray) -> None:
    """Average the normal of each vertex with those of its neighbours, `rings` times; the vertex itself counts twice.

    Args:
        faces: (F, 3) int32; only the next corner of each face is a neighbour, so that an edge inside counts once.
        rings: number of rounds.
        normals: (N, 3) float64 of unit length, updated.
    """
    for _ in range(rings):
        sums = 2 * normals
        for f in range(len(faces)):
            for corner in range(3):
                a, b = faces[f, corner], faces[f, (corner + 1) % 3]
                for axis in range(3):
                    sums[a, axis] += normals[b, axis]
        for n in range(len(sums)):
            length = max(math.sqrt(sums[n, 0] ** 2 + sums[n, 1] ** 2 + sums[n, 2] ** 2), 1e-9)
            for axis in range(3):
                normals[n, axis] = sums[n, axis] / length


@part()
def _root(parent: np.ndarray, element: int) -> int:
    while element != parent[element]:
        parent[element] = parent[parent[element]]
        element = parent[element]
    return element


@kernel()
def keep_pieces(faces: np.ndarray, rings: int, smallest: int, keep: np.ndarray) -> None:
    """Grow a part of a surface by `rings` rings of vertices and drop its loose pieces.

    Args:
        faces: (F, 3) int32.
        rings: number of rings.
        smallest: vertices of the smallest connected piece that is kept.
        keep: (N,) bool, the part, updated; vertices without a face whose corners are all kept are dropped.
    """
    for _ in range(rings):
        before = keep.copy()
        for f in range(len(faces)):
            if before[faces[f, 0]] or before[faces[f, 1]] or before[faces[f, 2]]:
                keep[faces[f, 0]] = keep[faces[f, 1]] = keep[faces[f, 2]] = True
    parent = np.arange(len(keep)).astype(np.int32)
    used = np.zeros(len(keep), np.bool_)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if keep[a] and keep[b] and keep[c]:
            used[a] = used[b] = used[c] = True
            parent[_root(parent, b)] = _root(parent, a)
            parent[_root(parent, c)] = _root(parent, a)
    size = np.zeros(len(keep), np.int32)
    for n in range(len(keep)):
        if used[n]:
            size[_root(parent, n)] += 1
    for n in range(len(keep)):
        keep[n] = used[n] and size[_root(parent, n)] >= smallest
