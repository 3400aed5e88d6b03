"""RGB-D frames of one scene behind one interface: `.sens` streams, common layouts of image folders, and 7-Scenes.

Camera frame: x right, y down, z forward; poses are camera to world (ScanNet's raw, not axis-aligned frame); metres.
Intrinsics are (3, 3) matrices in pixels; the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import read_text
from g3d.data.images.depth_image import read_depth, to_metres
from g3d.data.images.image import image_size, read_image
from g3d.data.scannet.sens import SensFile, is_valid_pose
from g3d.errors import InputError, MissingDataError

log = logging.getLogger(__name__)
COLOUR_SUFFIXES, DEPTH_SUFFIXES = (".jpg", ".jpeg", ".png"), (".png", ".zdepth", ".pgm")
_SEVEN_SCENES = re.compile(r"(frame-(\d+))\.color$")
_LAYOUTS = (
    "expected a .sens file, or a folder with color/ depth/ pose/ (frames_square, scannet_frames_25k, what g3d prepare "
    "exports), or with frame-000000.color.jpg frame-000000.depth.png frame-000000.pose.txt ... (7-Scenes)"
)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame; its images are read from the files at each access.

    Attributes:
        name: name in the frame's file names: "10", "000300", "frame-000050".
        pose: (4, 4) float32, camera to world; see `has_pose`.
        colour_intrinsics, depth_intrinsics: (3, 3) float64 for images of the stored sizes; None where the scene has
            none.
    """

    name: str
    pose: np.ndarray
    colour_intrinsics: np.ndarray | None
    depth_intrinsics: np.ndarray | None
    _colour: Callable[[], np.ndarray]
    _depth: Callable[[], np.ndarray]
    _colour_size: Callable[[], tuple[int, int]]

    @property
    def has_pose(self) -> bool:
        """Whether the camera was located; ScanNet writes -inf where it was not."""
        return is_valid_pose(self.pose)

    def colour(self) -> np.ndarray:
        """Return the colour image (H, W, 3) uint8 RGB; raise InputError or MissingDataError if it cannot be read."""
        return self._colour()

    def colour_size(self) -> tuple[int, int]:
        """Return the colour image's (width, height) without decoding it; raise InputError or MissingDataError."""
        return self._colour_size()

    def depth(self) -> np.ndarray:
        """Return the depth (h, w) float32 in metres, 0 where there is none; raise InputError or MissingDataError."""
        return self._depth()

    def depth_camera(self, size: tuple[int, int]) -> np.ndarray:
        """Return `depth_intrinsics` after checking that they fit depth images of this (width, height).

        Raises:
            MissingDataError: the scene has no depth intrinsics.
            InputError: the principal point is far from the image centre, so they belong to images of another size.
        """
        if self.depth_intrinsics is None:
            raise MissingDataError(
                f"frame {self.name}: the scene has no intrinsics of its depth camera",
                "add intrinsic/intrinsic_depth.txt (3 x 3 or 4 x 4), or camera-intrinsics.txt for 7-Scenes",
            )
        x, y = self.depth_intrinsics[0, 2], self.depth_intrinsics[1, 2]
        if not (0.25 < x / size[0] < 0.75 and 0.25 < y / size[1] < 0.75):
            raise InputError(
                f"frame {self.name}: the depth intrinsics have their centre at ({x:g}, {y:g}), "
                f"the picture has {size[0]} x {size[1]} pixels",
                "scale the intrinsics as the pictures were",
            )
        return self.depth_intrinsics


class FrameSource(Protocol):
    """The frames of one scene. Use it in a `with` block.

    Attributes:
        path: the file or folder of the frames.
        layout: "sens", "frames_square", "scannet_frames_25k" or "7-scenes".
        names: names of all frames, sorted by number.
    """

    path: Path
    layout: str
    names: Sequence[str]

    def __len__(self) -> int: ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def frame(self, index: int) -> Frame:
        """Return the frame names[index]; raise InputError or MissingDataError if its pose cannot be read."""


