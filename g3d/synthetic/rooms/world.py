"""A world of synthetic rooms on disk, in the layout of ScanNet's download.

    <root>/scans/<scene>/            the scan's files (data/scannet/folder.py), <scene>.room.json, and, if asked for,
                                     <scene>.sens and frames/{color,depth,pose,intrinsic}/
    <root>/scans_test/<scene>/       the same files of a test scan, without everything that gives the answers
    <root>/meta_data/                scannetv2_train.txt, scannetv2_val.txt, scannetv2_test.txt, scannetv2.txt (training
                                     and validation), the label table
    <root>/rooms.json                the arguments that it was made with

A room depends on the seed, its number and the settings only: any number of workers writes the same bytes. A run that
was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from g3d.data.files import atomic_write
from g3d.data.folders import discard
from g3d.data.scannet.folder import SPLITS
from g3d.errors import InputError
from g3d.prepare.runner import Item, Recipe, prepare
from g3d.progress import Progress
from g3d.synthetic.rooms.categories import label_table
from g3d.synthetic.rooms.frames import FrameSettings, write_frames
from g3d.synthetic.rooms.fusion import COARSEST, FINEST
from g3d.synthetic.rooms.room_types import KINDS
from g3d.synthetic.rooms.scan import kind_of, make_scan
from g3d.synthetic.rooms.scan_files import write_scan

WORLD_SCHEMA = "g3d.rooms/1"
MANIFEST, SCANS, TEST_SCANS, META = "rooms.json", "scans", "scans_test", "meta_data"
LABEL_TABLE, ALL = "scannetv2-labels.combined.tsv", "scannetv2.txt"
_VERSION = 2
_MOST_ROOMS = 10_000
_ROOM_BYTES, _FRAME_BYTES = 11_000_000, 600_000  # estimates; a frame with its exported files, at full size


@dataclass(frozen=True)
class RoomsSummary:
    """Content of a world: annotated rooms in all, in training and for validation, test rooms, objects by label, rooms
    made by this run."""

    root: Path
    rooms: int
    train: int
    val: int
    test: int
    labels: dict[str, int]
    made: int


def make_rooms(
    root: Path | str,
    rooms: int,
    seed: int = 0,
    *,
    kinds: Sequence[str] = KINDS,
    frames: FrameSettings | None = None,
    voxel: float = FINEST,
    val_fraction: float = 0.25,
    test: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RoomsSummary:
    """Make a world of rooms, the last `val_fraction` of them for validation, and `test` further rooms.

    A world that was made with the same arguments is completed; `rooms`, `val_fraction` and `test` may grow or shrink.

    Args:
        root: folder to make; missing parents are made.
        rooms: number of annotated rooms; with those for testing 1 to 10,000.
        seed: of everything random, from 0 on.
        kinds: kinds of rooms; all by default.
        frames: the recordings; none by default.
        voxel: side of the voxels of the reconstruction, 0.02 to 0.05 metres. At 0.02, ScanNet's density, large rooms
            take up to 0.03 so that their meshes have as many vertices as a scan's; at 0.04, rooms have 40% of the
            vertices and nearly all their objects.
        val_fraction: share of the rooms for validation, 0 to 1.
        test: number of rooms without annotation and axis alignment, as ScanNet's test scans.
        workers: processes.
        overwrite: replace a world that was made with other arguments; a folder that holds anything else is never
            touched.
        progress: is advanced by one for every room.

    Raises:
        InputError: an argument out of range, or `root` holds something else.
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    root, frames = Path(root), frames or FrameSettings()
    _check(rooms, seed, kinds, frames, voxel, val_fraction, test, workers)
    settings = json.loads(json.dumps({"seed": seed, "kinds": list(kinds), "voxel": voxel, **asdict(frames)}))
    _claim(root, settings, overwrite)
    names = [scene_name(index) for index in range(rooms + test)]
    annotated, tested = names[:rooms], names[rooms:]
    made = 0
    for scans, chosen in ((root / SCANS, annotated), (root / TEST_SCANS, tested)):
        for stale in _scenes_in(scans) - set(chosen):
            discard(scans / stale)
        work = partial(_make_room, seed=seed, kinds=tuple(kinds), voxel=voxel, frames=frames, truth=chosen is annotated)
        recipe = Recipe("rooms", _VERSION, {**settings, "annotated": chosen is annotated}, work)
        size = _ROOM_BYTES + _FRAME_BYTES * frames.frames
        if chosen:
            outcome = prepare(recipe, [Item(name, (), size) for name in chosen], scans, workers, progress=progress)
            if outcome.broken:
                raise outcome.broken[0][1]
            made += len(outcome.made)
    labels = _count_labels(root / SCANS, annotated)
    val = round(rooms * val_fraction)
    _write_meta(root / META, annotated, val, tested, labels)
    return RoomsSummary(root, rooms, rooms - val, val, test, labels, made)


