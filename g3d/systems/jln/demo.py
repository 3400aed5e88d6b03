"""JLN's part of `g3d demo`: it trains on sentences about synthetic streets and compares the result with baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from g3d.data.mono3drefer.folder import Mono3DReferRoot
from g3d.data.types import Prediction
from g3d.engine.demo import Demo, Trained, World
from g3d.prepare.mono3drefer import prepare_mono3drefer
from g3d.synthetic.baselines import WithoutImage, WithoutSentence, always, mean_image, most_likely_box
from g3d.synthetic.sentences.mono3drefer import make_mono3drefer, training_sentences
from g3d.synthetic.sentences.text_encoder import make_text_encoder
from g3d.synthetic.streets.world import DEMO_SIZE, make_streets
from g3d.systems.jln.config import Config


def _make(world: World, config: Config) -> Path:
    streets, root = world.out / "streets", world.out / "mono3drefer"
    make_streets(streets, world.size, world.seed, DEMO_SIZE, val_fraction=0.2, workers=2, progress=world.progress())
    make_mono3drefer(streets, root, workers=2, progress=world.progress())
    make_text_encoder(root / config.text.encoder, training_sentences(root))
    prepare_mono3drefer(root)
    return root


def _baselines(trained: Trained) -> Mapping[str, Sequence[Prediction]]:
    """Return predictions without the sentence, without the image, and with one box for every sample."""
    config = trained.loaded.config
    training = trained.loaded.system.samples(config, trained.root, config.data.train, training=False)
    labels = [e.objects for e in Mono3DReferRoot.find(trained.root).expressions(config.data.train)]
    guesses = {
        "no sentence": trained.predict(WithoutSentence(trained.samples)),
        "no image": trained.predict(WithoutImage(trained.samples, mean_image(training))),
        "most likely box": always(most_likely_box(labels), trained.samples),
    }
    # Remove the sentences: a baseline does not ground a sample's sentence in its image.
    return {name: [replace(one, expression=None) for one in guess] for name, guess in guesses.items()}


def _ask(prediction: Prediction) -> list[str]:
    return ["--image", str(prediction.source.path), "--focal", "480", "--text", "the white van", "--out", "found"]


DEMO = Demo(
    preset="jln-tiny",
    learns="sentences to boxes",
    title="g3d demo: sentences on unseen streets",
    make=_make,
    baselines=_baselines,
    figures={
        "Acc@0.25": "Overall_acc25",
        "Acc@0.5": "Overall_acc50",
        "mean IoU": "Overall_iou",
        "oriented Acc@0.25": "Overall_oriented_acc25",
        "oriented mean IoU": "Overall_oriented_iou",
    },
    ask=_ask,
    chosen=True,
    split="test",
)