def open_frames(path: Path | str) -> FrameSource:
    """Open the frames of a `.sens` file, of a scene's folder in a known layout, or of a folder with one `.sens` file.

    Raises:
        MissingDataError: the path does not exist, or no frame is complete.
        InputError: the folder has no known layout.
    """
    path = Path(path)
    if path.is_file():
        return SensFrames(path)
    if not path.is_dir():
        raise MissingDataError(f"frames {path}: no such file or folder")
    for folder in (path, path / "frames"):
        if (folder / "color").is_dir():
            return _open_kinds(folder)
        if any(_SEVEN_SCENES.match(file.stem) for file in folder.glob("frame-*.color.*")):
            return _open_seven_scenes(folder)
    streams = sorted(path.glob("*.sens"))
    if len(streams) == 1:
        return SensFrames(streams[0])
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:6]) or "nothing"
    raise InputError(f"frames {path}: no known layout (found {found})", _LAYOUTS)


def frames_with_pose(source: FrameSource, every: int = 1) -> Iterator[Frame]:
    """Yield every `every`-th frame that has a pose; log the number of frames without one at the end."""
    lost = 0
    for index in range(0, len(source), every):
        frame = source.frame(index)
        if frame.has_pose:
            yield frame
        else:
            lost += 1
    if lost:
        log.info("%s: %d frames have no valid pose and were left out", source.path, lost)


class SensFrames:
    """The frames of a `.sens` stream, named by their numbers."""

    layout = "sens"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SensFile.open(path)
        self.names: Sequence[str] = _Numbers(len(self._file))
        self._colour_intrinsics = self._file.header.colour_intrinsic[:3, :3].astype(np.float64)
        self._depth_intrinsics = self._file.header.depth_intrinsic[:3, :3].astype(np.float64)

    def __len__(self) -> int:
        return len(self._file)

    def __enter__(self) -> SensFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def frame(self, index: int) -> Frame:
        def depth() -> np.ndarray:
            return to_metres(self._file.depth(index), self._file.header.depth_shift)

        return Frame(
            str(index),
            self._file.pose(index),
            self._colour_intrinsics,
            self._depth_intrinsics,
            lambda: self._file.colour(index),
            depth,
            lambda: self._file.header.colour_size,
        )


class _Numbers(Sequence[str]):
    """The names "0", "1", ... of a stream's frames."""

    def __init__(self, count: int) -> None:
        self._range = range(count)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index):  # type: ignore[no-untyped-def, override]
        return [str(n) for n in self._range[index]] if isinstance(index, slice) else str(self._range[index])


@dataclass(frozen=True)
class _Files:
    """The files of one frame."""

    colour: Path
    depth: Path
    pose: Path


class FolderFrames:
    """Frames whose images and poses are separate files.

    Args:
        path: the scene's folder.
        layout: name of the layout.
        files: the files of each frame by its name, sorted by number.
        intrinsics: intrinsics (3, 3) of colour and depth, None where unknown.
    """

    def __init__(
        self, path: Path, layout: str, files: dict[str, _Files], intrinsics: Sequence[np.ndarray | None]
    ) -> None:
        self.path, self.layout = path, layout
        self.names: Sequence[str] = tuple(files)
        self._files = files
        self._colour_intrinsics, self._depth_intrinsics = intrinsics

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> FolderFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def frame(self, index: int) -> Frame:
        name = self.names[index]
        files = self._files[name]
        return Frame(
            name,
            read_matrix(files.pose, (4, 4)).astype(np.float32),
            self._colour_intrinsics,
            self._depth_intrinsics,
            lambda: read_image(files.colour),
            lambda: read_depth(files.depth),
            lambda: image_size(files.colour),
        )


def read_matrix(path: Path | str, *shapes: tuple[int, int]) -> np.ndarray:
    """Return the float64 matrix in a text file of numbers separated by spaces; inf and nan are accepted.

    Args:
        path: the file.
        shapes: the accepted shapes.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file does not contain a matrix of one of these shapes.
    """
    rows = [line.split() for line in read_text(path, "").splitlines() if line.strip()]
    expected = " or ".join(f"{rows} x {columns}" for rows, columns in shapes)
    if not any(len(rows) == height and all(len(row) == width for row in rows) for height, width in shapes):
        raise InputError(
            f"{path}: found {len(rows)} lines of {sorted({len(row) for row in rows})} numbers, expected a "
            f"{expected} matrix"
        )
    with reading(path, problem=f"expected a {expected} matrix"):
        return np.array(rows, np.float64)