def scene_name(index: int) -> str:
    """The name of a room's scan."""
    return f"scene{index:04d}_00"


def _make_room(
    item: Item, folder: Path, seed: int, kinds: tuple[str, ...], voxel: float, frames: FrameSettings, truth: bool
) -> Mapping[str, Any]:
    """Make one scan and return its facts."""
    index = int(item.name[5:9])
    scan = make_scan(seed, index, kind_of(seed, index, kinds), voxel)
    write_scan(folder, item.name, scan, frames.frames, (frames.colour_size, frames.depth_size), truth)
    if frames.frames:
        write_frames(folder, item.name, scan, frames)
    labels = [scan.room.objects[k].thing.label for k in scan.annotated] if truth else []
    return {"kind": scan.room.kind, "vertices": len(scan.mesh.vertices), "labels": labels}


def _check(
    rooms: int,
    seed: int,
    kinds: Sequence[str],
    frames: FrameSettings,
    voxel: float,
    val_fraction: float,
    test: int,
    workers: int,
) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    sides = (*frames.colour_size, *frames.depth_size)
    for name, found, good, expected in (
        ("rooms", rooms, 1 <= rooms <= _MOST_ROOMS, f"1 to {_MOST_ROOMS}"),
        ("test", test, 0 <= test <= _MOST_ROOMS - rooms, f"0 to {_MOST_ROOMS - rooms}: {_MOST_ROOMS} rooms in all"),
        ("seed", seed, seed >= 0, "a number from 0 on"),
        ("kinds", ", ".join(kinds) or "none", bool(kinds) and not unknown, f"some of {', '.join(KINDS)}"),
        ("frames", frames.frames, frames.frames >= 0, "a number from 0 on"),
        ("picture sizes", sides, all(16 <= side <= 4096 for side in sides), "16 to 4096 pixels a side"),
        ("voxel", voxel, FINEST <= voxel <= COARSEST, f"{FINEST} to {COARSEST} metres"),
        ("val_fraction", val_fraction, 0 <= val_fraction <= 1, "a share from 0 to 1"),
        ("workers", workers, workers >= 1, "at least 1"),
    ):
        if not good:
            raise InputError(f"{name}: found {found}, expected {expected}")


def _claim(root: Path, settings: Mapping[str, Any], overwrite: bool) -> None:
    """Write the manifest, unless `root` holds something else."""
    manifest = {"schema": WORLD_SCHEMA, **settings}
    path = root / MANIFEST
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: found a file, expected a folder or nothing")
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON ({error})", "delete the folder, or choose another") from None
        if found == manifest:
            return
        if not overwrite:
            raise InputError(
                f"{root}: holds rooms that were made with other arguments", "choose another folder, or overwrite it"
            )
    elif root.is_dir() and any(root.iterdir()):
        raise InputError(f"{root}: holds something other than synthetic rooms", "choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps(manifest, indent=1) + "\n").encode())


def _scenes_in(scans: Path) -> set[str]:
    return {path.name for path in scans.glob("scene[0-9][0-9][0-9][0-9]_00")} if scans.is_dir() else set()


def _count_labels(scans: Path, names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        facts = json.loads((scans / name / "manifest.json").read_text(encoding="utf-8"))["facts"]
        for label in facts["labels"]:
            counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items()))


def _write_meta(folder: Path, names: Sequence[str], val: int, tested: Sequence[str], labels: dict[str, int]) -> None:
    """Write the split lists and the label table."""
    folder.mkdir(exist_ok=True)
    train = len(names) - val
    lists = {SPLITS["train"]: names[:train], SPLITS["val"]: names[train:], SPLITS["test"]: tested, ALL: names}
    texts = {file: "".join(f"{name}\n" for name in chosen) for file, chosen in lists.items()}
    texts[LABEL_TABLE] = label_table(labels)
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
