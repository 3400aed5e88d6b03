"""The recording of a scan: colour and depth pictures of the exact solids along the camera's path, as a .sens stream.

Depth has the errors of a structured-light sensor: noise that grows with the square of the distance, no reading beyond
its range, at edges and on surfaces seen at a flat angle. Some frames have no pose, as where tracking was lost.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.scannet.frame_export import export_frames
from g3d.data.scannet.sens import SensFrame, SensHeader, write_sens
from g3d.kernels import rasterise
from g3d.synthetic.rooms.camera_path import DepthCamera, camera_path
from g3d.synthetic.rooms.scan import RoomScan
from g3d.synthetic.rooms.triangles import triangulate

NEAREST, FARTHEST = 0.35, 6.0
"""Range in which the depth camera gives readings, metres."""
NOISE_AT_1M, NOISE_GROWTH = 0.0012, 0.0016
"""Standard deviation of depth, metres: NOISE_AT_1M + NOISE_GROWTH * (depth - 1)^2."""
_NEAR_PLANE = 0.02
_FLAT = 0.13  # cosine below which a surface gives no reading
_JUMP = 0.06  # metres between neighbouring pixels that make an edge
_LOST = 0.02  # share of frames without a pose
_JPEG_QUALITY = 90
_COLOUR_GRAIN = 0.02


@dataclass(frozen=True)
class FrameSettings:
    """The recording of a scan.

    Attributes:
        frames: number of frames; 0 for no recording.
        colour_size, depth_size: width and height, pixels; ScanNet's by default.
        export: also write the frames as files below frames/.
    """

    frames: int = 0
    colour_size: tuple[int, int] = (1296, 968)
    depth_size: tuple[int, int] = (640, 480)
    export: bool = True


@dataclass(frozen=True, eq=False)
class Rendered:
    """The view of a camera without errors.

    Attributes:
        depth: (h, w) float64, metres along the camera's axis, 0 for nothing.
        normals: (h, w, 3) float64, raw frame, towards the camera.
        points: (h, w, 3) float64, raw frame.
        solids: (h, w) int64, -1 for nothing.
    """

    depth: np.ndarray
    normals: np.ndarray
    points: np.ndarray
    solids: np.ndarray


class Renderer:
    """Draws the solids of a scan."""

    def __init__(self, scan: RoomScan) -> None:
        self.scan = scan
        self._triangles, self._owners = triangulate(scan.shapes)
        edges = self._triangles[:, 1:] - self._triangles[:, :1]
        normals = np.cross(edges[:, 0], edges[:, 1])
        self._normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def render(self, pose: np.ndarray, size: tuple[int, int]) -> Rendered:
        """Return the surface behind the middle of each pixel.

        Args:
            pose: (4, 4) float64, camera to raw frame.
            size: width and height, pixels.
        """
        matrix = DepthCamera().matrix(size)
        turn, place = pose[:3, :3], pose[:3, 3]
        screen, source = rasterise.project((self._triangles - place) @ turn, matrix[:3], _NEAR_PLANE)
        index = np.full((size[1], size[0]), rasterise.NOTHING, np.int32)
        inverse = np.zeros(index.shape, np.float32)
        rasterise.draw(screen, source, 1, inverse, index)
        depth = np.divide(1.0, inverse, out=np.zeros(index.shape), where=inverse > 0)
        columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        rays = np.stack(
            [(columns - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1], np.ones(index.shape)], -1
        )
        points = (rays * depth[..., None]) @ turn.T + place
        return Rendered(depth, self._normals[index], points, np.where(index < 0, -1, self._owners[index]))

    def colours(self, seen: Rendered) -> np.ndarray:
        """(h, w, 3) uint8: the colour picture of what is seen, black for nothing."""
        solid = seen.solids.ravel()
        points, normals = seen.points.reshape(-1, 3), seen.normals.reshape(-1, 3)
        colours = self.scan.shading.colours(points, normals, np.maximum(solid, 0), self.scan.shapes, _COLOUR_GRAIN)
        colours[solid < 0] = 0
        return colours.reshape(*seen.solids.shape, 3)


def sensor_depth(seen: Rendered, pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(h, w) uint16, millimetres, 0 for no reading: what the depth camera makes of a view."""
    depth = seen.depth
    noise = NOISE_AT_1M + NOISE_GROWTH * np.square(np.maximum(depth, 1) - 1)
    measured = depth + noise * rng.standard_normal(depth.shape)
    towards = pose[:3, 3] - seen.points
    length = np.maximum(np.linalg.norm(towards, axis=-1), 1e-9)
    facing = (towards * seen.normals).sum(-1) / length
    jump = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = np.abs(np.diff(depth, axis=axis)) > _JUMP
        first, second = [(slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None))]
        jump[first] |= step
        jump[second] |= step
    lost = (depth < NEAREST) | (depth > FARTHEST) | (facing < _FLAT) | (jump & (rng.random(depth.shape) < 0.7))
    return np.where(lost, 0, np.rint(1000 * measured)).astype(np.uint16)


def write_frames(folder: Path, scene: str, scan: RoomScan, settings: FrameSettings) -> None:
    """Write <scene>.sens, and color/, depth/, pose/, intrinsic/ below frames/ if asked for."""
    camera = DepthCamera()
    identity = np.eye(4, dtype=np.float32)
    header = SensHeader(
        version=4,
        sensor="StructureSensor",
        colour_intrinsic=camera.matrix(settings.colour_size).astype(np.float32),
        colour_extrinsic=identity,
        depth_intrinsic=camera.matrix(settings.depth_size).astype(np.float32),
        depth_extrinsic=identity,
        colour_compression="jpeg",
        depth_compression="zlib",
        colour_size=settings.colour_size,
        depth_size=settings.depth_size,
        depth_shift=1000.0,
        frames=settings.frames,
    )
    stream = folder / f"{scene}.sens"
    write_sens(stream, header, _frames(scan, settings))
    if settings.export:
        export_frames(stream, folder / "frames")


def frame_poses(scan: RoomScan, count: int) -> np.ndarray:
    """(count, 4, 4) float64, camera to raw frame: the walk of the scan in `count` steps."""
    return scan.to_raw @ camera_path(scan.room, scan.walk(), count)


def _frames(scan: RoomScan, settings: FrameSettings) -> Iterator[SensFrame]:
    renderer = Renderer(scan)
    rng = np.random.default_rng([scan.seed, scan.index, 2])
    for number, pose in enumerate(frame_poses(scan, settings.frames)):
        seen = renderer.render(pose, settings.depth_size)
        depth = sensor_depth(seen, pose, rng)
        colour = seen if settings.colour_size == settings.depth_size else renderer.render(pose, settings.colour_size)
        lost = number > 0 and rng.random() < _LOST
        yield SensFrame(
            np.full((4, 4), -np.inf, np.float32) if lost else pose.astype(np.float32),
            _jpeg(renderer.colours(colour)),
            zlib.compress(depth.astype("<u2").tobytes(), 1),
            33_333 * number,
            33_333 * number,
        )


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
