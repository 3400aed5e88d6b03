"""`g3d prepare scannet`: raw scans -> prepared scenes (g3d.data.scannet.scenes):
<out>/scenes/<scene>/scene.safetensors."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from g3d.data.scannet.arrays import (
    MAXIMUM_VERTICES,
    sample_rows,
    scene_arrays,
)
from g3d.data.scannet.folder import Scan, ScanFolder, read_scan, read_split
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.scenes import FILE, Scene, write_scene
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.prepare.runner import Item, Recipe

log = logging.getLogger(__name__)
VERSION = 1
SCENES = "scenes"
LABEL_TABLE = "scannetv2-labels.combined.tsv"
SPLITS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt", "test": "scannetv2_test.txt"}


@dataclass(frozen=True)
class ScanNetSettings:
    """How scenes are prepared.

    Attributes:
        normals: "summed", or "published": ScanRefer's, of which only the last face in each column counts.
        threshold, min_vertices: of the superpoints (g3d.ops.mesh_segments).
        maximum: vertices that ScanRefer's and VoteNet's forms keep of a scene.
    """

    normals: Literal["summed", "published"] = "summed"
    threshold: float = 0.01
    min_vertices: int = 20
    maximum: int = MAXIMUM_VERTICES


def chosen_scenes(folder: ScanFolder, splits: Sequence[str], scenes: Sequence[str]) -> tuple[str, ...]:
    """Scenes by name, or of splits (train, val, test, or a file of names); all that are there if neither is given.

    Raises:
        MissingDataError, InputError: no such split; none of a split's scenes is there.
    """
    if scenes:
        return tuple(dict.fromkeys(scenes))
    there = folder.scenes()
    if not splits:
        return there
    named: dict[str, None] = {}
    for split in splits:
        file = folder.meta(SPLITS[split]) if split in SPLITS else Path(split)
        if split not in SPLITS and not file.is_file():
            raise MissingDataError(
                f"--split {split}: no such file", f"expected {', '.join(SPLITS)}, or a file with one scene a line"
            )
        named.update(dict.fromkeys(read_split(file)))
    found = tuple(scene for scene in named if scene in set(there))
    if not found:
        raise MissingDataError(f"{folder.root}: none of the {len(named)} scenes of {', '.join(splits)} is there")
    missing = [scene for scene in named if scene not in set(found)]
    if missing:
        log.warning(
            "%s: %d of the %d scenes of %s are not there: %s",
            folder.root,
            len(missing),
            len(named),
            ", ".join(splits),
            ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else ""),
        )
    return found


def scannet_items(folder: ScanFolder, scenes: Sequence[str]) -> list[Item]:
    """What there is to prepare. A scene that cannot be used is an item as well: its work says what is wrong."""
    items = []
    for scene in scenes:
        try:
            files = folder.files(scene)
        except G3DError:
            items.append(Item(scene, ()))
            continue
        items.append(Item(scene, files.arrays_from(), round(1.6 * files.mesh.stat().st_size)))
    return items


def scannet_recipe(folder: ScanFolder, settings: ScanNetSettings) -> Recipe:
    """How they are prepared.

    Raises:
        MissingDataError, InputError: the label table is not there or wrong, though annotated scans need it.
    """
    table = label_table(folder)
    content = None if table is None else hashlib.sha256(table.read_bytes()).hexdigest()[:16]
    work = functools.partial(_make, folder=folder, table=table, settings=settings)
    return Recipe("scannet", VERSION, {**asdict(settings), "label_table": content}, work)


def label_table(folder: ScanFolder) -> Path | None:
    """The label table's file, after reading it; None where there is none.

    Raises:
        InputError: it is wrong.
    """
    try:
        path = folder.meta(LABEL_TABLE)
    except MissingDataError:
        return None
    read_table(path)  # before the work begins
    return path


@functools.cache
def read_table(path: Path) -> LabelTable:
    """The table, read once in a process."""
    return LabelTable.read(path)


def _make(
    item: Item, target: Path, folder: ScanFolder, table: Path | None, settings: ScanNetSettings
) -> Mapping[str, Any]:
    """Prepare one scene into `target`."""
    scan = read_scan(folder.files(item.name))
    if scan.aggregation is not None and table is None:
        folder.meta(LABEL_TABLE)  # says where it was looked for
    labels = read_table(table) if table is not None else None
    try:
        scene = make_scene(scan, labels, settings)
        write_scene(target / FILE, scene)
    except InputError as error:
        raise (
            error if item.name in error.message else InputError(f"scan {item.name}: {error.message}", error.hint)
        ) from None
    return {
        "vertices": len(scene.vertices),
        "objects": len(scene.boxes),
        "superpoints": int(scene.superpoints.max(initial=-1)) + 1,
        "annotated": scene.annotated,
        "aligned": scene.alignment is not None,
    }


def make_scene(scan: Scan, table: LabelTable | None, settings: ScanNetSettings) -> Scene:
    """A prepared scene of a raw scan.

    Raises:
        InputError: the scan lacks what a scene needs, or contradicts itself.
    """
    import torch

    from g3d.ops.mesh_segments import mesh_segments

    mesh, aggregation = scan.mesh, scan.aggregation
    if not len(mesh.faces):
        raise InputError("the mesh has no faces", "superpoints of a cloud come from `g3d prepare superpoints`")
    arrays = scene_arrays(mesh, scan.segments, aggregation, table, scan.alignment, settings.normals)
    superpoints = mesh_segments(
        torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), settings.threshold, settings.min_vertices
    )
    rows = sample_rows(scan.scene, len(mesh.vertices), settings.maximum)
    return Scene(
        name=scan.scene,
        vertices=mesh.vertices,
        colours=arrays.colours,
        normals=arrays.normals,
        faces=mesh.faces,
        superpoints=superpoints.numpy().astype(np.int32),
        object_nyu40=arrays.semantic.astype(np.uint8),
        objects=arrays.instance.astype(np.int32) - 1,
        boxes=arrays.boxes,
        aligned_boxes=arrays.aligned_boxes,
        names={} if aggregation is None else {group.object_id: group.label for group in aggregation.groups},
        label_nyu40=None if scan.labels is None else scan.labels.astype(np.uint8),
        rows=None if rows is None else rows.astype(np.int32),
        alignment=scan.alignment,
        annotated=aggregation is not None,
        made_with={"normals": settings.normals, "threshold": settings.threshold, "min_vertices": settings.min_vertices},
    )
