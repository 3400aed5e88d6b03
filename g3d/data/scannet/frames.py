"""RGB-D frames of one scene behind one interface: a `.sens` stream, folders of pictures as the field stores them,
7-Scenes.

Camera frame: x right, y down, z forward; poses are camera to world (ScanNet's raw, not axis-aligned frame); metres.
Intrinsics are (3, 3) matrices in pixels whose first centre is (0, 0).
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
    """One frame; its pictures are read when they are asked for, each time anew.

    Attributes:
        name: as its files have it: "10", "000300", "frame-000050".
        pose: (4, 4) float32, camera to world; see `has_pose`.
        colour_intrinsics, depth_intrinsics: (3, 3) float64 for pictures of the stored sizes; None where the scene does
            not say.
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
        """(H, W, 3) uint8 RGB. Raises InputError, MissingDataError."""
        return self._colour()

    def colour_size(self) -> tuple[int, int]:
        """(width, height) of the colour picture, which is not decoded. Raises InputError, MissingDataError."""
        return self._colour_size()

    def depth(self) -> np.ndarray:
        """(h, w) float32 metres, 0 where there is none. Raises InputError, MissingDataError."""
        return self._depth()

    def depth_camera(self, size: tuple[int, int]) -> np.ndarray:
        """`depth_intrinsics` for depth pictures of this width and height.

        Raises:
            MissingDataError: the scene does not say.
            InputError: they are of pictures of another size: their centre is far from this one's.
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
        path: where they come from.
        layout: "sens", "frames_square", "scannet_frames_25k" or "7-scenes".
        names: of all frames, by number.
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
        """The frame called names[index]. Raises InputError, MissingDataError: its pose cannot be read."""


def open_frames(path: Path | str) -> FrameSource:
    """The frames at a path: a `.sens` file, a scene's folder in one of the known layouts, or a folder that holds one
    `.sens`.

    Raises:
        MissingDataError: nothing is there, or no frame is complete.
        InputError: no known layout.
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
    """Each `every`-th frame, without those whose camera was not located; their number is logged at the end."""
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
    """Frames whose pictures and poses are files.

    Args:
        path: the scene's folder.
        layout: which layout it is.
        files: name -> files, by number.
        intrinsics: (3, 3) of colour and depth, None where unknown.
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
    """A float64 matrix of one of the given shapes from a text file of blank-separated numbers; inf and nan are numbers
    too.

    Raises:
        MissingDataError: no such file.
        InputError: something else is in it.
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
    """Intrinsics of pictures that were resized from `size` to `resized` (width, height), whole pictures both: (3, 3) ->
    (3, 3).

    The first pixel's centre is (0, 0), so its corner (-0.5, -0.5) stays where it is.
    """
    factors = np.divide(resized, size)
    scaled = np.array(intrinsics, np.float64)
    scaled[:2] *= factors[:, None]
    scaled[:2, 2] += (factors - 1) / 2
    return scaled


def _open_kinds(path: Path) -> FolderFrames:
    """color/<i>.jpg, depth/<i>.png, pose/<i>.txt."""
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
    """frame-000000.color.jpg, .depth.png, .pose.txt, and camera-intrinsics.txt here or above for both pictures."""
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
    """A scene's own matrix: the exporter's intrinsic/intrinsic_<kind>.txt, or intrinsics_<kind>.txt of
    scannet_frames_25k."""
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
