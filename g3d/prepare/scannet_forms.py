"""Write prepared scenes as the files that published code reads.

The files are made once for each scene:

    <out>/published/<form>/scenes/<scene>/...

Hard links to them are placed where the published code expects the files:

    <out>/published/scanrefer/scannet_data/...
    <out>/published/votenet/scannet_train_detection_data/...
    <out>/published/{refer,inst_nostuff}/scannetv2/{train,val,test}/...
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from g3d.data.scannet import published as published
from g3d.data.scannet.arrays import instances_without_stuff, prepared_scene, scanrefer_scene, votenet_scene
from g3d.data.scannet.folder import SPLITS, ScanFolder, read_split
from g3d.data.scannet.mesh import Mesh
from g3d.data.scannet.raw import read_aggregation, read_segments
from g3d.data.scannet.scenes import FILE, Scene, read_scene
from g3d.errors import EnvironmentProblem, G3DError, InputError
from g3d.prepare.runner import Item, Recipe
from g3d.prepare.scannet import SCENES, label_table, read_table

VERSION = 1
PUBLISHED = "published"
Form = Literal["scanrefer", "votenet", "refer", "inst_nostuff"]
FORMS: dict[Form, str] = {
    "scanrefer": "scannet_data",
    "votenet": "scannet_train_detection_data",
    "refer": "scannetv2",
    "inst_nostuff": "scannetv2",
}


def form_items(form: Form, out: Path, folder: ScanFolder, scenes: Mapping[str, int]) -> list[Item]:
    """Return prepared scenes in `out` as items to write in a published form.

    Args:
        form: the published form.
        out: folder of the prepared data.
        folder: the raw ScanNet data, which the form inst_nostuff also reads.
        scenes: names of the scenes, and the expected size in bytes of each scene that is not prepared yet.
    """
    items = []
    for scene, expected in scenes.items():
        file = out / SCENES / scene / FILE
        size = round((file.stat().st_size if file.is_file() else expected) * 0.8)
        raw: tuple[Path, ...] = ()
        if form == "inst_nostuff":
            files = folder.files(scene)
            raw = tuple(path for path in (files.segments, files.aggregation) if path is not None)
        items.append(Item(scene, (file, *raw), size))
    return items


def form_recipe(form: Form, out: Path, folder: ScanFolder) -> Recipe:
    """Return the recipe that writes prepared scenes in a published form."""
    work = functools.partial(_publish, form=form, out=out, folder=folder, table=label_table(folder))
    return Recipe(form, VERSION, {}, work)


def _publish(
    item: Item, target: Path, form: Form, out: Path, folder: ScanFolder, table: Path | None
) -> Mapping[str, Any]:
    scene = read_scene(out / SCENES / item.name)
    if form == "scanrefer":
        published.write_scanrefer(target, scene.name, scanrefer_scene(scene.arrays(), scene.rows))
    elif form == "votenet":
        if scene.annotated and scene.alignment is None:
            raise InputError(
                f"scan {scene.name}: its .txt has no axisAlignment, which boxes in VoteNet's form need",
                "leave the scan out, or leave --published votenet away",
            )
        if scene.annotated:  # VoteNet's form has no test scans
            published.write_votenet(target, scene.name, votenet_scene(scene.arrays(), scene.rows))
    else:
        _publish_prepared(form, target, scene, folder, table)
    return {}


def _publish_prepared(form: Form, target: Path, scene: Scene, folder: ScanFolder, table: Path | None) -> None:
    """Write a scene in the form "refer" (CFNet) or "inst_nostuff" (SPFormer); a test scan is written without labels."""
    nyu40, instance = None, None
    if scene.annotated and scene.label_nyu40 is not None:
        nyu40, instance = scene.label_nyu40, scene.objects.astype(np.int64)
        if form == "inst_nostuff":
            files = folder.files(scene.name)
            assert files.segments is not None
            assert files.aggregation is not None
            assert table is not None
            segments = read_segments(files.segments, len(scene.vertices))
            instance = instances_without_stuff(
                segments, read_aggregation(files.aggregation, segments), read_table(table), nyu40
            )
    mesh = Mesh(scene.vertices, scene.colours, scene.faces, None)
    content = prepared_scene(mesh, scene.superpoints.astype(np.int64), nyu40, instance)
    write = published.write_inst_nostuff if form == "inst_nostuff" else published.write_refer
    write(target / f"{scene.name}_{form}.pth", content)


def link_published(form: Form, out: Path, folder: ScanFolder, scenes: Sequence[str]) -> Path:
    """Link a form's files into the folder where published code expects them, and return this folder.

    The files are hard links to those of the scenes, which take no additional space. If the file system does not support
    hard links, the files are copied.

    Raises:
        EnvironmentProblem: the links cannot be made.
    """
    split_of = _splits(folder) if FORMS[form] == "scannetv2" else {}
    place = out / PUBLISHED / form / FORMS[form]
    for scene in scenes:
        for file in sorted((out / PUBLISHED / form / SCENES / scene).glob(f"{scene}_*")):
            _link(file, place / split_of.get(scene, "") / file.name)
    return place


def _splits(folder: ScanFolder) -> dict[str, str]:
    found = {}
    for split, name in SPLITS.items():
        try:
            found.update(dict.fromkeys(read_split(folder.meta(name)), split))
        except G3DError:
            continue  # the lists are optional: without one, files are not sorted into its split's folder
    return found


def _link(file: Path, link: Path) -> None:
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and link.samefile(file):
            return
        link.unlink(missing_ok=True)
        try:
            os.link(file, link)
        except FileExistsError:
            return  # another process has just made the same link
        except OSError:
            shutil.copyfile(file, link)
    except OSError as error:
        raise EnvironmentProblem(f"{link}: cannot be written: {error.strerror or error}") from error
