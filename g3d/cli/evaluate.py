"""`g3d eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Ckpt, Data, Device, Json, Out, Preset, Settings, Split

if TYPE_CHECKING:
    from g3d.engine.evaluate import Evaluation
    from g3d.systems.base import ImportReport


def evaluate(
    ckpt: Ckpt = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", help="Predictions file, or the data set's own results, to evaluate instead of a model."
        ),
    ] = None,
    preset: Preset = None,
    data: Data = None,
    split: Split = None,
    settings: Settings = [],  # noqa: B006
    device: Device = "auto",
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            help="Images or scenes at a time in each process; by default the preset's train.eval_batch.",
            show_default=False,
        ),
    ] = None,
    out: Out = None,
    native: Annotated[
        Path | None, typer.Option("--native", help="Also write the data set's own result files into this folder.")
    ] = None,
    full_precision: Annotated[
        bool, typer.Option("--full-precision", help="All digits in --native files, not the published number.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Evaluate a run, a checkpoint or predictions, and print measured beside published.

    Examples:

      g3d eval --ckpt runs/monodle-ddml/2026-11-21_101500

      g3d eval --ckpt runs/jln/2026-11-21_101500/checkpoints/best.pt --split test --native results

      g3d eval --ckpt checkpoint_epoch_140.pth --preset monodle-ddml --data data/kitti

      g3d eval --predictions results/data --data data/kitti --split val
    """
    from g3d.errors import InputError

    if (ckpt is None) == (predictions is None):
        raise InputError("g3d eval: give either --ckpt or --predictions")
    if full_precision and native is None:
        raise InputError("--full-precision: of which result files?", "--native DIR writes them")
    from g3d.engine.distributed import processes
    from g3d.engine.evaluate import evaluate as run
    from g3d.engine.evaluate import evaluate_file
    from g3d.engine.model import load_model

    if predictions is not None:
        if settings or out or native or batch:
            raise InputError(
                "g3d eval --predictions: --set, --out, --native and --batch are for a model", "leave them away"
            )
        if data is None:
            raise InputError("g3d eval --predictions: where are the labels?", "--data DIR")
        _show(evaluate_file(predictions, data, split, preset), None, as_json)
        return
    with processes(device) as group:
        assert ckpt is not None
        loaded = load_model(ckpt, group.device, preset, settings)
        found = run(loaded, group, data, split, batch, out, native, full_precision, output.progress())
    if found is not None:
        _show(found, loaded.report, as_json)


def _show(found: Evaluation, report: ImportReport | None, as_json: bool) -> None:
    published = found.config.published if found.config else None
    if as_json:
        more = {"predictions": str(found.file) if found.file else None, "import": report.lines() if report else None}
        output.emit({**output.table_json(found.table, published, found.split), **more})
    elif found.table is None:
        output.say(f"split {found.split} has no labels: predicted {len(found.predictions)} samples, no figures")
    else:
        output.show_table(found.table, published, found.split)
