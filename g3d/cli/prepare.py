"""`g3d prepare`: convert raw data to prepared files, with one command for each data set or feature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g3d.cli import output
from g3d.cli.options import DataRequired, Json, Out
from g3d.cli.prepare_features import clip, frames, multiview, superpoints
from g3d.cli.prepare_mono3drefer import mono3drefer
from g3d.cli.prepare_rooms import rooms
from g3d.cli.prepare_scannet import scannet
from g3d.cli.prepare_scene_sentences import referit3d, scanrefer
from g3d.cli.recipes import DryRun, Redo, Workers, leave_if_broken, show_joint_plan

if TYPE_CHECKING:
    from g3d.prepare.kitti import KittiReport

prepare = typer.Typer(help="Check raw data and make what training needs from it.", no_args_is_help=True)
for verb in (scannet, superpoints, frames, multiview, clip, mono3drefer, scanrefer, referit3d, rooms):
    prepare.command()(verb)


@prepare.command()
def kitti(
    data: DataRequired,
    split: Annotated[list[str], typer.Option("--split", help="Split name or file of ids; may be repeated.")] = [  # noqa: B006
        "train",
        "val",
    ],
    out: Out = None,
    npy: Annotated[
        Path | None,
        typer.Option(
            "--npy", help="Also write the published float32 depth maps (.npy, 3.7 MB a frame) into this folder."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only look, write nothing.")] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image when checking, not only its header and end.")
    ] = False,
    dry_run: DryRun = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Prepare the good frames although others are broken.")
    ] = False,
    workers: Workers = 1,
    redo: Redo = False,
    as_json: Json = False,
) -> None:
    """Check KITTI's images, calibration, labels and splits, and make the object-wise depth of every frame.

    The result goes into DATA/g3d, or into --out; either folder can then be given as --data.

    Examples:

      g3d prepare kitti --data data/kitti

      g3d prepare kitti --data data/kitti --split my_frames.txt --out prepared/kitti
    """
    from g3d.prepare.kitti import plan_kitti, prepare_kitti

    if dry_run:
        plan = plan_kitti(data, split, out, npy)
        size = f"about {plan.bytes / 1e9:.2f} GB to write, {plan.free / 1e9:.1f} GB free"
        show_joint_plan(f"{plan.frames:,} frames to check, {size}", plan, as_json)
        return
    report = prepare_kitti(data, split, out, npy, check, decode, keep_going, workers, output.progress(), redo)
    if as_json:
        output.emit(
            {
                "schema": 1,
                "folder": str(report.folder) if report.folder else None,
                "frames": report.frames,
                "objects": report.objects,
                "up_to_date": report.up_to_date,
                "broken": [{"frame": frame, "reason": str(error)} for frame, error in report.broken],
            }
        )
    else:
        _show(report)
    leave_if_broken([error for _, error in report.broken], "frames", keep_going and not check)


def _show(report: KittiReport) -> None:
    frames = ", ".join(f"{name} {count:,}" for name, count in report.frames.items())
    output.show(f"frames   {frames}")
    output.show(
        "objects  "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(report.objects.items(), key=lambda x: -x[1]))
    )
    if report.folder:
        output.show(
            f"prepared {report.folder}"
            + (" (up to date)" if report.up_to_date else f" ({report.bytes_written / 1e6:.2f} MB)")
        )


@prepare.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; it must not exist.")],
    frames: Annotated[int, typer.Option("--frames", min=2, help="Number of street scenes.")] = 240,
    width: Annotated[
        int, typer.Option("--width", min=64, help="Width of the images in pixels; the height follows as in KITTI.")
    ] = 1242,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same world.")] = 0,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Make a small world of street scenes in KITTI's raw format, with labels that are right to the pixel, and sentences
    about it.

    OUT/mono3drefer holds the sentences in Mono3DRefer's layout, with a small text encoder that knows their words.

    Example: g3d prepare demo --out data/streets --frames 400
    """
    from g3d.synthetic.sentences.mono3drefer import make_mono3drefer, training_sentences
    from g3d.synthetic.sentences.text_encoder import make_text_encoder
    from g3d.synthetic.streets.world import make_streets

    made = make_streets(out, frames, seed, (width, round(width * 0.302)), workers=workers, progress=output.progress())
    said = make_mono3drefer(out, seed=seed, workers=workers, progress=output.progress())
    encoder = (
        make_text_encoder(said.root / "text-encoder", training_sentences(said.root), seed)
        if said.sentences["train"]
        else None
    )
    if as_json:
        output.emit(
            {
                "schema": 1,
                "root": str(made.root),
                "frames": made.frames,
                "train": made.train,
                "val": made.val,
                "labels": made.labels,
                "mono3drefer": str(said.root),
                "sentences": said.sentences,
                "text_encoder": str(encoder) if encoder else None,
            }
        )
        return
    output.show(
        f"{made.frames} frames ({made.train} train, {made.val} val) in {out}; next: g3d prepare kitti --data {out}"
    )
    output.show(
        f"{sum(said.sentences.values()):,} sentences about {said.objects:,} objects: g3d prepare "
        f"mono3drefer --data {said.root}"
    )
