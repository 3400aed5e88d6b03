"""`g3d prepare superpoints`, `frames`, `multiview` and `clip`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import DataRequired, Device, Json, Out
from g3d.cli.recipes import Check, DryRun, How, Redo, Scenes, ShardOption, Workers, finish, run_recipe

Frames = Annotated[
    Path | None,
    typer.Option("--frames", help="Folder with the frames of every scene; by default DATA.", show_default=False),
]
_CLIP = "openai/clip-vit-large-patch14-336"
Half = Annotated[bool, typer.Option("--half", help="Store float16.")]


def _one_of(name: str, value: str, *known: str) -> None:
    from g3d.errors import InputError

    if value not in known:
        raise InputError(f"{name} {value}: expected {', '.join(known)}")


def superpoints(
    data: DataRequired,
    out: Out = None,
    scene: Scenes = [],  # noqa: B006
    source: Annotated[
        str, typer.Option("--from", help="mesh, points (nearest neighbours), or auto: by what there is.")
    ] = "auto",
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, help="How much normals may change within one.")
    ] = 0.01,
    min_vertices: Annotated[int, typer.Option("--min-vertices", min=1, help="Smaller ones join a neighbour.")] = 20,
    neighbours: Annotated[int, typer.Option("--neighbours", min=1, help="For clouds.")] = 8,
    segs_json: Annotated[bool, typer.Option("--segs-json", help="Also write ScanNet's segs.json.")] = False,
    workers: Workers = 1,
    shard: ShardOption = None,
    dry_run: DryRun = False,
    check: Check = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Cut meshes or point clouds into superpoints. DATA is a mesh file, a folder of them, or ScanNet's folder.

    Mesh files are PLY, OBJ, STL, OFF, GLB and glTF; clouds may also be XYZ and TXT files of one point a line.

    Example: g3d prepare superpoints --data room.ply --out prepared --threshold 0.05
    """
    from g3d.prepare.superpoints import SUPERPOINTS, SuperpointSettings, superpoint_items, superpoint_recipe

    _one_of("--from", source, "auto", "mesh", "points")
    settings = SuperpointSettings(source, threshold, min_vertices, neighbours, segs_json)  # type: ignore[arg-type]
    how = How(workers, shard, dry_run, check, redo, as_json)
    place = (out or (data if data.is_dir() else data.parent) / "g3d") / SUPERPOINTS
    prepared = run_recipe(superpoint_recipe(settings), superpoint_items(data, scene), place, how)
    if prepared is not None:
        finish(prepared, place, how)


