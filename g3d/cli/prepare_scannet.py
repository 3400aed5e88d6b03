"""`g3d prepare scannet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from g3d.cli.options import DataRequired, Json, Out
from g3d.cli.recipes import (
    Check,
    DryRun,
    How,
    Redo,
    Scenes,
    ShardOption,
    Splits,
    Workers,
    finish,
    my_part,
    run_recipe,
    show_plans,
)

Published = Annotated[
    list[str],
    typer.Option(
        "--published",
        help="Also write this published form: scanrefer, votenet, refer or inst_nostuff; may be repeated.",
    ),
]


def scannet(
    data: DataRequired,
    out: Out = None,
    scene: Scenes = [],  # noqa: B006
    split: Splits = [],  # noqa: B006
    publish: Published = [],  # noqa: B006
    normals: Annotated[
        str, typer.Option("--normals", help="summed, or published: as ScanRefer's files have them.")
    ] = "summed",
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, help="Superpoints: how much normals may change.")
    ] = 0.01,
    min_vertices: Annotated[
        int, typer.Option("--min-vertices", min=1, help="Superpoints: smaller ones join a neighbour.")
    ] = 20,
    maximum: Annotated[
        int, typer.Option("--maximum", min=1, help="Vertices that ScanRefer's and VoteNet's forms keep.")
    ] = 50_000,
    workers: Workers = 1,
    shard: ShardOption = None,
    dry_run: DryRun = False,
    check: Check = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Prepare ScanNet's raw scans: vertices, labels, boxes and superpoints of every scene in one file.

    DATA holds scans/ and the label table; the result goes into DATA/g3d, or into --out. What is done is not done again,
    a killed run goes on where it was, and several processes or machines may share the work (--shard, SLURM arrays,
    torchrun).

    Examples:

      g3d prepare scannet --data data/scannet --workers 8

      g3d prepare scannet --data data/scannet --published scanrefer --normals published --split train
    """
    from g3d.data.scannet.folder import ScanFolder
    from g3d.errors import InputError
    from g3d.prepare.scannet import SCENES, ScanNetSettings, chosen_scenes, scannet_items, scannet_recipe
    from g3d.prepare.scannet_forms import FORMS, PUBLISHED, form_items, form_recipe, link_published

    for name, value, known in (
        ("--normals", [normals], ("summed", "published")),
        ("--published", publish, tuple(FORMS)),
    ):
        for one in value:
            if one not in known:
                raise InputError(f"{name} {one}: expected {', '.join(known)}")
    how = How(workers, shard, dry_run, check, redo, as_json)
    folder = ScanFolder(data)
    settings = ScanNetSettings(normals, threshold, min_vertices, maximum)  # type: ignore[arg-type]
    root = out or Path(data) / "g3d"
    recipe, items = (
        scannet_recipe(folder, settings),
        my_part(scannet_items(folder, chosen_scenes(folder, split, scene)), how),
    )
    how = replace(how, shard="1/1")  # the list already holds only this process's part
    if dry_run or check:
        usable = {item.name: item.bytes for item in items if item.inputs}
        forms = [
            (form_recipe(form, root, folder), form_items(form, root, folder, usable), root / PUBLISHED / form / SCENES)
            for form in FORMS
            if form in publish
        ]
        show_plans([(recipe, items, root / SCENES), *forms], how)
        return
    prepared = run_recipe(recipe, items, root / SCENES, how)
    if prepared is None:
        return
    whole, notes = dict.fromkeys([*prepared.made, *prepared.done], 0), []
    for form in FORMS:
        if form in publish:
            done = run_recipe(
                form_recipe(form, root, folder),
                form_items(form, root, folder, whole),
                root / PUBLISHED / form / SCENES,
                replace(how, redo=False),
            )
            if done is not None:
                notes.append(f"published: {link_published(form, root, folder, [*done.made, *done.done])}")
                prepared = replace(prepared, broken=prepared.broken + done.broken)
    finish(prepared, root / SCENES, how, notes)
