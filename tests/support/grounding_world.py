"""Prepared sentences about made scans, and micro WS-3DVG networks: a training run on them takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from g3d import config as presets
from g3d.data.scannet.point_features import FILE, MULTIVIEW, rows_fingerprint, write_features
from g3d.data.scannet.scenes import read_scene
from g3d.prepare.scene_sentences import SentenceOptions, prepare_sentences
from g3d.systems.base import get_system
from support.detectors import draw_weights
from support.sentence_world import nr3d_rows, scanrefer_world, write_glove, write_nr3d

DETECTORS = ("groupfree", "votenet")
PRESETS = {"groupfree": "ws3dvg", "votenet": "ws3dvg-votenet"}
CHANNELS = 4
"""Image features of a point."""
_DETECTOR = (
    "data.points=512",
    "model.proposals=16",
    "model.width=0.125",
    "model.samples=[128, 64, 32, 16]",
)
_MICRO = (
    *_DETECTOR,
    "data.sentences=4",
    f"model.view_features={CHANNELS}",
    "model.word_channels=0",
    "model.candidates=4",
    "model.teacher_layers=1",
    "train.batch=2",
    "train.epochs=2",
    "train.workers=0",
    "train.eval_epochs=0",
    "train.log_steps=1",
    "train.checkpoint_epochs=100",
)
_OWN = {
    "groupfree": ("model.channels=32", "model.heads=4", "model.decoder_layers=2", "model.feedforward=64"),
    "votenet": ("model.channels=16", "model.heads=4"),
}


def grounding_world(root: Path) -> Path:
    """Make and prepare scans with image features and ScanRefer sentences; return the folder of the sentences."""
    data = scanrefer_world(root)
    write_glove(root / "glove.p")
    prepare_sentences("scanrefer", data)
    features_of_scans(root)
    return data


def features_of_scans(root: Path) -> None:
    """Write drawn image features of the prepared scans of a world."""
    for folder in sorted((root / "scannet" / "g3d" / "scenes").iterdir()):
        if not folder.is_dir():
            continue
        scene = read_scene(folder, "vertices", "rows")
        points = np.asarray(scene.vertices if scene.rows is None else scene.vertices[scene.rows])
        target = root / "scannet" / "g3d" / MULTIVIEW / folder.name
        target.mkdir(parents=True, exist_ok=True)
        drawn = np.random.default_rng(len(points)).normal(size=(len(points), CHANNELS))
        write_features(target / FILE, folder.name, drawn, rows_fingerprint(points), {})


def nr3d_world(root: Path) -> Path:
    """Add Nr3D sentences about the scans of a world; return their folder."""
    folder = write_nr3d(root, nr3d_rows(root), [])
    prepare_sentences("referit3d", folder, options=SentenceOptions(vectors=root / "glove.p"))
    return folder


def micro_grounder(detector: str, *settings: str) -> list[str]:
    """Return `--set` arguments of the micro network, then others."""
    return [part for setting in (*_MICRO, *_OWN[detector], *settings) for part in ("--set", setting)]


def micro_detector_of(detector: str) -> list[str]:
    """Return `--set` arguments by which a detector is that of `micro_grounder`."""
    own = {
        "groupfree": (*_OWN["groupfree"], "model.dropout=0.1"),
        "votenet": ("model.channels=32",),  # of seeds; proposals have half as many
    }
    rest = ("optim.decay_epochs=[]", "train.batch=2", "train.epochs=1", "train.checkpoint_epochs=100")
    return [part for setting in (*_DETECTOR, *own[detector], *rest) for part in ("--set", setting)]


def published_detector(detector: str, file: Path) -> Path:
    """Write a checkpoint of the micro detector with drawn weights, as its published trainer does; return the file."""
    chosen = presets.load(f"{detector}-tiny", micro_detector_of(detector)[1::2])
    torch.manual_seed(0)
    model = get_system(detector).build(chosen)
    draw_weights(model, 0)
    for name, bias in model.named_parameters():
        if name.endswith("objectness_scores_head.bias"):
            bias.data += 5  # most proposals are objects
        elif name == "pnet.conv3.bias":
            bias.data[1] += 5
    key, prefix = {"groupfree": ("model", "module."), "votenet": ("model_state_dict", "")}[detector]
    state = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save({key: state, "epoch": 1}, file)
    return file


def steps(run: Path) -> list[dict[str, float]]:
    """Return the losses of each step of a run."""
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
