"""`g3d prepare rooms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Json
from g3d.cli.recipes import Workers


def rooms(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make, or to complete.")],
    count: Annotated[int, typer.Option("--rooms", min=1, help="Number of rooms.")] = 100,
    frames: Annotated[
        int, typer.Option("--frames", min=0, help="Frames of each room's .sens recording; 0 makes none.")
    ] = 0,
    kind: Annotated[
        list[str],
        typer.Option("--kind", help="Only this kind of room, such as office or bathroom; may be repeated."),
    ] = [],  # noqa: B006
    voxel: Annotated[
        float,
        typer.Option(
            "--voxel",
            min=0.02,
            max=0.05,
            help="Voxels of the reconstruction, metres; 0.04 makes 40% of the vertices in 40% of the time.",
        ),
    ] = 0.02,
    val: Annotated[float, typer.Option("--val", min=0, max=1, help="Share of the rooms for validation.")] = 0.25,
    test: Annotated[
        int, typer.Option("--test", min=0, help="Number of further rooms without annotation, as ScanNet's test scans.")
    ] = 0,
    sentences: Annotated[
        int,
        typer.Option(
            "--sentences",
            min=0,
            max=200,
            help="Sentences about each annotated room in each of ScanRefer's, Nr3D's and Sr3D's forms; 0 makes none.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same rooms.")] = 0,
    workers: Workers = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace rooms that were made with other options.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make synthetic furnished rooms in the layout of ScanNet's download: meshes, segments, annotation, split lists.

    OUT is then used like ScanNet itself: g3d prepare scannet --data OUT. A killed run goes on where it was. With
    sentences it is also used like ScanRefer and ReferIt3D: g3d prepare scanrefer --data OUT --vectors
    OUT/random_vectors.txt. These word vectors are random; they replace GloVe's where it is not at hand.

    Example: g3d prepare rooms --out data/rooms --rooms 200 --sentences 30 --workers 8
    """
    from g3d.synthetic.rooms.frames import FrameSettings
    from g3d.synthetic.rooms.room_types import KINDS
    from g3d.synthetic.rooms.world import make_rooms
    from g3d.synthetic.sentences.rooms_files import make_room_sentences, warn_if_outdated

    made = make_rooms(
        out,
        count,
        seed,
        kinds=tuple(kind) or KINDS,
        frames=FrameSettings(frames),
        voxel=voxel,
        val_fraction=val,
        test=test,
        workers=workers,
        overwrite=overwrite,
        progress=output.progress(),
    )
    said = None
    if sentences:
        said = make_room_sentences(out, sentences, seed, workers=workers, progress=output.progress())
    else:
        warn_if_outdated(out)
    if as_json:
        output.emit(
            {
                "schema": 1,
                "root": str(made.root),
                "rooms": made.rooms,
                "train": made.train,
                "val": made.val,
                "test": made.test,
                "made": made.made,
                "labels": made.labels,
                "sentences": said.sentences if said else None,
                "words": said.words if said else None,
                "random_vectors": str(said.vectors) if said else None,
            }
        )
        return
    objects = sum(made.labels.values())
    total, split = made.rooms + made.test, f"train {made.train:,}, val {made.val:,}, test {made.test:,}"
    output.show(f"rooms    {total:,} ({split}), {made.made:,} of them made now")
    output.show(f"objects  {objects:,} of {len(made.labels)} categories")
    for name, counts in said.sentences.items() if said else ():
        splits = ", ".join(f"{split} {count:,}" for split, count in counts.items())
        output.show(f"{name:<9}{sum(counts.values()):,} sentences ({splits})")
    if said:
        output.show(f"words    {said.words:,}, with random vectors in {said.vectors}")
    output.show(f"made     {made.root}")
