"""One synthetic scan: a furnished room, walked through with a camera, reconstructed, over-segmented and annotated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from g3d.ops.mesh_segments import mesh_segments
from g3d.synthetic.rooms.camera_path import camera_path
from g3d.synthetic.rooms.fusion import FINEST, FusedMesh, Shading, fuse, voxel_size
from g3d.synthetic.rooms.room_types import KINDS, Room, furnish
from g3d.synthetic.rooms.solids import SolidArrays, turn_z

SEGMENT_THRESHOLD, SEGMENT_VERTICES = 0.01, 20
LOOKS = 160
"""Number of camera poses that decide what a scan has seen."""
_SLACK = 0.03  # metres that an annotated segment may reach beyond its object
_LEAST = 25  # vertices of an annotated object
_FURNISHED = 1.55  # surface of a furnished room over that of its floor and walls


@dataclass(frozen=True, eq=False)
class RoomScan:
    """A scan and the world that it shows.

    Attributes:
        seed, index: of the world, and of the room in it.
        room: the room, in the room frame.
        shapes: the solids in the raw frame; those of object k are [starts[k], starts[k + 1]).
        starts: (K + 1,) int64.
        to_raw: (4, 4) float64, room frame to raw frame.
        alignment: (4, 4) float64, raw frame to aligned frame: the room's middle at x = y = 0, its floor at z = 0.
        mesh: the reconstruction, raw frame.
        shading: the light of its colours.
        poses: (LOOKS, 4, 4) float64, camera to raw frame.
        segments: (N,) int64, over-segmentation; an id is the first vertex of its segment.
        annotation: (N,) int64, index in `annotated` of each vertex, -1 for none.
        annotated: the index in room.objects of each annotated object; its place here is its objectId.
    """

    seed: int
    index: int
    room: Room
    shapes: SolidArrays
    starts: np.ndarray
    to_raw: np.ndarray
    alignment: np.ndarray
    mesh: FusedMesh
    shading: Shading
    poses: np.ndarray
    segments: np.ndarray
    annotation: np.ndarray
    annotated: tuple[int, ...]

    def walk(self) -> np.random.Generator:
        """The generator that camera_path takes for this scan's walk."""
        return _walk(self.seed, self.index)


def kind_of(seed: int, index: int, kinds: tuple[str, ...] = KINDS) -> str:
    """The kind of a room: each of the kinds once, in random order, then again."""
    turn, place = divmod(index, len(kinds))
    return kinds[int(np.random.default_rng([seed, turn, 7]).permutation(len(kinds))[place])]


def make_scan(seed: int, index: int, kind: str, voxel: float = FINEST) -> RoomScan:
    """Make a scan. It depends on the arguments only.

    Args:
        seed: of the world.
        index: number of the room in it.
        kind: one of KINDS.
        voxel: side of the reconstruction's voxels, metres.
    """
    rng = np.random.default_rng([seed, index])
    room = furnish(rng, kind)
    to_raw, alignment = _frames(room.size, rng)
    turn, shift = to_raw[:3, :3], to_raw[:3, 3]
    yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
    parts = [placed.solids for placed in room.objects]
    shapes = SolidArrays.of([solid.moved(shift, yaw) for solids in parts for solid in solids])
    starts = np.concatenate([[0], np.cumsum([len(solids) for solids in parts])])
    poses = to_raw @ camera_path(room, _walk(seed, index), LOOKS)
    lamps = room.lamps.copy()
    lamps[:, :3] = lamps[:, :3] @ turn.T + shift
    tint = rng.uniform(0.9, 1.08) * np.array([1 + rng.uniform(-0.04, 0.05), 1.0, 1 + rng.uniform(-0.07, 0.05)])
    width, depth, height = room.size
    voxel = voxel_size(_FURNISHED * (width * depth + 2 * (width + depth) * height), voxel)
    corners = np.array([(x, y, 0) for x in (0, width) for y in (0, depth)]) @ turn.T + shift
    bounds = np.stack([corners.min(0), corners.max(0) + np.array([0, 0, height])])
    mesh, shading = fuse(shapes, bounds, voxel, poses, lamps, tint, int(rng.integers(2**31)))
    objects = np.searchsorted(starts, mesh.solids, side="right") - 1
    segments, annotation, annotated = annotate(mesh, objects, shapes, starts)
    return RoomScan(
        seed, index, room, shapes, starts, to_raw, alignment, mesh, shading, poses, segments, annotation, annotated
    )


def annotate(
    mesh: FusedMesh, objects: np.ndarray, shapes: SolidArrays, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Over-segment a mesh and give every segment to the object that most of its vertices show, as an annotator does.

    Vertices that lie more than 3 cm from the surface of their segment's object are cut off into segments of their own.

    Args:
        mesh: the reconstruction.
        objects: (N,) int64, the object that each vertex shows.
        shapes, starts: the solids of the objects, as in RoomScan.

    Returns:
        segments, annotation and annotated, as in RoomScan.
    """
    found = mesh_segments(
        torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), SEGMENT_THRESHOLD, SEGMENT_VERTICES
    ).numpy()
    count = len(starts) - 1
    votes = np.bincount(found * count + objects, minlength=(found.max() + 1) * count).reshape(-1, count)
    owner = votes.argmax(1)[found]
    other = np.flatnonzero(owner != objects)
    away = shapes.distance(mesh.vertices[other], starts[owner[other]], starts[owner[other] + 1])
    owner[other[np.abs(away) > _SLACK]] = objects[other[np.abs(away) > _SLACK]]
    own = np.flatnonzero(owner == objects)  # an object's fillets may lie off its exact surface
    away = shapes.distance(mesh.vertices[own], mesh.solids[own], mesh.solids[own] + 1)
    own = own[np.abs(away) > _SLACK]
    away = shapes.distance(mesh.vertices[own], starts[owner[own]], starts[owner[own] + 1])
    owner[own[np.abs(away) > _SLACK]] = count
    _, first, group = np.unique(found * (count + 1) + owner, return_index=True, return_inverse=True)
    sizes = np.bincount(owner, minlength=count + 1)[:count]
    annotated = tuple(int(k) for k in np.flatnonzero(sizes >= _LEAST))
    number = np.full(count + 1, -1, np.int64)
    number[list(annotated)] = np.arange(len(annotated))
    return first[group].astype(np.int64), number[owner], annotated


def _walk(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, index, 1])


def _frames(size: tuple[float, float, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Room frame to raw frame (any heading, coordinates from about 0 on), and raw frame to aligned frame."""
    width, depth, _ = size
    turn = turn_z(rng.uniform(-np.pi, np.pi))
    corners = np.array([(x, y, 0) for x in (0, width) for y in (0, depth)]) @ turn.T
    to_raw = np.eye(4)
    to_raw[:3, :3] = turn
    to_raw[:3, 3] = rng.uniform(0.02, 0.6, 3) * (1, 1, 0.2) - (*corners.min(0)[:2], 0)
    centred = np.eye(4)
    centred[:2, 3] = -width / 2, -depth / 2
    return to_raw, centred @ np.linalg.inv(to_raw)
