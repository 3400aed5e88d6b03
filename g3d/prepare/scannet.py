"""`g3d prepare scannet`: convert raw scans to prepared scenes (g3d.data.scannet.scenes).

The files are <out>/scenes/<scene>/scene.safetensors.
"""

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
from g3d.data.scannet.folder import SPLITS, Scan, ScanFolder, read_scan, read_split
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.scenes import FILE, Scene, write_scene
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.prepare.runner import Item, Recipe

log = logging.getLogger(__name__)
VERSION = 1
SCENES = "scenes"
LABEL_TABLE = "scannetv2-labels.combined.tsv"


@dataclass(frozen=True)
class ScanNetSettings:
    """Settings of prepared scenes.

    Attributes:
        normals: "summed" (vertex_normals), or "published": the normals in ScanRefer's files (published_normals).
        threshold, min_vertices: parameters of the superpoints (g3d.ops.mesh_segments).
        maximum: number of vertices that ScanRefer's and VoteNet's forms keep of a scene.
    """

    normals: Literal["summed", "published"] = "summed"
    threshold: float = 0.01
    min_vertices: int = 20
    maximum: int = MAXIMUM_VERTICES


def chosen_scenes(folder: ScanFolder, splits: Sequence[str], scenes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the chosen scenes; all scenes in the folder if neither splits nor scenes are given.

    Args:
        folder: the raw ScanNet data.
        splits: splits (train, val, test, or files of names), of which the scenes in the folder are returned. A warning
            lists the others.
        scenes: names of scenes, which take precedence over `splits`.

    Raises:
        MissingDataError: there is no such split, or none of its scenes is in the folder.
        InputError: a split file cannot be used.
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
    """Return the scenes as items. A scene that cannot be used is an item as well, whose work raises the error."""
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
    """Return the recipe that prepares one scene.

    Raises:
        InputError: the label table is not valid. A missing table is an error of each annotated scene.
    """
    table = label_table(folder)
    content = None if table is None else hashlib.sha256(table.read_bytes()).hexdigest()[:16]
    work = functools.partial(_make, folder=folder, table=table, settings=settings)
    return Recipe("scannet", VERSION, {**asdict(settings), "label_table": content}, work)


def label_table(folder: ScanFolder) -> Path | None:
    """Return the path of the label table after checking its content; None if there is no table.

    Raises:
        InputError: the table is not valid.
    """
    try:
        path = folder.meta(LABEL_TABLE)
    except MissingDataError:
        return None
    read_table(path)  # to report errors before the work begins
    return path


@functools.cache
def read_table(path: Path) -> LabelTable:
    """Return the label table, which is read only once in a process."""
    return LabelTable.read(path)


def _make(
    item: Item, target: Path, folder: ScanFolder, table: Path | None, settings: ScanNetSettings
) -> Mapping[str, Any]:
    """Prepare one scene in the folder `target` and return its facts."""
    scan = read_scan(folder.files(item.name))
    if scan.aggregation is not None and table is None:
        folder.meta(LABEL_TABLE)  # raises an error that lists the places searched
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
    """Return the prepared scene of a raw scan.

    Args:
        scan: the raw scan.
        table: the label table; may be None for a scan without annotation.
        settings: settings of the scene.

    Raises:
        InputError: the mesh has no faces or no colours, or the annotation does not fit the label table.
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
