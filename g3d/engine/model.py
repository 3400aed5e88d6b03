"""Load a trained model from a run directory, a g3d checkpoint or a published checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from g3d import config as presets
from g3d.engine import checkpoint, session
from g3d.errors import InputError
from g3d.nn.weights import errors_name, load_weights
from g3d.systems.base import ImportReport, System, get_system

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready to predict, and its origin.

    Attributes:
        system: the system of the network.
        config: the resolved config.
        model: the network in evaluation mode, on `device`.
        device: the device of the network.
        checkpoint: the checkpoint file.
        run: the run directory that the checkpoint lies in; None if it lies elsewhere.
        data: the folder of the data set that the model was trained on; None if the checkpoint does not name one.
        report: report of the import of a published checkpoint; None for a g3d checkpoint.
    """

    system: System
    config: Any
    model: nn.Module
    device: torch.device
    checkpoint: Path
    run: Path | None
    data: Path | None
    report: ImportReport | None


def load_model(
    where: Path, device: torch.device, preset: str | None = None, overrides: Sequence[str] = ()
) -> LoadedModel:
    """Load a model for prediction.

    Args:
        where: a run directory, a g3d checkpoint, or a checkpoint of the published code.
        device: the device to place the model on.
        preset: required for a published checkpoint; for a g3d checkpoint it replaces the config in the file.
        overrides: `a.b=c` settings.

    Raises:
        InputError: the file cannot be used, belongs to another system than the preset, or does not fit the config.
        MissingDataError: there is no such file.
    """
    path = checkpoint.locate(where)
    content = checkpoint.read_raw(path)
    given = presets.load(preset, overrides) if preset else None
    if not checkpoint.is_ours(content):
        if given is None:
            raise InputError(
                f"checkpoint {path}: not written by g3d",
                "for a published checkpoint say of which preset: --preset NAME",
            )
        system = get_system(given.system)
        model = system.build(given)
        with errors_name(path):
            report = system.import_official(content, model, given)
        for line in report.lines():
            log.info("%s: %s", path.name, line)
        return _ready(system, given, model, device, path, None, report)
    if given is not None and given.system != content.get("system"):
        raise InputError(
            f"checkpoint {path}: of system {content.get('system')}, but preset {preset} is of system {given.system}"
        )
    saved = checkpoint.parse(content, path, tuple(overrides))
    system = get_system(saved.config.system)
    config = presets.with_settings_of(given, saved.config, system.resolved) if given else saved.config
    checkpoint.check_unchanged(system.carried, saved.written, config, path)
    model = system.build(config)
    load_strictly(model, saved.model, path)
    return _ready(system, config, model, device, path, saved.training.get("data"), None)


def load_strictly(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load the weights of a g3d checkpoint. Every entry of the model must be in `state`.

    Raises:
        InputError: entries do not fit; the message names the first ones of each kind.
    """
    load_weights(model, state, f"checkpoint {path}", counters=True, hint="it was made with other model settings")


def _ready(
    system: System,
    config: Any,
    model: nn.Module,
    device: torch.device,
    path: Path,
    data: str | None,
    report: ImportReport | None,
) -> LoadedModel:
    model = session.place(model, config.train, device, system.layout(config)).eval()
    return LoadedModel(
        system, config, model, device, path, checkpoint.run_of(path), Path(data) if data else None, report
    )
