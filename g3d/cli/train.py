"""`g3d train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g3d.cli import output
from g3d.cli.options import Data, Device, Json, Out, Preset, Settings

if TYPE_CHECKING:
    from g3d.config import Config
    from g3d.engine.checkpoint import Checkpoint


def train(
    preset: Preset = None,
    data: Data = None,
    settings: Settings = [],  # noqa: B006
    out: Out = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN|auto", help="Go on with a run; auto: the preset's newest.")
    ] = None,
    device: Device = "auto",
    scale_lr: Annotated[
        bool, typer.Option("--scale-lr", help="Scale the learning rate with the batch, if it is not the preset's.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, run one batch, say what the run costs; write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a preset, or go on with a run.

    Examples:

      g3d train --preset monodle-ddml --data data/kitti

      g3d train --preset monodle-ddml --data data/kitti --set train.batch=8 --set train.precision=bf16 --dry-run

      g3d train --preset jln --data data/mono3drefer --set model.start_weights=monodetr.pth

      g3d train --resume runs/monodle-ddml/2026-11-21_101500

      torchrun --nproc-per-node 8 -m g3d train --preset monodle-ddml --data data/kitti
    """
    from g3d.engine.distributed import processes
    from g3d.errors import InputError

    saved = _saved(resume, preset, settings)
    if saved is None and preset is None:
        raise InputError("g3d train: which preset?", "--preset NAME (g3d presets list shows them), or --resume RUN")
    if saved is not None and out is not None:
        raise InputError("--out: a resumed run goes on in its own directory", "leave --out away")
    if saved is not None and scale_lr:
        raise InputError("--scale-lr: a resumed run keeps its learning rate", "leave it away, or --set optim.lr=...")
    config = saved.config if saved else _config(str(preset), settings, scale_lr)
    root = data or _data_of(saved)
    with processes(device) as group:
        if dry_run:
            from g3d.engine.dry_run import dry_run as try_out

            report = try_out(config, root, group, fresh=saved is None)
            if group.first:
                _show_dry_run(report, as_json)
            return
        from g3d.engine.train import train as run

        done = run(config, root, group, out=out, resume=saved, progress=output.progress())
    if not group.first:
        return
    if as_json:
        output.emit(
            {
                "schema": 1,
                "run": str(done.run),
                "checkpoint": str(done.checkpoint),
                "best": str(done.best) if done.best else None,
                "steps": done.steps,
                "seconds": round(done.seconds, 1),
                "losses": done.losses,
            }
        )
    else:
        output.say(f"trained {done.steps} steps in {done.seconds:.0f} s; next: g3d eval --ckpt {done.best or done.run}")
        output.show(str(done.run))


def _saved(resume: str | None, preset: str | None, settings: list[str]) -> Checkpoint | None:
    """Return the checkpoint to resume from, with the `--set` overrides applied and reported; None without --resume.

    Raises:
        InputError: `--resume auto` is given without a preset, the run is of another preset, or its checkpoint cannot be
            used.
        MissingDataError: there is no such run or checkpoint.
    """
    if resume is None:
        return None
    from g3d import config as presets
    from g3d.engine import checkpoint
    from g3d.engine.run import find_latest
    from g3d.errors import InputError

    name = presets.load(preset).name if preset else None
    if resume == "auto" and name is None:
        raise InputError("--resume auto: of which preset?", "add --preset NAME, or give the run directory")
    path = checkpoint.locate(find_latest(str(name)) if resume == "auto" else Path(resume))
    saved = checkpoint.read(path, tuple(settings))
    if name is not None and saved.config.name != name:
        raise InputError(
            f"--resume {resume}: a run of preset {saved.config.name}, not of {name}", "leave --preset away"
        )
    if settings:
        output.say(f"resuming with changed settings: {', '.join(settings)}")
    return saved


def _data_of(saved: Checkpoint | None) -> Path:
    from g3d.errors import InputError

    if saved is None:
        raise InputError("g3d train: where is the data?", "--data DIR; g3d prepare makes it ready")
    if "data" not in saved.training:
        raise InputError(f"checkpoint {saved.path}: does not say where its data is", "--data DIR")
    return Path(saved.training["data"])


def _config(preset: str, settings: list[str], scale_lr: bool) -> Config:
    """Return the resolved config.

    If the batch size differs from the preset's, report both; with `--scale-lr`, scale the learning rate linearly. If
    `--set optim.lr` changes the learning rate, keep it and report nothing.

    Raises:
        InputError: both `--scale-lr` and `--set optim.lr` change the learning rate.
    """
    from g3d import config as presets
    from g3d.errors import InputError

    published, config = presets.load(preset), presets.load(preset, settings)
    if config.train.batch == published.train.batch:
        return config
    if config.optim.lr != published.optim.lr:
        if scale_lr:
            raise InputError("--scale-lr: --set optim.lr has set the learning rate already", "leave one of them away")
        return config
    scaled = published.optim.lr * config.train.batch / published.train.batch
    said = (
        f"effective batch {config.train.batch}; the preset's learning rate {published.optim.lr:g} is for "
        f"{published.train.batch}"
    )
    if not scale_lr:
        output.say(f"{said}: --scale-lr would use {scaled:g}")
        return config
    output.say(f"{said}: scaled to {scaled:g}")
    return presets.load(preset, [*settings, f"optim.lr={scaled!r}"])


def _show_dry_run(report: Any, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        output.emit({"schema": 1, **asdict(report), "estimated_seconds": report.estimated_seconds})
        return
    hours = report.estimated_seconds / 3600
    output.show(f"parameters        {report.parameters:,} ({report.trainable:,} trainable)")
    output.show(
        f"samples           {report.samples:,}: {report.steps_per_epoch:,} steps an epoch, {report.steps:,} in all"
    )
    output.show(
        f"one step          {report.step_seconds:.2f} s, and {report.data_seconds:.2f} s to read its "
        f"batch in one process"
    )
    output.show(f"peak memory       {report.peak_memory / 2**30:.2f} GiB")
    output.show(
        f"whole training    about {hours:.1f} h" if hours >= 1 else f"whole training    about {hours * 60:.0f} min"
    )
    output.show("losses            " + ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items()))
