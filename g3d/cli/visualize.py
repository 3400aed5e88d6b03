"""`g3d visualize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Data, Json, Preset


def visualize(
    predictions: Annotated[Path | None, typer.Option("--predictions", help="Predictions file or folder of result files.")] = None,
    data: Data = None,
    split: Annotated[str, typer.Option("--split", help="Split that a folder of result files belongs to.")] = "val",
    preset: Preset = None,
    item: Annotated[list[str], typer.Option("--item", help="Sample id; may be repeated. Default: all.")] = [],  # noqa: B006
    min_score: Annotated[float, typer.Option("--min-score", help="Leave out weaker detections; the page can bring them back.")] = 0.2,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and page.")] = Path("pictures"),
    as_json: Json = False,
) -> None:
    """Draw predictions beside the ground truth: pictures (PNG) and one page (HTML) that needs no network.

    With --data and --item but no --predictions, the labels alone are drawn.

    Examples:

      g3d visualize --predictions RUN/predictions/val.jsonl --data data/kitti --out pictures

      g3d visualize --data data/kitti --item 000008
    """
    from g3d.engine.evaluate import read_for_drawing
    from g3d.visualize.draw import visualize_predictions

    found, labels = read_for_drawing(predictions, data, split, preset, item)
    written = visualize_predictions(found, labels, out, items=item or None, min_score=min_score, progress=output.progress())
    if as_json:
        output.emit({"schema": 1, "files": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(str(path))
