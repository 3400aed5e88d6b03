"""A room to the mesh that a reconstruction gives: solids fused in a noisy truncated distance field, its surface, and
holes where no camera looked.

The field's axes are those of the raw frame, which is turned against the walls, as in a real scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_cdt, uniform_filter

from g3d.kernels import distance_field, room_colours, surface_nets
from g3d.synthetic.rooms.camera_path import DepthCamera
from g3d.synthetic.rooms.solids import SolidArrays

FINEST, COARSEST, MOST_VERTICES = 0.02, 0.05, 128_000
_BAND, _BLEND = 3.0, 1.0  # of the field, in voxels
_NOISY = 1.5  # voxels from the surface within which noise is added: its crossings lie between closer ones
_WAVES, _WAVE_LENGTH, _GRAIN = 0.004, 0.12, 0.0022  # noise, metres
_SEEN, _FACING = 1, 0.1  # cameras that must see a surface, and the cosine from which they do
_GROWN = 3  # rings of vertices by which the seen surface grows: the field is known a little beyond what was seen
_SMOOTHED = 2  # rings over which normals are averaged: a camera's picture does not shade the noise of the distances
_SMALLEST = 150  # vertices of a loose piece that is kept
_COARSE = 4  # voxels of the field to one of the occupancy that shades corners
_SENSOR_GRAIN = 0.035


@dataclass(frozen=True, eq=False)
class FusedMesh:
    """A reconstructed surface in the raw frame.

    Attributes:
        vertices: (N, 3) float32, metres.
        colours: (N, 3) uint8.
        faces: (F, 3) int32, counter-clockwise seen from the free side.
        solids: (N,) int64, the solid whose surface each vertex shows.
        voxel: side of the field's voxels, metres.
    """

    vertices: np.ndarray
    colours: np.ndarray
    faces: np.ndarray
    solids: np.ndarray
    voxel: float


@dataclass(frozen=True, eq=False)
class Shading:
    """The light of a room, on which the colours of the mesh and of the pictures depend besides the solids.

    Attributes:
        lamps: (L, 4) float64, place in the raw frame and strength.
        tint: (3,) float64, exposure and white balance.
        open_share: (X, Y, Z) float32, share of free space around each coarse cell.
        origin: (3,) float64, place of the first coarse cell's middle.
        cell: side of a coarse cell, metres.
        seed: of textures and noise.
    """

    lamps: np.ndarray
    tint: np.ndarray
    open_share: np.ndarray
    origin: np.ndarray
    cell: float
    seed: int

    def colours(
        self, points: np.ndarray, normals: np.ndarray, solids: np.ndarray, shapes: SolidArrays, grain: float
    ) -> np.ndarray:
        """(N, 3) uint8: the colours of points (N, 3) float64 with normals on the surfaces of solids (N,)."""
        out = np.empty((len(points), 3), np.uint8)
        room_colours.paint(
            *(points, normals, solids, self.open_share, self.origin, self.cell),
            *(shapes.centres, shapes.rotations, shapes.colours, shapes.materials),
            *(self.lamps, self.tint, grain, self.seed, out),
        )
        return out


def voxel_size(surface: float, wanted: float = FINEST) -> float:
    """Side of the voxels, metres: as wanted, or more where `surface` square metres would give too many vertices."""
    return max(wanted, float(np.sqrt(surface / MOST_VERTICES)))


def fuse(
    shapes: SolidArrays,
    bounds: np.ndarray,
    voxel: float,
    poses: np.ndarray,
    lamps: np.ndarray,
    tint: np.ndarray,
    seed: int,
) -> tuple[FusedMesh, Shading]:
    """Reconstruct a room.

    Args:
        shapes: its solids in the raw frame, those of the shell included.
        bounds: (2, 3) float64, the box around the room's inside in the raw frame, metres.
        voxel: side of a voxel, metres.
        poses: (C, 4, 4) float64, the cameras that looked at it, in the raw frame.
        lamps, tint: as in Shading.
        seed: of all noise.
    """
    band = _BAND * voxel
    origin = bounds[0] - 2.5 * voxel
    shape = tuple(np.ceil((bounds[1] - bounds[0]) / voxel).astype(int) + 6)
    field = np.full(shape, band, np.float32)
    owner = np.full(shape, distance_field.NOBODY, np.int16)
    distance_field.fuse(*shapes.shapes, origin, voxel, band, _BLEND * voxel, field, owner)
    shading = _shading(field, origin, voxel, lamps, tint, seed)
    surface_nets.roughen(field, _NOISY * voxel, _WAVES, _WAVE_LENGTH / voxel, _GRAIN, seed)
    vertices, faces = surface_nets.extract(field, 2 * MOST_VERTICES)
    if len(vertices) > 2 * MOST_VERTICES:
        vertices, faces = surface_nets.extract(field, len(vertices))
    vertices = vertices * voxel + origin
    solids = np.empty(len(vertices), np.int64)
    distance_field.name_surfaces(vertices, *shapes.shapes, origin, voxel, owner, solids)
    normals = np.zeros_like(vertices)
    surface_nets.area_normals(vertices, faces, normals)
    keep = _looked_at(vertices, normals, faces, poses, field, origin, voxel, band)
    number = np.cumsum(keep) - 1
    faces = number[faces[keep[faces].all(1)]].astype(np.int32)
    vertices, normals, solids = vertices[keep], normals[keep], solids[keep]
    faces = faces[_has_area(vertices.astype(np.float32)[faces])]
    surface_nets.smooth_normals(faces, _SMOOTHED, normals)
    colours = shading.colours(vertices, normals, solids, shapes, _SENSOR_GRAIN)
    return FusedMesh(vertices.astype(np.float32), colours, faces, solids, voxel), shading


def _has_area(corners: np.ndarray) -> np.ndarray:
    """(F,) bool of triangles (F, 3, 3) float32."""
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = [u[:, k - 2] * v[:, k - 1] - u[:, k - 1] * v[:, k - 2] for k in range(3)]
    return (area[0] != 0) | (area[1] != 0) | (area[2] != 0)


def _looked_at(
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    poses: np.ndarray,
    field: np.ndarray,
    origin: np.ndarray,
    voxel: float,
    band: float,
) -> np.ndarray:
    """(N,) bool: the vertices that enough cameras saw and that belong to a piece of some size."""
    camera = DepthCamera()
    lens = np.array([camera.size[0], camera.size[1]]) / (2 * camera.focal)
    seen = np.zeros(len(vertices), np.int32)
    side = _COARSE
    occupied = np.zeros([-(-count // side) for count in field.shape], bool)
    distance_field.occupy(field, band, side, occupied)
    steps = free_steps(occupied, side * voxel)
    distance_field.count_views(
        *(vertices, normals, poses, lens, camera.far, _FACING, _SEEN, origin, voxel, band, field, steps, side, seen)
    )
    keep = seen >= _SEEN
    surface_nets.keep_pieces(faces, _GROWN, _SMALLEST, keep)
    return keep


def free_steps(occupied: np.ndarray, side: float) -> np.ndarray:
    """(X, Y, Z) float32: metres from anywhere in each block of `side` metres that lead into no occupied block."""
    apart = distance_transform_cdt(~occupied, "chessboard")  # 1 for neighbours
    return (np.maximum(apart - 1, 0) * side).astype(np.float32)


def _shading(
    field: np.ndarray, origin: np.ndarray, voxel: float, lamps: np.ndarray, tint: np.ndarray, seed: int
) -> Shading:
    """Openness from the share of free voxels within about 30 cm: corners and the space below things are darker."""
    half = _COARSE // 2
    free = (field[half::_COARSE, half::_COARSE, half::_COARSE] > 0).astype(np.float32)
    share = uniform_filter(free, size=7, mode="nearest")
    open_share = np.clip(0.3 + 1.15 * share, 0, 1).astype(np.float32)
    return Shading(lamps, tint, open_share, origin + half * voxel, _COARSE * voxel, seed)
