"""Prepared made scans and micro detectors: a training run on them takes a second."""

from __future__ import annotations

from pathlib import Path

from g3d.data.scannet.folder import ScanFolder
from g3d.prepare.runner import prepare
from g3d.prepare.scannet import SCENES, ScanNetSettings, chosen_scenes, scannet_items, scannet_recipe
from support.scans import draw_scans

SYSTEMS = ("groupfree", "votenet")
_MICRO = (
    "data.points=512",
    "model.proposals=16",
    "model.channels=32",
    "model.width=0.125",
    "model.samples=[128, 64, 32, 16]",
    "optim.schedule=step",
    "train.batch=2",
    "train.epochs=2",
    "train.log_steps=1",
    "train.checkpoint_epochs=100",
)
_OWN = {
    "groupfree": ("model.decoder_layers=2", "model.heads=4", "model.feedforward=64", "model.dropout=0.1"),
    "votenet": ("optim.norm_momentum.epochs=1",),
}


def prepared_scans(root: Path, count: int = 6) -> Path:
    """Draw and prepare scans, the first half for training; return their folder."""
    draw_scans(root, count)
    folder = ScanFolder(root)
    items = scannet_items(folder, chosen_scenes(folder, (), ()))
    done = prepare(scannet_recipe(folder, ScanNetSettings()), items, root / "g3d" / SCENES, 1)
    assert not done.broken
    return root


def micro_detector(system: str, *settings: str) -> list[str]:
    """Return `--set` arguments of the micro network, then others."""
    return [part for setting in (*_MICRO, *_OWN[system], *settings) for part in ("--set", setting)]
