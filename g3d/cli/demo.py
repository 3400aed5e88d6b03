"""`g3d demo`: the whole way on a made world: prepare, train, evaluate, infer, and a page to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g3d.cli import output
from g3d.cli.options import Device, Json, Settings

if TYPE_CHECKING:
    from g3d.metrics.table import Table

PRESET = "monodle-ddml-tiny"
WIDTH = 828  # pixels: wide enough for most cars to be as high as KITTI's AP asks for
LEVELS = 3  # easy, moderate, hard
MIN_SCORE = 0.15  # of what the page shows at first: a network trained for minutes is not sure of itself


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the world, the run and the page.")] = Path("g3d-demo"),
    frames: Annotated[
        int, typer.Option("--frames", min=16, help="Street scenes to make; a fifth of them is kept unseen for evaluation.")
    ] = 600,
    settings: Settings = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the world.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a small world of streets and take a small detector the whole way on it, in a few minutes on a laptop's CPU.

    It prepares the world, trains, evaluates on unseen streets beside the same network untrained, infers, and writes a page.

    Examples:

      g3d demo

      g3d demo --out /tmp/demo --frames 64 --set train.epochs=2
    """
    from g3d import config as presets
    from g3d.data.predictions import write_predictions
    from g3d.engine.distributed import Processes, choose_device
    from g3d.engine.evaluate import evaluate_predictions, predict
    from g3d.engine.model import load_model
    from g3d.engine.train import Trainer, train
    from g3d.prepare.kitti import prepare_kitti
    from g3d.synthetic.streets import make_streets
    from g3d.visualize.draw import visualize_predictions

    clock = _Clock()
    config: Any = presets.load(PRESET, settings)
    world, group = out / "streets", Processes(0, 1, choose_device(device))
    clock.step("making streets")
    made = make_streets(world, frames, seed, (WIDTH, round(WIDTH * 0.302)), val_fraction=0.2, workers=2, progress=output.progress())
    prepare_kitti(world)
    clock.step(f"training {PRESET} on {made.train} streets")
    untrained = Trainer(config, world, group).model
    run = train(config, world, group, out=_new_run(out), progress=output.progress()).run
    clock.step(f"evaluating on {made.val} unseen streets")
    loaded = load_model(run, group.device)
    samples = loaded.system.dataset(config, world, "val", training=False)
    found, before = (predict(model, config, samples, group, 8, output.progress()) for model in (loaded.model, untrained))
    assert found is not None
    assert before is not None  # the only process is the first
    write_predictions(run / "predictions" / "val.jsonl", found)
    table, blank = (evaluate_predictions(loaded.system, config, predictions, world, "val") for predictions in (found, before))
    clock.step("drawing")
    truth = loaded.system.labels(world, samples.ids)
    shown = [prediction for prediction in found if "Car" in truth[prediction.sample].classes]
    pictures = visualize_predictions(
        shown[:24], truth, out / "page", title="g3d demo: unseen streets", min_score=MIN_SCORE, table=table, comparison=("untrained", blank)
    )
    if as_json:
        output.emit({"schema": 1, "run": str(run), "page": str(pictures[-1]), "seconds": clock.total(),
                     "metrics": table.metrics, "untrained": blank.metrics})  # fmt: skip
        return
    _show(table, blank)
    typer.echo(f"run   {run}\npage  {pictures[-1]}")
    image = world / "training" / "image_2" / f"{samples.ids[0]}.png"
    calibration = world / "training" / "calib" / f"{samples.ids[0]}.txt"
    output.say(f"done in {clock.total():.0f} s; try: g3d infer --ckpt {run} --image {image} --calib {calibration}")


def _new_run(out: Path) -> Path:
    """The first free run folder below `out`, so that a second demo does not meet the first one's checkpoints."""
    number = 1
    while (out / "runs" / str(number)).exists():
        number += 1
    return out / "runs" / str(number)


class _Clock:
    """Says each step as it begins, with the seconds so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def total(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def step(self, name: str) -> None:
        output.say(f"[{self.total():5.0f} s] {name}")


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
