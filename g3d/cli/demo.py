"""`g3d demo`: make a synthetic world, then prepare, train, evaluate and draw, for each system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g3d.cli import output
from g3d.cli.options import Device, Json, Settings

if TYPE_CHECKING:
    from g3d.engine.demo import Demo, DemoReport


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the world, the runs and the pages.")] = Path(
        "g3d-demo"
    ),
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            min=16,
            help="Streets or rooms to make, of which a fifth is kept for evaluation; by default each system's number.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        list[str],
        typer.Option(
            "--system",
            help="For example jln (sentences to boxes), or all; may be repeated. Default: an image and a scene system.",
        ),
    ] = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the world.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a small world and take small models the whole way on it, in minutes on a laptop's CPU.

    It makes streets, rooms and sentences, trains each system, evaluates it on unseen ones beside what a blind guess
    reaches, and writes pages to look at.

    Examples:

      g3d demo

      g3d demo --system jln --out /tmp/demo --size 64 --set train.epochs=2
    """
    from g3d.engine.demo import World, chosen_demos, run_demo
    from g3d.engine.distributed import Processes, choose_device

    parts = chosen_demos(system)
    group, began = Processes(0, 1, choose_device(device)), time.monotonic()
    reports: dict[str, Any] = {}
    for name, part in parts.items():
        world = World(out, size or part.size, seed, output.progress)
        report = run_demo(
            name, world, settings, group, lambda stage: output.say(f"[{time.monotonic() - began:5.0f} s] {stage}")
        )
        reports[name] = {
            "run": str(report.run),
            "page": str(report.page),
            "metrics": report.table.metrics,
            "baselines": {guess: table.metrics for guess, table in report.baselines.items()},
        }
        if not as_json:
            _show(part, report)
        output.say(f"try: {report.hint}")
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        output.emit({"schema": 1, "seconds": seconds, "systems": reports})
    output.say(f"done in {seconds:.0f} s")


def _show(part: Demo, report: DemoReport) -> None:
    """Print the figures of the trained model above those of each baseline."""
    from g3d.metrics.table import Row, Table

    tables = {"trained": report.table, **report.baselines}
    rows = [
        Row(name, tuple(table.metrics[metric] for metric in part.figures.values())) for name, table in tables.items()
    ]
    output.show_table(Table(f"{part.learns}, percent", tuple(part.figures), tuple(rows), digits=1))
    output.show(f"run   {report.run}")
    output.show(f"page  {report.page}")
