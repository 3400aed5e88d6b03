"""A trained model from a run, a checkpoint of ours, or a published file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from g3d import config as presets
from g3d.engine import checkpoint, session
from g3d.errors import InputError
from g3d.systems.base import ImportReport, System, get_system
from g3d.systems.published import errors_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to predict, and where it came from.

    Attributes:
        system, config: what it is.
        model: in evaluation mode, on `device`.
        checkpoint: the file.
        run: its run directory, if it lies in one.
        data: the data set it was trained on, if the checkpoint says so.
        report: what was taken from a published file; None for our own.
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
    """Load a model to predict with.

    Args:
        where: a run directory, or a checkpoint file of ours or of the published code.
        preset: needed for a published file; for our own it replaces the config inside.
        overrides: `a.b=c` settings.

    Raises:
        InputError: the file cannot be used, is of another system, or does not fit the config.
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
    config = given or saved.config
    system = get_system(config.system)
    checkpoint.check_unchanged(system.carried, saved.written, config, path)
    model = system.build(config)
    load_strictly(model, saved.model, path)
    return _ready(system, config, model, device, path, saved.training.get("data"), None)


def load_strictly(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load a state dict whose names and shapes must all fit; extra state (a tokenizer, say) may have any size.

    Raises:
        InputError: they do not; says how many, and the first of each kind.
    """
    own = model.state_dict()
    problems = []
    for what, names in (("missing", own.keys() - state.keys()), ("unexpected", state.keys() - own.keys())):
        if names:
            problems.append(f"{len(names)} {what} in {_parts(names)} (first: {min(names)})")
    weights = [name for name in own.keys() & state.keys() if not name.endswith("_extra_state")]
    shapes = [name for name in weights if own[name].shape != state[name].shape]
    if shapes:
        name = min(shapes)
        problems.append(
            f"{len(shapes)} of another shape in {_parts(shapes)} "
            f"(first: {name}, found {tuple(state[name].shape)}, expected {tuple(own[name].shape)})"
        )
    if problems:
        raise InputError(
            f"checkpoint {path}: does not fit the config: {'; '.join(problems)}",
            "it was made with other model settings",
        )
    try:
        model.load_state_dict(state)
    except InputError as error:  # of a module's extra state
        raise InputError(f"checkpoint {path}: {error.message}", error.hint) from None


def _parts(names: Iterable[str]) -> str:
    """The network's parts that entries belong to."""
    return ", ".join(sorted({name.partition(".")[0] for name in names}))


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
