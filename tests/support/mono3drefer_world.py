"""A small Mono3DRefer, prepared, with its own text encoder, and a micro JLN: what tests of the machinery train on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from g3d.prepare.mono3drefer import prepare_mono3drefer
from g3d.synthetic.sentences.text_encoder import ARCHITECTURE, make_text_encoder
from support import paths

MINI = paths.GOLDEN / "jln" / "mini_mono3drefer"
MICRO_TEXT = {
    **ARCHITECTURE,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
MICRO = (
    "data.resolution=[128, 64]",
    "data.sentences=1",
    f"text.architecture={yaml.safe_dump(MICRO_TEXT, default_flow_style=True, width=1000).strip()}",
    "text.max_words=24",
    "model.channels=32",
    "model.heads=2",
    "model.feedforward=32",
    "model.encoder_layers=1",
    "model.backbone={blocks: [1, 1, 1, 1], width: 4, norm: batch, frozen_stages: 0}",
    "model.dropout=0.1",
    "augment.photometric=true",
    "augment.crop=0.5",
    "train.batch=2",
    "train.epochs=2",
    "train.workers=0",
    "train.log_steps=1",
    "optim.lr=1e-3",
    "optim.warmup_epochs=0",
    "optim.decay_epochs=[]",
)


def micro_jln(*more: str) -> list[str]:
    """Command line settings of the micro network, with more of them."""
    return [part for setting in (*MICRO, *more) for part in ("--set", setting)]


def mini_world(folder: Path) -> Path:
    """A copy of the four drawn images with their sentences, prepared, and a text encoder in it."""
    root = Path(shutil.copytree(MINI, folder))
    sentences = [entry["description"] for entry in json.loads((root / "Mono3DRefer.json").read_text())]
    make_text_encoder(root / "text-encoder", sentences, architecture=MICRO_TEXT)
    prepare_mono3drefer(root)
    return root
