"""`g3d visualize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Data, Forms, Json, Preset, Unit, Up, formats


def visualize(
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Predictions file, or the data set's own result files.")
    ] = None,
    data: Data = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Split of the data set; by default the preset's or run's, else val.", show_default=False
        ),
    ] = None,
    preset: Preset = None,
    item: Annotated[list[str], typer.Option("--item", help="Sample id; may be repeated. Default: all.")] = [],  # noqa: B006
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            help="Leave out weaker objects (never the best answer to a sentence); the page can show them.",
        ),
    ] = 0.2,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and page.")] = Path("pictures"),
    scene: Annotated[
        Path | None,
        typer.Option(
            "--scene",
            help="An indoor scene: prepared folder, raw scan's folder, <scene>_vert.npy, or your own PLY, OBJ, GLB, "
            "STL, OFF, XYZ, NPZ, LAS or LAZ file.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        Path | None, typer.Option("--frames", help="With --scene: whose cameras are drawn.", show_default=False)
    ] = None,
    form: Forms = ["html"],  # noqa: B006
    layer: Annotated[
        str | None, typer.Option("--layer", help="With --scene: colouring of PLY and GLB.", show_default=False)
    ] = None,
    up: Up = "auto",
    unit: Unit = "auto",
    aligned: Annotated[bool, typer.Option("--aligned/--raw", help="With --scene: apply its axis alignment.")] = True,
    as_json: Json = False,
) -> None:
    """Draw predictions beside the ground truth: pictures (PNG), scene files (PLY, GLB) and one offline page (HTML).

    With --data and --item but no --predictions, the labels alone are drawn.

    Examples:

      g3d visualize --predictions RUN/predictions/val.jsonl --data data/kitti --out pictures

      g3d visualize --data data/kitti --item 000008

      g3d visualize --data data/Mono3DRefer --item 000152_24000_0

      g3d visualize --scene data/scannet/scans/scene0000_00 --format html --format glb
    """
    from g3d.data.scannet.upright import Fit
    from g3d.errors import InputError

    fit = Fit(up, unit)
    if scene is not None:
        if predictions or data or preset or item:
            raise InputError("--scene: --predictions, --data, --preset and --item draw something else", "give one")
        from g3d.visualize.scenes import draw_scene

        _tell(draw_scene(scene, out, formats(form), aligned, frames, layer, fit), as_json)
        return
    if frames or layer or fit.stated:
        option = "--frames" if frames else "--layer" if layer else fit.stated
        raise InputError(f"{option}: is for --scene", "leave it away")
    from g3d.engine.results import read_for_drawing
    from g3d.visualize.draw import visualize_predictions

    found, labels = read_for_drawing(predictions, data, split, preset, item)
    alone = predictions is None
    written = visualize_predictions(
        found,
        labels,
        out,
        item or None,
        min_score=min_score,
        title="Labels" if alone else "Predictions",
        labels_only=alone,
        formats=formats(form),
        progress=output.progress(),
    )
    _tell(written, as_json)


def _tell(written: list[Path], as_json: bool) -> None:
    if as_json:
        output.emit({"schema": 1, "files": [str(path) for path in written]})
    else:
        for path in written:
            output.show(str(path))
