"""`g3d prepare kitti`: check images, calibration, labels and splits, then store the object-wise depth maps of every
frame.

Source of the maps: make_obj_depth of mingyuShin/DDML-M3DOD.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.files import atomic_write, require_writable
from g3d.data.kitti.object_depth import depth_rectangles, paint, painting_order
from g3d.data.kitti.prepared import FOLDER, RECTANGLES, FrameRectangles, write_rectangles
from g3d.data.kitti.raw import KittiRoot, check_principal_point, read_calibration, read_labels
from g3d.data.types import Objects
from g3d.errors import EnvironmentProblem, G3DError
from g3d.prepare import runner
from g3d.prepare.images import whole_image_size
from g3d.progress import Progress

log = logging.getLogger(__name__)
VERSION = 1
_BYTES_OF_FRAME = 400


@dataclass(frozen=True)
class KittiReport:
    """What preparation found and wrote.

    Attributes:
        folder: the prepared folder; None when only checking, or when there were broken frames.
        frames: split name -> number of frames.
        objects: class -> number of label lines.
        broken: (frame, what is wrong) of frames that cannot be used.
        up_to_date: nothing had changed since the last time, so nothing was done.
        bytes_written: size of the depth file.
    """

    folder: Path | None
    frames: dict[str, int]
    objects: dict[str, int]
    broken: tuple[tuple[str, G3DError], ...]
    up_to_date: bool = False
    bytes_written: int = 0


@dataclass(frozen=True)
class _Frame:
    """What checking a frame gives."""

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
) -> KittiReport:
    """Prepare the frames of some splits.

    Args:
        data: KITTI's folder (see KittiRoot.find).
        splits: names in ImageSets, or files of ids.
        out: the prepared folder; `<data>/g3d` if None.
        npy: also write the published float32 maps, obj_depth/ and obj_depth_all/, into this folder.
        check_only: look at everything, write nothing.
        decode: decode every image, not only its header and end.
        keep_going: write the good frames although others are broken.
        workers: processes.

    Raises:
        MissingDataError, InputError: no such folder or split.
        EnvironmentProblem: `out` or `npy` cannot be written; said before the work begins.
    """
    root = KittiRoot.find(data)
    frames = {str(name): root.split(name) for name in splits}
    _check_disjoint(frames)
    ids = sorted({frame for members in frames.values() for frame in members})
    folder = out or data / FOLDER
    for wanted in (folder, npy):
        if wanted is not None and not check_only:
            require_writable(wanted)
    outcome = runner.run(functools.partial(_check, root=root, decode=decode), ids, "check", workers, progress)
    objects: dict[str, int] = {}
    for _, frame in outcome.good:
        for name in frame.classes:
            objects[name] = objects.get(name, 0) + 1
    counts = {name: len(members) for name, members in frames.items()}
    if check_only or (outcome.broken and not keep_going):
        return KittiReport(None, counts, objects, outcome.broken)
    good = [frame for frame, _ in outcome.good]
    manifest = {
        "recipe": "kitti",
        "version": VERSION,
        "source": str(data.resolve()),
        "splits": counts,
        "frames": len(good),
        "objects": objects,
        "inputs": runner.fingerprint(
            file for frame in good for file in (root.image(frame), root.calibration(frame), root.label(frame))
        ),
    }
    up_to_date = runner.read_manifest(folder) == manifest and (folder / RECTANGLES).is_file()
    if not up_to_date:
        write_rectangles(folder, [(frame, result.rectangles) for frame, result in outcome.good])
        runner.write_manifest(folder, manifest)
    if npy:
        _write_maps(npy, outcome.good, progress)
    size = 0 if up_to_date else (folder / RECTANGLES).stat().st_size
    return KittiReport(folder, counts, objects, outcome.broken, up_to_date, size)


def plan_kitti(
    data: Path, splits: Sequence[str] = ("train", "val"), out: Path | None = None, npy: Path | None = None
) -> tuple[int, int, int]:
    """What preparing would take, without looking at a frame: number of frames, about how many bytes, how many are free.

    Raises:
        MissingDataError, InputError: no such folder or split.
        EnvironmentProblem: there is not enough room.
    """
    root = KittiRoot.find(data)
    count = len({frame for name in splits for frame in root.split(name)})
    stored, maps = count * _BYTES_OF_FRAME, count * 2 * 4 * 1242 * 375 if npy else 0
    free = runner.require_space(stored + maps, npy or out or data / FOLDER)
    return count, stored + maps, free


def _check_disjoint(frames: dict[str, list[str]]) -> None:
    """A frame in both train and val would make every result worthless."""
    both = sorted(set(frames.get("train", ())) & set(frames.get("val", ())))
    if both:
        log.warning("%d frames are in both train and val (first: %s)", len(both), both[0])


def _check(frame: str, root: KittiRoot, decode: bool) -> _Frame:
    """Read everything about a frame.

    Raises:
        G3DError: the first thing that is wrong.
    """
    size = whole_image_size(root.image(frame), decode)
    camera = read_calibration(root.calibration(frame))
    check_principal_point(camera, size, root.calibration(frame))
    labels = read_labels(root.label(frame))
    return _Frame(size, tuple(labels.classes.tolist()), _rectangles(labels))


def _rectangles(labels: Objects) -> FrameRectangles:
    """The depth rectangles of all classes, with the cars among them marked."""
    return FrameRectangles(depth_rectangles(labels), labels.classes[painting_order(labels)] == "Car")


def _write_maps(folder: Path, frames: Sequence[tuple[str, _Frame]], progress: Progress | None) -> None:
    """The published float32 maps: obj_depth/ (cars) and obj_depth_all/, one .npy a frame."""
    jobs = [(frame, result) for frame, result in frames]
    write: Callable[[tuple[str, _Frame]], None] = functools.partial(_write_map, folder=folder)
    broken = runner.run(write, jobs, "write maps", progress=progress).broken
    if broken:
        raise EnvironmentProblem(str(broken[0][1]))


def _write_map(job: tuple[str, _Frame], folder: Path) -> None:
    frame, result = job
    for name, cars_only in (("obj_depth", True), ("obj_depth_all", False)):
        with atomic_write(folder / name / f"{frame}.npy") as file:
            np.save(file, paint(result.rectangles.of(cars_only), result.image_size))
