"""`g3d demo`: the whole way on a made world: prepare, train, evaluate, infer, and a page to look at, for each
system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from g3d.cli import output
from g3d.cli.options import Device, Json, Settings

SYSTEMS = ("monodle", "jln")
WIDTH = 828  # pixels: wide enough for most cars to be as high as KITTI's AP asks for


class Clock:
    """Says each step as it begins, with the seconds so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def total(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def step(self, name: str) -> None:
        output.say(f"[{self.total():5.0f} s] {name}")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the world, the runs and the pages.")] = Path(
        "g3d-demo"
    ),
    frames: Annotated[
        int,
        typer.Option("--frames", min=16, help="Street scenes to make; a fifth of them is kept unseen for evaluation."),
    ] = 600,
    system: Annotated[
        list[str],
        typer.Option(
            "--system", help="monodle (detection) or jln (sentences to boxes); may be repeated. Default: both."
        ),
    ] = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the world.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a small world of streets and take small models the whole way on it, in minutes on a laptop's CPU.

    It makes streets and sentences about them, trains a detector and a grounding model, evaluates both on unseen streets
    beside what a blind guess reaches, infers, and writes pages to look at.

    Examples:

      g3d demo

      g3d demo --system jln --out /tmp/demo --frames 64 --set train.epochs=2
    """
    from g3d.cli.demo_detection import detection
    from g3d.cli.demo_grounding import grounding
    from g3d.engine.distributed import Processes, choose_device
    from g3d.errors import InputError
    from g3d.synthetic.streets.world import make_streets

    unknown = [name for name in system if name not in SYSTEMS]
    if unknown:
        raise InputError(f"--system {unknown[0]}: expected {' or '.join(SYSTEMS)}")
    clock, group = Clock(), Processes(0, 1, choose_device(device))
    world = out / "streets"
    clock.step("making streets")
    made = make_streets(
        world, frames, seed, (WIDTH, round(WIDTH * 0.302)), val_fraction=0.2, workers=2, progress=output.progress()
    )
    output.say(f"{made.train} streets to train on, {made.val} unseen ones")
    parts = {"monodle": detection, "jln": grounding}
    reports: dict[str, Any] = {}
    for name in system or SYSTEMS:
        reports[name] = parts[name](world, out, settings, group, clock, show=not as_json)
    if as_json:
        output.emit({"schema": 1, "seconds": clock.total(), "systems": reports})
    output.say(f"done in {clock.total():.0f} s")


def new_run(out: Path, name: str) -> Path:
    """The first free run folder below `out`, so that a second demo does not meet the first one's checkpoints."""
    number = 1
    while (out / "runs" / name / str(number)).exists():
        number += 1
    return out / "runs" / name / str(number)