def frames(
    data: DataRequired,
    out: Out = None,
    scene: Scenes = [],  # noqa: B006
    every: Annotated[int, typer.Option("--every", min=1, help="Each N-th frame.")] = 20,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many of a scene.", show_default=False)
    ] = None,
    depth: Annotated[str, typer.Option("--depth", help="png (16 bits), or zlib: as stored, at no cost.")] = "png",
    width: Annotated[
        int | None, typer.Option("--width", min=8, help="Smaller pictures, 4:3; 3D-SIS: 320.", show_default=False)
    ] = None,
    reencode: Annotated[
        bool, typer.Option("--reencode", help="Compress colour anew, as ScanNet's Python reader does.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take the whole frames of recordings that were cut.")
    ] = False,
    workers: Workers = 1,
    shard: ShardOption = None,
    dry_run: DryRun = False,
    check: Check = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Export recordings (.sens) to folders of frames. DATA is one recording, or ScanNet's folder.

    Example: g3d prepare frames --data data/scannet --every 20 --workers 8
    """
    from g3d.prepare.frames import FRAMES, FramesSettings, frames_items, frames_recipe

    _one_of("--depth", depth, "png", "zlib")
    size = None if width is None else (width, round(width * 0.75))
    settings = FramesSettings(every, limit, depth, size, reencode, partial)  # type: ignore[arg-type]
    how = How(workers, shard, dry_run, check, redo, as_json)
    place = (out or (data if data.is_dir() else data.parent) / "g3d") / FRAMES
    prepared = run_recipe(frames_recipe(settings), frames_items(data, scene, settings), place, how)
    if prepared is not None:
        finish(prepared, place, how)


def multiview(
    data: DataRequired,
    weights: Annotated[Path, typer.Option("--weights", help="ENet's weights, scannetv2_enet.pth.", show_default=False)],
    out: Out = None,
    frames: Frames = None,
    scene: Scenes = [],  # noqa: B006
    every: Annotated[int, typer.Option("--every", min=1, help="Take each N-th frame.")] = 1,
    pool: Annotated[
        str, typer.Option("--pool", help="max, or first: the first frame that sees a point decides.")
    ] = "max",
    points: Annotated[
        str, typer.Option("--points", help="scanrefer: the rows that ScanRefer keeps of a scene; or all.")
    ] = "scanrefer",
    projection: Annotated[
        str, typer.Option("--projection", help="published, or frame: each frame's own intrinsics.")
    ] = "published",
    half: Half = False,
    merge: Annotated[
        Path | None, typer.Option("--merge", help="Then write all scenes into this HDF5 file.", show_default=False)
    ] = None,
    virtual: Annotated[
        bool, typer.Option("--virtual", help="The merged file only refers to the scenes' files.")
    ] = False,
    device: Device = "cpu",
    workers: Workers = 1,
    shard: ShardOption = None,
    dry_run: DryRun = False,
    check: Check = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Carry ENet's image features to the points of prepared scenes.

    Frames are .sens files, or folders as exported for 3D-SIS (frames_square), scannet_frames_25k or 7-Scenes.

    Example: g3d prepare multiview --data data/scannet --frames data/frames_square --weights scannetv2_enet.pth --merge
        enet.hdf5
    """
    from g3d.data.scannet.point_features import merge_features
    from g3d.prepare.frames_of_scenes import items_with_frames, prepared_scenes
    from g3d.prepare.multiview import MULTIVIEW, MultiviewSettings, multiview_recipe

    _one_of("--pool", pool, "max", "first")
    _one_of("--points", points, "scanrefer", "all")
    _one_of("--projection", projection, "published", "frame")
    settings = MultiviewSettings(every, pool, points, projection, half)  # type: ignore[arg-type]
    how = How(workers, shard, dry_run, check, redo, as_json)
    root = out or data / "g3d"
    recipe = multiview_recipe(root, frames or data, weights, settings, _device(device))
    items = items_with_frames(root, frames or data, prepared_scenes(root, scene), 50_000 * 128 * (2 if half else 4))
    prepared = run_recipe(recipe, items, root / MULTIVIEW, how)
    if prepared is None:
        return
    notes = []
    missing = [item.name for item in items if not (root / MULTIVIEW / item.name).is_dir()]
    if merge and not prepared.broken and not missing:
        count = merge_features(root / MULTIVIEW, merge, [item.name for item in items], virtual)
        notes.append(f"merged {count} scenes into {merge}")
    elif merge:
        output.say(
            f"{merge} was not written: {len(missing)} scenes are missing; when all parts are done, run this "
            f"again without --shard"
        )
    finish(prepared, root / MULTIVIEW, how, notes)


def clip(
    data: DataRequired,
    out: Out = None,
    frames: Frames = None,
    scene: Scenes = [],  # noqa: B006
    encoder: Annotated[str, typer.Option("--encoder", help="A CLIP of Hugging Face's, by name or folder.")] = _CLIP,
    final_norm: Annotated[
        bool, typer.Option("--final-norm", help="Apply CLIP's last layer norm to the patch tokens.")
    ] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="Take each N-th frame.")] = 10,
    mapping: Annotated[
        str, typer.Option("--mapping", help="cropped, or stretched (published): sideways by up to an eighth.")
    ] = "cropped",
    unseen: Annotated[
        str, typer.Option("--unseen", help="zero (as published), or skip: points that nothing saw do not count.")
    ] = "zero",
    half: Half = False,
    published: Annotated[bool, typer.Option("--published", help="Also write <scene>.pth as CFNet reads it.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    device: Device = "cpu",
    workers: Workers = 1,
    shard: ShardOption = None,
    dry_run: DryRun = False,
    check: Check = False,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Carry CLIP's patch features to the superpoints of prepared scenes.

    Example: g3d prepare clip --data data/scannet --encoder models/clip-vit-large-patch14-336 --mapping stretched
        --published
    """
    from g3d.prepare.clip import CLIP, ClipSettings, clip_recipe
    from g3d.prepare.frames_of_scenes import items_with_frames, prepared_scenes

    _one_of("--mapping", mapping, "cropped", "stretched")
    _one_of("--unseen", unseen, "zero", "skip")
    settings = ClipSettings(encoder, final_norm, every, mapping, unseen, half, published)  # type: ignore[arg-type]
    how = How(workers, shard, dry_run, check, redo, as_json)
    root = out or data / "g3d"
    recipe = clip_recipe(root, frames or data, settings, _device(device), offline)
    items = items_with_frames(root, frames or data, prepared_scenes(root, scene), 2_500 * 1024 * (2 if half else 4))
    prepared = run_recipe(recipe, items, root / CLIP, how)
    if prepared is not None:
        finish(prepared, root / CLIP, how)


def _device(name: str) -> str:
    from g3d.engine.distributed import choose_device

    return str(choose_device(name))
