"""Find annotated scenes in a folder, prepared by g3d or published, and read them for 3D object detection.

| prepared by | files |
|---|---|
| `g3d prepare scannet` | `[g3d/][scenes/]<scene>/scene.safetensors` |
| VoteNet, Group-Free 3D | `[scannet_train_detection_data/]<scene>_vert.npy` with 6 columns, and its labels and boxes |
| ScanRefer, WS-3DVG | `[scannet_data/]<scene>_aligned_vert.npy` with 9 columns, and its labels and boxes |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from g3d.data.scannet.arrays import ScanReferScene, VoteNetScene
from g3d.data.scannet.detection import DetectionScene
from g3d.data.scannet.folder import META, SPLITS, read_split
from g3d.data.scannet.published import read_published_boxes, read_scanrefer, read_votenet
from g3d.data.scannet.published_scenes import columns_of, published_name, published_scenes
from g3d.data.scannet.scenes import FILE, Scene, read_scene
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError, did_you_mean

log = logging.getLogger(__name__)

ALL = "all"
"""Name of the split of all scenes in the folder, which needs no list."""
_PREPARED = (".", "scenes", "g3d/scenes")
_PUBLISHED = (".", "scannet_train_detection_data", "scannet_data")


def find_scenes(root: Path) -> dict[str, Path]:
    """Return the scenes of a folder by name, sorted: folders of prepared scenes, or vertex files of published ones.

    The result is empty if the folder holds none.

    Raises:
        InputError: the folder holds scenes in several places, which may differ.
    """
    places: dict[Path, dict[str, Path]] = {}
    for place in _PREPARED:
        found = {file.parent.name: file.parent for file in sorted((root / place).glob(f"*/{FILE}"))}
        if found:
            places[root / place] = found
    for place in _PUBLISHED:
        if found := published_scenes(root / place):
            places[root / place] = found
    if len(places) > 1:
        raise InputError(
            f"--data {root}: scenes are in several places: {', '.join(map(str, places))}", "name one of these folders"
        )
    return next(iter(places.values()), {})


def split_scenes(root: Path, split: str) -> list[str]:
    """Return the names of a split's scenes that are in a folder, in the order of the split list.

    A part of ScanNet is valid: a warning counts the scenes of the list that are not there.

    Args:
        root: the folder.
        split: "train", "val" or "test", whose lists are searched in the folder and the two folders above it; "all" for
            every scene; or the path of a list.

    Raises:
        MissingDataError: the folder or the list is not there, or none of its scenes is.
        InputError: the list cannot be used.
    """
    if not root.is_dir():
        raise MissingDataError(f"--data {root}: {'not a folder' if root.exists() else 'no such folder'}")
    scenes = find_scenes(root)
    if not scenes:
        raise MissingDataError(
            f"--data {root}: no prepared or published scenes",
            "expected <scene>/scene.safetensors (g3d prepare scannet makes them) or <scene>_vert.npy",
        )
    if split == ALL:
        return list(scenes)
    listed = read_split(_split_list(root, split))
    found = [name for name in listed if name in scenes]
    if not found:
        raise MissingDataError(
            f"--data {root}: none of the {len(listed)} scenes of split {split} is there (found: {len(scenes)} others)"
        )
    if len(found) < len(listed):
        log.warning("%s: %d of the %d scenes of split %s are there", root, len(found), len(listed), split)
    return found


def scene_sources(root: Path, names: Sequence[str]) -> dict[str, SceneSource]:
    """Return the sources of scenes in a folder by name; their points are read in the aligned frame.

    Raises:
        MissingDataError: a scene is not there.
        InputError: the folder holds scenes in several places.
    """
    scenes = find_scenes(root)
    missing = [name for name in names if name not in scenes]
    if missing:
        raise MissingDataError(
            f"--data {root}: scene {missing[0]} is not there ({len(missing)} of {len(names)} are missing)"
            f"{did_you_mean(missing[0], scenes)}"
        )
    return {name: SceneSource(str(scenes[name]), name, "aligned") for name in names}


def split_sources(root: Path, split: str) -> list[SceneSource]:
    """Return the sources of a split's scenes that are in a folder; see `split_scenes`."""
    return list(scene_sources(root, split_scenes(root, split)).values())


