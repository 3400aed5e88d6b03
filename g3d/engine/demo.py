"""`g3d demo` for any system: make its world, train, evaluate against baselines, and draw.

A system contributes systems/<name>/demo.py with an object `DEMO`, which holds the system-specific parts.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from g3d import config as presets
from g3d import registry
from g3d.data.predictions import write_predictions
from g3d.data.types import Answer, Prediction
from g3d.datasets.base import get_dataset
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import evaluate_predictions, predict
from g3d.engine.model import LoadedModel, load_model
from g3d.engine.train import train
from g3d.engine.trainer import Trainer
from g3d.errors import InputError
from g3d.metrics.table import Table
from g3d.progress import Progress
from g3d.systems.base import Samples
from g3d.visualize.draw import visualize_predictions


@dataclass(frozen=True)
class World:
    """Settings of a demo's synthetic world.

    Attributes:
        out: folder of the whole demo.
        size: number of images or scenes to make.
        seed: random seed of the world.
        progress: returns a new progress display.
    """

    out: Path
    size: int
    seed: int
    progress: Callable[[], Progress]


@dataclass(frozen=True)
class Trained:
    """Inputs of the baselines.

    Attributes:
        loaded: the trained model.
        root: folder of the made data set.
        samples: samples of the evaluated split.
        predict: returns predictions of samples by the trained network, or by another network of the same system.
        fresh: returns the network with the weights that training started from.
    """

    loaded: LoadedModel
    root: Path
    samples: Samples
    predict: Callable[..., list[Prediction]]
    fresh: Callable[[], nn.Module]


@dataclass(frozen=True)
class Demo:
    """A system's part of the demo.

    Attributes:
        preset: name of a small preset.
        learns: what the model learns, for the message before the training: "boxes of cars".
        title: title of the page.
        make: makes and prepares the data set and returns its folder.
        baselines: returns the predictions, by name, that a trained model must beat.
        figures: columns of the shown table: name -> metric.
        ask: returns options of `g3d infer` that ask for the sample of a prediction.
        size: number of images or scenes that are made if the user does not say it.
        chosen: whether `g3d demo` shows this system if the user names none.
        split: the evaluated split, which is not trained on.
        compared: name of the baseline whose figures the page shows below the measured ones; None for none.
        drawn: returns whether a prediction is to be drawn, given the ground truth of its sample.
        pictures: largest number of predictions that are drawn.
        min_score: smallest score of the detections that the page shows at first.
    """

    preset: str
    learns: str
    title: str
    make: Callable[[World, Any], Path]
    baselines: Callable[[Trained], Mapping[str, Sequence[Prediction]]]
    figures: Mapping[str, str]
    ask: Callable[[Prediction], Sequence[str]]
    size: int = 600
    chosen: bool = False
    split: str = "val"
    compared: str | None = None
    drawn: Callable[[Prediction, Answer | None], bool] = lambda prediction, truth: True
    pictures: int = 60
    min_score: float = 0.3


@dataclass(frozen=True)
class DemoReport:
    """Result of one system's part of the demo.

    Attributes:
        run: the run directory.
        page: the HTML page.
        table: figures of the trained model.
        baselines: figures of each baseline.
        hint: a command to try next.
    """

    run: Path
    page: Path
    table: Table
    baselines: Mapping[str, Table]
    hint: str


def demo_names() -> list[str]:
    """Return the names of the systems that have a demo."""
    has_demo = registry.each(registry.SYSTEMS, lambda name: registry.has_part(registry.SYSTEMS, name, "demo"))
    return sorted(name for name, found in has_demo.items() if found)


ALL = "all"
"""Stands for all systems that have a demo."""


def chosen_demos(names: Sequence[str]) -> dict[str, Demo]:
    """Return the demos of some systems, of all systems for the name "all", or of the default ones for no name.

    Raises:
        InputError: a system has no demo.
    """
    known = demo_names()
    if not names:
        return {name: part for name in known if (part := get_demo(name)).chosen}
    return {name: get_demo(name) for name in (known if ALL in names else names)}


def get_demo(name: str) -> Demo:
    """Return a system's part of the demo.

    Raises:
        InputError: the system has no demo.
    """
    if name not in demo_names():
        raise InputError(f"--system {name}: expected {', '.join(demo_names())} or {ALL}")
    demo: Demo = registry.member(registry.SYSTEMS, name, "DEMO", "demo")
    return demo


def run_demo(
    name: str, world: World, settings: Sequence[str], group: Processes, say: Callable[[str], None]
) -> DemoReport:
    """Run the demo of one system: make the data set, train, evaluate, and draw.

    Args:
        name: name of the system.
        world: settings of the synthetic world.
        settings: `a.b=c` overrides of the demo's preset.
        group: the only process.
        say: called with a message at the beginning of each stage.
    """
    part = get_demo(name)
    config: Any = presets.load(part.preset, settings)
    say(f"making the world of {name}")
    root = part.make(world, config)
    say(f"training {part.preset}: {part.learns}")
    run = train(config, root, group, out=_new_run(world.out, name), progress=world.progress()).run
    say("evaluating on what was not trained on, beside blind guesses")
    loaded = load_model(run, group.device)
    dataset, samples = get_dataset(config.data.dataset), loaded.system.samples(config, root, part.split, training=False)

    def answer(samples: Samples, model: nn.Module = loaded.model) -> list[Prediction]:
        found = predict(model, loaded.config, samples, group, progress=world.progress())
        assert found is not None  # the only process is the first
        return found

    def figures(predictions: Sequence[Prediction]) -> Table:
        table = evaluate_predictions(dataset, loaded.config, predictions, root, part.split, loaded.system.answers)
        assert table is not None  # a made split has labels
        return table

    found = answer(samples)
    write_predictions(run / "predictions" / f"{part.split}.jsonl", found)
    trained = Trained(loaded, root, samples, answer, lambda: Trainer(config, root, group).model)
    table = figures(found)
    beside = {name: figures(guesses) for name, guesses in part.baselines(trained).items()}
    say("drawing")
    truth = dataset.truth(root, part.split, samples.ids)
    written = visualize_predictions(
        [p for p in found if part.drawn(p, truth.get(p.sample))][: part.pictures],
        truth,
        world.out / "pages" / name,
        title=part.title,
        min_score=part.min_score,
        table=table,
        comparison=(part.compared, beside[part.compared]) if part.compared else None,
    )
    hint = shlex.join(["g3d", "infer", "--ckpt", str(run), *part.ask(found[0])])
    return DemoReport(run, written[-1], table, beside, hint)


def _new_run(out: Path, name: str) -> Path:
    """Return the first unused run folder, since a folder with checkpoints of an earlier demo cannot be trained in."""
    number = 1
    while (out / "runs" / name / str(number)).exists():
        number += 1
    return out / "runs" / name / str(number)