def scale_intrinsics(intrinsics: np.ndarray, size: tuple[int, int], resized: tuple[int, int]) -> np.ndarray:
    """Return the intrinsics (3, 3) of uncropped images that were resized from `size` to `resized` (width, height).

    The centre of the first pixel is (0, 0), so its corner (-0.5, -0.5) does not move.
    """
    factors = np.divide(resized, size)
    scaled = np.array(intrinsics, np.float64)
    scaled[:2] *= factors[:, None]
    scaled[:2, 2] += (factors - 1) / 2
    return scaled


def _open_kinds(path: Path) -> FolderFrames:
    """Return the frames of a folder with color/<i>.jpg, depth/<i>.png and pose/<i>.txt."""
    colour = {
        file.stem: file
        for file in (path / "color").iterdir()
        if file.suffix.lower() in COLOUR_SUFFIXES and file.stem.isdecimal()
    }
    depth = {file.stem: file for file in _listed(path / "depth") if file.suffix.lower() in DEPTH_SUFFIXES}
    pose = {file.stem: file for file in _listed(path / "pose") if file.suffix == ".txt"}
    files = {
        name: _Files(colour[name], depth[name], pose[name])
        for name in sorted(colour, key=int)
        if name in depth and name in pose
    }
    _check_complete(path, files, colour)
    padded = all(len(name) >= 6 for name in files)
    intrinsics = [_intrinsics(path, kind) for kind in ("color", "depth")]
    return FolderFrames(path, "scannet_frames_25k" if padded else "frames_square", files, intrinsics)


def _open_seven_scenes(path: Path) -> FolderFrames:
    """Return the frames of a folder with frame-000000.color.jpg, .depth.png and .pose.txt (7-Scenes).

    camera-intrinsics.txt in the folder or its parent has the intrinsics of colour and depth.
    """
    colour = {
        m[1]: file
        for file in path.iterdir()
        if file.suffix.lower() in COLOUR_SUFFIXES and (m := _SEVEN_SCENES.match(file.stem))
    }
    files = {}
    for name in sorted(colour, key=lambda name: int(name.removeprefix("frame-"))):
        depth = next((file for suffix in DEPTH_SUFFIXES if (file := path / f"{name}.depth{suffix}").is_file()), None)
        pose = path / f"{name}.pose.txt"
        if depth and pose.is_file():
            files[name] = _Files(colour[name], depth, pose)
    _check_complete(path, files, colour)
    both = next((file for folder in (path, path.parent) if (file := folder / "camera-intrinsics.txt").is_file()), None)
    intrinsics = _checked_intrinsics(both) if both else None
    return FolderFrames(path, "7-scenes", files, (intrinsics, intrinsics))


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingDataError(f"frames {folder.parent}: no folder {folder.name}/ beside color/", _LAYOUTS)
    return list(folder.iterdir())


def _check_complete(path: Path, files: dict[str, _Files], colour: dict[str, Path]) -> None:
    if not files:
        raise MissingDataError(
            f"frames {path}: {len(colour)} colour pictures, none of them with depth and pose", _LAYOUTS
        )
    lacking = [name for name in colour if name not in files]
    if lacking:
        log.warning(
            "frames %s: %d of %d colour pictures have no depth or no pose and are left out (first: %s)",
            path,
            len(lacking),
            len(colour),
            min(lacking),
        )


def _intrinsics(path: Path, kind: str) -> np.ndarray | None:
    """Return a scene's intrinsics, or None if it has no file of them.

    The file is intrinsic/intrinsic_<kind>.txt of the exporter, intrinsic_<kind>.txt, or intrinsics_<kind>.txt of
    scannet_frames_25k.
    """
    names = (f"intrinsic/intrinsic_{kind}.txt", f"intrinsic_{kind}.txt", f"intrinsics_{kind}.txt")
    found = next((file for name in names if (file := path / name).is_file()), None)
    return _checked_intrinsics(found) if found else None


def _checked_intrinsics(path: Path) -> np.ndarray:
    matrix = read_matrix(path, (3, 3), (4, 4))[:3, :3]
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise InputError(
            f"{path}: focal lengths are {matrix[0, 0]:g} and {matrix[1, 1]:g}, expected finite numbers above 0"
        )
    return matrix
