"""`g3d eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g3d.cli import output
from g3d.cli.options import Ckpt, Data, Device, Json, Out, Preset, Settings, Split


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
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples at a time in each process.")] = 4,
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
    from g3d.errors import EnvironmentProblem, InputError

    if (ckpt is None) == (predictions is None):
        raise InputError("g3d eval: give either --ckpt or --predictions")
    if predictions is not None:
        if settings or out or native:
            raise InputError("g3d eval --predictions: --set, --out and --native are for a model", "leave them away")
        _evaluate_predictions(predictions, preset, data, split, as_json)
        return
    if out and out.is_dir():
        raise InputError(
            f"--out {out}: is a folder; expected the name of a predictions file", f"--out {out / 'found.jsonl'}"
        )
    from g3d.data.files import require_writable
    from g3d.data.predictions import write_predictions
    from g3d.engine.distributed import processes
    from g3d.engine.evaluate import evaluate_predictions, predict
    from g3d.engine.model import load_model

    with processes(device) as group:
        assert ckpt is not None
        loaded = load_model(ckpt, group.device, preset, settings)
        root = data or loaded.data
        if root is None:
            raise InputError("g3d eval: where is the data?", "--data DIR")
        part = split or loaded.config.data.val
        samples = loaded.system.dataset(loaded.config, root, part, training=False)
        for folder, option in ((out and out.parent, "--out"), (native, "--native")):
            if folder and group.first:
                require_writable(folder, option)
        found = predict(loaded.model, loaded.config, samples, group, batch, output.progress())
    if found is None:
        return
    kept = Path(part).stem + ("" if loaded.checkpoint.stem == "last" else f"-{loaded.checkpoint.stem}") + ".jsonl"
    file = out or (loaded.run / "predictions" / kept if loaded.run else None)
    if file:
        try:
            write_predictions(file, found)
            output.say(f"predictions: {file}")
        except EnvironmentProblem as error:
            if out:
                raise
            output.say(f"predictions are not kept: {error.message}; --out FILE writes them elsewhere")
            file = None
    if native:
        loaded.system.write_native(found, native, full_precision, root)
        output.say(f"result files: {native}")
    table = evaluate_predictions(loaded.system, loaded.config, found, root, part)
    published = loaded.config.published
    if as_json:
        taken = loaded.report.lines() if loaded.report else None
        output.emit(
            {**output.table_json(table, published, part), "predictions": str(file) if file else None, "import": taken}
        )
    else:
        output.show_table(table, published, part)


def _evaluate_predictions(path: Path, preset: str | None, data: Path | None, split: str | None, as_json: bool) -> None:
    from g3d.engine.evaluate import evaluate_predictions, read_for_evaluation
    from g3d.errors import InputError

    if data is None:
        raise InputError("g3d eval --predictions: where are the labels?", "--data DIR")
    system, config, part, found = read_for_evaluation(path, data, split, preset)
    table = evaluate_predictions(system, config, found, data, part)
    published = config.published if config else None
    if as_json:
        output.emit(output.table_json(table, published, part))
    else:
        output.show_table(table, published, part)
