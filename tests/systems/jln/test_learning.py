"""jln-tiny learns from words: on a few streets it answers their sentences, and without words it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from g3d import config as presets
from g3d.data.types import CameraBoxes, Prediction
from g3d.datasets.mono3drefer import DATASET
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import evaluate_predictions, predict
from g3d.engine.model import load_model
from g3d.engine.train import train
from g3d.prepare.mono3drefer import prepare_mono3drefer
from g3d.synthetic.baselines import WithoutSentence
from g3d.synthetic.sentences.mono3drefer import make_mono3drefer, training_sentences
from g3d.synthetic.sentences.text_encoder import make_text_encoder
from g3d.synthetic.streets.world import make_streets

SETTINGS = (
    "train.epochs=170",
    "optim.warmup_epochs=10",
    "optim.decay_epochs=[110, 140]",
    "augment.flip=0",
    "train.checkpoint_epochs=1000",
)


@pytest.mark.slow
def test_sentences_about_four_streets_are_grounded(tmp_path: Path) -> None:
    make_streets(tmp_path / "streets", 8, 1, (828, 250), val_fraction=0.5)
    data = make_mono3drefer(tmp_path / "streets", tmp_path / "data").root
    make_text_encoder(data / "text-encoder", training_sentences(data))
    prepare_mono3drefer(data)
    config: Any = presets.load("jln-tiny", SETTINGS)
    group = Processes(0, 1, torch.device("cpu"))
    loaded = load_model(train(config, data, group, out=tmp_path / "run").run, group.device)
    samples = loaded.system.samples(config, data, "train", training=False)
    found = {}

    def accuracy(predictions: list[Prediction]) -> float:
        table = evaluate_predictions(DATASET, config, predictions, data, "train", CameraBoxes)
        assert table is not None
        return table.metrics["Overall_acc25"]

    for name, asked in {"sentence": samples, "none": WithoutSentence(samples)}.items():
        predictions = predict(loaded.model, config, asked, group, 16)
        assert predictions is not None
        found[name] = accuracy(predictions)
    print(found)
    assert found["sentence"] > 30
    assert found["sentence"] > 3 * found["none"]
