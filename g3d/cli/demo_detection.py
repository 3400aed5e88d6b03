"""The demo's detector: MonoDLE with DDML on the made streets, beside the same network untrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from g3d.cli import output

if TYPE_CHECKING:
    from g3d.cli.demo import Clock
    from g3d.engine.distributed import Processes
    from g3d.metrics.table import Table

PRESET = "monodle-ddml-tiny"
LEVELS = 3  # easy, moderate, hard
MIN_SCORE = 0.15  # of what the page shows at first: a network trained for minutes is not sure of itself


def detection(
    world: Path, out: Path, settings: Sequence[str], group: Processes, clock: Clock, show: bool
) -> dict[str, Any]:
    """Train, evaluate and draw; prints tables where asked. What is returned is the report's part of this system."""
    from g3d import config as presets
    from g3d.cli.demo import new_run
    from g3d.data.predictions import write_predictions
    from g3d.engine.evaluate import evaluate_predictions, predict
    from g3d.engine.model import load_model
    from g3d.engine.train import Trainer, train
    from g3d.prepare.kitti import prepare_kitti
    from g3d.visualize.draw import visualize_predictions

    config: Any = presets.load(PRESET, settings)
    prepare_kitti(world)
    clock.step(f"training {PRESET}: boxes of cars")
    untrained = Trainer(config, world, group).model
    run = train(config, world, group, out=new_run(out, "monodle"), progress=output.progress()).run
    clock.step("evaluating on unseen streets")
    loaded = load_model(run, group.device)
    samples = loaded.system.dataset(config, world, "val", training=False)
    found, before = (
        predict(model, config, samples, group, 8, output.progress()) for model in (loaded.model, untrained)
    )
    assert found is not None
    assert before is not None  # the only process is the first
    write_predictions(run / "predictions" / "val.jsonl", found)
    table, blank = (
        evaluate_predictions(loaded.system, config, predictions, world, "val") for predictions in (found, before)
    )
    clock.step("drawing")
    truth = loaded.system.labels(world, samples.ids)
    shown = [prediction for prediction in found if "Car" in truth[prediction.sample].classes]
    pictures = visualize_predictions(
        shown[:24],
        truth,
        out / "pages" / "detection",
        title="g3d demo: cars on unseen streets",
        min_score=MIN_SCORE,
        table=table,
        comparison=("untrained", blank),
    )
    if show:
        _show(table, blank)
        typer.echo(f"run   {run}\npage  {pictures[-1]}")
    image = world / "training" / "image_2" / f"{samples.ids[0]}.png"
    calibration = world / "training" / "calib" / f"{samples.ids[0]}.txt"
    output.say(f"try: g3d infer --ckpt {run} --image {image} --calib {calibration}")
    return {"run": str(run), "page": str(pictures[-1]), "metrics": table.metrics, "untrained": blank.metrics}


def _show(table: Table, blank: Table) -> None:
    """AP over 40 recalls, trained and untrained side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    title = f"{table.title}: trained, and the same network untrained"
    shown = RichTable(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for whose in ("trained", "untrained"):
        for column in table.columns[:LEVELS]:
            shown.add_column(f"{whose}\n{column}", justify="right", no_wrap=True)
    for row, other in zip(table.rows, blank.rows, strict=True):
        values = (*row.values[:LEVELS], *other.values[:LEVELS])
        shown.add_row(row.label, *("-" if value is None else f"{value:.1f}" for value in values))
    console = Console()
    Console(width=max(console.width, 96)).print(shown)
