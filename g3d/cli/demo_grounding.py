"""The demo's grounding: JLN learns from pixels and words on the made streets, beside what blind guesses reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from g3d.cli import output

if TYPE_CHECKING:
    from g3d.cli.demo import Clock
    from g3d.engine.distributed import Processes
    from g3d.metrics.table import Table

PRESET = "jln-tiny"
SPLIT = "test"
BATCH = 16
PICTURES = 60  # sentences that are drawn
METRICS = {
    "Acc@0.25": "Overall_acc25",
    "Acc@0.5": "Overall_acc50",
    "mean IoU": "Overall_iou",
    "oriented Acc@0.25": "Overall_oriented_acc25",
    "oriented mean IoU": "Overall_oriented_iou",
}


def grounding(
    world: Path, out: Path, settings: Sequence[str], group: Processes, clock: Clock, show: bool
) -> dict[str, Any]:
    """Write sentences, train, evaluate beside blind guesses, draw; prints tables where asked. Returns this system's
    part of the report."""
    from g3d import config as presets
    from g3d.cli.demo import new_run
    from g3d.data.mono3drefer.folder import Mono3DReferRoot
    from g3d.data.predictions import write_predictions
    from g3d.engine.evaluate import evaluate_predictions, predict
    from g3d.engine.model import load_model
    from g3d.engine.train import train
    from g3d.prepare.mono3drefer import prepare_mono3drefer
    from g3d.synthetic.baselines import WithoutImage, WithoutSentence, always, mean_image, most_likely_box
    from g3d.synthetic.sentences.mono3drefer import make_mono3drefer, training_sentences
    from g3d.synthetic.sentences.text_encoder import make_text_encoder
    from g3d.visualize.draw import visualize_predictions

    config: Any = presets.load(PRESET, settings)
    data = out / "mono3drefer"
    clock.step("writing sentences about the streets")
    made = make_mono3drefer(world, data, workers=2, progress=output.progress())
    make_text_encoder(data / config.text.encoder, training_sentences(data))
    prepared = prepare_mono3drefer(data)
    assert not prepared.broken  # what we made ourselves
    clock.step(f"training {PRESET} on {made.sentences['train']} sentences")
    run = train(config, data, group, out=new_run(out, "jln"), progress=output.progress()).run
    clock.step("evaluating on unseen streets, and guessing blindly")
    loaded = load_model(run, group.device)
    samples = loaded.system.dataset(config, data, SPLIT, training=False)
    found = predict(loaded.model, config, samples, group, BATCH, output.progress())
    assert found is not None  # the only process is the first
    write_predictions(run / "predictions" / f"{SPLIT}.jsonl", found)
    table = evaluate_predictions(loaded.system, config, found, data, SPLIT)
    mean = mean_image(loaded.system.dataset(config, data, config.data.train, training=False))
    guesses = {
        "no sentence": predict(loaded.model, config, WithoutSentence(samples), group, BATCH, output.progress()),
        "no image": predict(loaded.model, config, WithoutImage(samples, mean), group, BATCH, output.progress()),
        "most likely box": always(
            most_likely_box([e.objects for e in Mono3DReferRoot.find(data).expressions(config.data.train)]), samples
        ),
    }
    unasked = {name: [replace(one, expression=None) for one in guess or ()] for name, guess in guesses.items()}
    blind = {name: evaluate_predictions(loaded.system, config, guess, data, SPLIT) for name, guess in unasked.items()}
    clock.step("drawing")
    truth = loaded.system.labels(data, samples.ids)
    pictures = visualize_predictions(
        found[:PICTURES], truth, out / "pages" / "grounding", title="g3d demo: sentences on unseen streets", table=table
    )
    if show:
        _show(table, blind)
        typer.echo(f"run   {run}\npage  {pictures[-1]}")
    first = found[0]
    output.say(f'try: g3d infer --ckpt {run} --image {first.image} --focal 480 --text "the white van" --out found')
    return {
        "run": str(run),
        "page": str(pictures[-1]),
        "metrics": table.metrics,
        "blind": {n: t.metrics for n, t in blind.items()},
    }


def _show(table: Table, blind: Mapping[str, Table]) -> None:
    """Overall figures, trained beside each blind guess."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    title = "sentences on unseen streets, percent"
    shown = RichTable(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in METRICS:
        shown.add_column(column, justify="right", no_wrap=True)
    for name, each in {"trained": table, **blind}.items():
        shown.add_row(name, *(f"{each.metrics[metric]:.1f}" for metric in METRICS.values()))
    console = Console()
    Console(width=max(console.width, 96)).print(shown)
