"""`g3d prepare kitti`: check images, calibration, labels and splits, then write the object-wise depth maps of every
frame.

Source of the maps: make_obj_depth of mingyuShin/DDML-M3DOD.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.files import atomic_write, require_writable
from g3d.data.kitti.object_depth import depth_rectangles, paint, painting_order
from g3d.data.kitti.prepared import FOLDER, FrameRectangles, write_rectangles
from g3d.data.kitti.raw import KittiRoot, check_principal_point, read_calibration, read_labels
from g3d.data.types import CameraBoxes
from g3d.errors import EnvironmentProblem, G3DError
from g3d.prepare import workers as pool
from g3d.prepare.images import whole_image_size
from g3d.prepare.manifest import require_space
from g3d.prepare.runner import Item, Joined, JointRecipe, plan_jointly, prepare_jointly
from g3d.progress import Progress

log = logging.getLogger(__name__)
VERSION = 1
_BYTES_OF_FRAME = 400


@dataclass(frozen=True)
class KittiReport:
    """Result of preparing KITTI.

    Attributes:
        folder: the prepared folder; None if nothing was prepared: when only checking, or when frames are broken without
            `keep_going`.
        frames: number of frames by split.
        objects: number of label lines by class.
        broken: (frame, error) of frames that cannot be used.
        up_to_date: whether the depth file was up to date and was not written again.
        bytes_written: size of the depth file that was written, in bytes.
    """

    folder: Path | None
    frames: dict[str, int]
    objects: dict[str, int]
    broken: tuple[tuple[str, G3DError], ...]
    up_to_date: bool = False
    bytes_written: int = 0


@dataclass(frozen=True)
class PreparedFrame:
    """Content of a frame for the prepared files.

    Attributes:
        image_size: (width, height) in pixels.
        classes: the class of each label line.
        rectangles: the depth rectangles.
    """

    image_size: tuple[int, int]
    classes: tuple[str, ...]
    rectangles: FrameRectangles


def prepare_kitti(
    data: Path,
    splits: Sequence[str] = ("train", "val"),
    out: Path | None = None,
    npy: Path | None = None,
    check_only: bool = False,
    decode: bool = False,
    keep_going: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    redo: bool = False,
) -> KittiReport:
    """Check the frames of some splits and write their object-wise depth.

    Args:
        data: KITTI's folder (see KittiRoot.find).
        splits: names in ImageSets, or files of ids.
        out: the prepared folder; `<data>/g3d` if None.
        npy: also write the published float32 maps, obj_depth/ and obj_depth_all/, into this folder.
        check_only: check everything, write nothing.
        decode: decode every image, instead of reading only its header and end.
        keep_going: write the good frames even if others are broken.
        workers: number of processes.
        progress: is advanced by one for every frame.
        redo: write the files even if they are up to date.

    Raises:
        MissingDataError, InputError: the folder or a split does not exist or cannot be used.
        EnvironmentProblem: `out` or `npy` cannot be written or the disk is too full; raised before the work begins.
    """
    root, frames = _frames(data, splits)
    _check_disjoint(frames)
    folder = out or data / FOLDER
    if npy is not None and not check_only:
        require_writable(folder)
        require_writable(npy)
    done = prepare_jointly(
        _recipe(root, data, frames, decode),
        _items(root, frames),
        folder,
        workers,
        redo,
        check_only,
        inspect_all=decode or npy is not None,
        keep_going=keep_going,
        progress=progress,
    )
    if npy is not None and done.written:
        _write_maps(npy, done.results or {}, workers, progress)
    counts = {name: len(members) for name, members in frames.items()}
    place = folder if done.written else None
    return KittiReport(place, counts, dict(done.facts["objects"]), done.broken, done.up_to_date, done.bytes)


@dataclass(frozen=True)
class KittiPlan:
    """Work and disk space that preparing KITTI takes.

    Attributes:
        frames: number of frames.
        bytes: estimated number of bytes that will be written.
        free: number of free bytes on that disk.
        reason: None if the prepared folder is up to date, "" if there is none, otherwise what has changed.
    """

    frames: int
    bytes: int
    free: int
    reason: str | None


def plan_kitti(
    data: Path, splits: Sequence[str] = ("train", "val"), out: Path | None = None, npy: Path | None = None
) -> KittiPlan:
    """Return the plan of `prepare_kitti`, without checking the frames.

    Raises:
        MissingDataError, InputError: the folder or a split does not exist or cannot be used.
        EnvironmentProblem: there is not enough free disk space.
    """
    root, frames = _frames(data, splits)
    items = _items(root, frames)
    size = sum(item.bytes for item in items) + (len(items) * 2 * 4 * 1242 * 375 if npy else 0)
    folder = out or data / FOLDER
    free = require_space(size, npy or folder)
    return KittiPlan(len(items), size, free, plan_jointly(_recipe(root, data, frames, False), items, folder))


def _frames(data: Path, splits: Sequence[str]) -> tuple[KittiRoot, dict[str, list[str]]]:
    root = KittiRoot.find(data)
    return root, {str(name): root.split(name) for name in splits}


def _items(root: KittiRoot, frames: Mapping[str, Sequence[str]]) -> list[Item]:
    ids = sorted({frame for members in frames.values() for frame in members})
    files = {frame: (root.image(frame), root.calibration(frame), root.label(frame)) for frame in ids}
    return [Item(frame, files[frame], _BYTES_OF_FRAME) for frame in ids]


def _recipe(
    root: KittiRoot, data: Path, frames: Mapping[str, Sequence[str]], decode: bool
) -> JointRecipe[PreparedFrame]:
    counts = {name: len(members) for name, members in frames.items()}
    inspect = functools.partial(_inspect, root=root, decode=decode)
    return JointRecipe("kitti", VERSION, {"splits": counts}, inspect, _join, source=data)


def _join(results: Mapping[str, PreparedFrame]) -> Joined:
    """Return the function that writes the file of all rectangles, and the number of objects of each class."""
    objects = Counter(name for frame in results.values() for name in frame.classes)
    facts = {"frames": len(results), "objects": dict(objects)}
    frames = [(name, frame.rectangles) for name, frame in results.items()]
    return Joined(facts, (), lambda folder: write_rectangles(folder, frames))


def _check_disjoint(frames: dict[str, list[str]]) -> None:
    """Warn about frames that are in both train and val, because results on val are then not valid."""
    both = sorted(set(frames.get("train", ())) & set(frames.get("val", ())))
    if both:
        log.warning("%d frames are in both train and val (first: %s)", len(both), both[0])


def _inspect(item: Item, root: KittiRoot, decode: bool) -> PreparedFrame:
    """Check the image, calibration and labels of a frame and return the content for the prepared files.

    Raises:
        G3DError: the first error found.
    """
    frame = item.name
    size = whole_image_size(root.image(frame), decode)
    camera = read_calibration(root.calibration(frame))
    check_principal_point(camera, size, root.calibration(frame))
    labels = read_labels(root.label(frame))
    return PreparedFrame(size, tuple(labels.classes.tolist()), _rectangles(labels))


def _rectangles(labels: CameraBoxes) -> FrameRectangles:
    """Return the depth rectangles of all classes, with a flag for those of cars."""
    return FrameRectangles(depth_rectangles(labels), labels.classes[painting_order(labels)] == "Car")


def _write_maps(folder: Path, frames: Mapping[str, PreparedFrame], workers: int, progress: Progress | None) -> None:
    """Write the published float32 maps: obj_depth/ (cars) and obj_depth_all/, one .npy for each frame."""
    work = functools.partial(_write_map, folder=folder)
    jobs = [_MapJob(name, frame) for name, frame in frames.items()]
    broken = pool.apply(work, jobs, "write maps", workers, progress).broken
    if broken:
        raise EnvironmentProblem(broken[0][1].message, broken[0][1].hint)


@dataclass(frozen=True)
class _MapJob:
    name: str
    frame: PreparedFrame


def _write_map(job: _MapJob, folder: Path) -> None:
    for name, cars_only in (("obj_depth", True), ("obj_depth_all", False)):
        with atomic_write(folder / name / f"{job.name}.npy") as file:
            np.save(file, paint(job.frame.rectangles.of(cars_only), job.frame.image_size))