def _split_list(root: Path, split: str) -> Path:
    if split not in SPLITS:
        if Path(split).is_file():
            return Path(split)
        known = [*SPLITS, ALL]
        raise MissingDataError(
            f"split {split}: no such file{did_you_mean(split, known)}", f"expected {', '.join(known)}, or a list's path"
        )
    here = root.resolve()
    folders = [above / meta for above in (here, *here.parents[:2]) for meta in META]
    for folder in folders:
        if (folder / SPLITS[split]).is_file():
            return folder / SPLITS[split]
    raise MissingDataError(
        f"--data {root}: the list of split {split}, {SPLITS[split]}, is missing",
        f"copy it from ScanNet's Tasks/Benchmark into this folder, or give its path as the split, or the split {ALL}",
    )


def read_detection_scene(path: Path) -> DetectionScene:
    """Return a scene in the aligned frame, with the rows that the published form keeps (at most 50,000).

    A scan without a known axis alignment is returned in its raw frame.

    Args:
        path: folder of a prepared scene, or vertex file of a published one.

    Raises:
        MissingDataError: a file is missing.
        InputError: a file cannot be used.
    """
    if path.suffix != ".npy":
        return _prepared(read_scene(path))
    name, form = _name(path), columns_of(path)
    scene: VoteNetScene | ScanReferScene
    if form == "votenet":
        scene = read_votenet(path.parent, name)
        vertices, rows = scene.vertices, scene.boxes
    else:
        scene = read_scanrefer(path.parent, name)
        vertices, rows = scene.aligned, scene.aligned_boxes
    boxes = _with_ids(rows)
    for what, array in ((path, vertices[:, :6]), (f"{path.parent / name} boxes", boxes)):
        bad = ~np.isfinite(array).all(1)
        if bad.any():
            raise InputError(f"scene {what}: row {int(bad.argmax())} is not finite")
    if not len(vertices):
        raise InputError(f"scene {path}: no points")
    return DetectionScene(
        name=name,
        points=vertices[:, :3].astype(np.float32),
        colours=np.rint(vertices[:, 3:6]).astype(np.uint8),
        instances=scene.instance.astype(np.int64),
        nyu40=scene.semantic.astype(np.int64),
        boxes=boxes[:, :6],
        box_nyu40=boxes[:, 6].astype(np.int64),
        box_ids=boxes[:, 7].astype(np.int64),
        annotated=form == "votenet" or len(boxes) > 0,
    )


def _prepared(scene: Scene) -> DetectionScene:
    rows = slice(None) if scene.rows is None else scene.rows
    boxes = scene.aligned_boxes[scene.aligned_boxes[:, 6] > 0] if scene.annotated else np.zeros((0, 8))
    return DetectionScene(
        name=scene.name,
        points=scene.aligned[rows],
        colours=scene.colours[rows],
        instances=scene.objects[rows].astype(np.int64) + 1,
        nyu40=scene.object_nyu40[rows].astype(np.int64),
        boxes=boxes[:, :6],
        box_nyu40=boxes[:, 6].astype(np.int64),
        box_ids=boxes[:, 7].astype(np.int64),
        annotated=scene.annotated,
    )


def read_scene_boxes(path: Path) -> np.ndarray | None:
    """Return the annotated boxes of a scene without its points: (K, 8) float64 centre, size, nyu40 id, objectId.

    The objectId is -1 where the files do not state it. A scene without annotation has None.

    Args:
        path: see `read_detection_scene`.

    Raises:
        MissingDataError, InputError: as `read_detection_scene`.
    """
    if path.suffix != ".npy":
        scene = read_scene(path, "aligned_boxes")
        return scene.aligned_boxes[scene.aligned_boxes[:, 6] > 0] if scene.annotated else None
    form = columns_of(path)
    boxes = _with_ids(read_published_boxes(path.parent, _name(path), form))
    return boxes if form == "votenet" or len(boxes) else None


def _with_ids(rows: np.ndarray) -> np.ndarray:
    """Return published box rows as (K, 8) float64; rows of zeros, which mean "no box", are left out."""
    there = rows[rows[:, 6] > 0].astype(np.float64)
    return there if there.shape[1] == 8 else np.column_stack([there, np.full(len(there), -1.0)])


def _name(path: Path) -> str:
    name = published_name(path)
    if name is None:
        raise InputError(f"scene {path}: expected <scene>_vert.npy")
    return name
