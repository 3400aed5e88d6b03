"""Strict loading of weights: each entry of a file is loaded, or the report states why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g3d.errors import InputError
from g3d.nn.import_report import ImportReport

_AT_MOST = 8  # number of names of a kind in one message
_EXTRA = "_extra_state"  # the last part of a module's own state, which may have any size
_KINDS = (
    "missing",
    "unknown",
    "given twice",
    "no tensors",
    "of another shape",
    "of another kind of number",
    "not finite",
)
_COUNTER = "num_batches_tracked"


@contextmanager
def errors_name(path: Path | str) -> Iterator[None]:
    """Prefix input errors raised in this block with the file's path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from None


def state_dict_of(checkpoint: object, key: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without the prefix `module.` of a data-parallel wrapper.

    Args:
        checkpoint: the result of `torch.load`: with the state dict under `key`, or the state dict alone.
        key: name of the state dict's entry.

    Raises:
        InputError: there is no state dict, or it has a name both with and without the prefix.
    """
    state = checkpoint.get(key, checkpoint) if isinstance(checkpoint, Mapping) else {}
    entries = dict(state) if isinstance(state, Mapping) else {}
    if not entries or not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in entries.items()):
        found = type(checkpoint).__name__
        if isinstance(checkpoint, Mapping):
            found = f"keys {_listed(map(str, checkpoint))}"
        raise InputError(f"checkpoint: expected a state dict, or one under {key!r}; found {found}")
    result = {name.removeprefix("module."): value for name, value in entries.items()}
    if len(result) < len(entries):
        twice = next(name for name in entries if f"module.{name}" in entries)
        raise InputError(f"checkpoint: holds both {twice} and module.{twice}, expected one of them")
    return result


def load_weights(
    module: nn.Module,
    state: Mapping[str, Any],
    source: str,
    ignored: Mapping[str, str] | None = None,
    fresh: Mapping[str, str] | None = None,
    our_name: Callable[[str], str | None] = str,
    *,
    counters: bool = False,
    hint: str = "was it made with another system or preset?",
) -> ImportReport:
    """Load weights into a module; its weights change only if everything fits.

    Floating-point entries may be stored in any floating-point format; each must be finite in the module's own. Extra
    state of modules (a tokenizer, for example) may have any size.

    Args:
        module: the network, or a part of it.
        state: the file's name -> value.
        source: description of the file; begins the message.
        ignored: the file's name -> why it is not loaded.
        fresh: the module's name -> why it may be missing from the file and then keeps its value.
        our_name: the file's name -> the module's name; None for a name that has no counterpart.
        counters: whether the batch counters of batch norms must be in the file; older PyTorch did not store them.
        hint: ends the message.

    Raises:
        InputError: entries are missing, unknown, given twice, no tensors, of another shape, of another kind of number,
            or not finite; one line names the first ones of each kind.
    """
    ignored, fresh = dict(ignored or {}), dict(fresh or {})
    own = module.state_dict()
    given: dict[str, Any] = {}
    taken: dict[str, str] = {}
    problems: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for name, value in state.items():
        if name in ignored:
            continue
        ours = our_name(name)
        if ours is None or ours not in own:
            problems["unknown"].append(name)
        elif ours in given:
            problems["given twice"].append(f"{name} and {taken[ours]}")
        else:
            given[ours], taken[ours] = value, name
            if not ours.endswith(_EXTRA) and (misfit := _misfit(name, value, own[ours])):
                problems[misfit[0]].append(misfit[1])
    absent = [ours for ours in own if ours not in given and ours not in fresh]
    problems["missing"] = [ours for ours in absent if counters or not ours.endswith(_COUNTER)]
    if any(problems.values()):
        said = "; ".join(f"{kind}: {_listed(names)}" for kind, names in problems.items() if names)
        raise InputError(f"{source} does not fit this model: entries {said}", hint)
    try:
        module.load_state_dict(own | given)  # entries missing in the file keep their values, as reported
    except InputError as error:  # of a module's extra state
        raise InputError(f"{source}: {error.message}", error.hint) from None
    reasons = fresh | dict.fromkeys(absent, "a counter that older PyTorch did not store")
    return ImportReport(
        tuple(taken.values()), ignored, {ours: why for ours, why in reasons.items() if ours not in given}
    )


def _misfit(name: str, value: object, own: Tensor) -> tuple[str, str] | None:
    """Return the kind of problem and its description if a value cannot take the place of `own`, else None."""
    if not isinstance(value, Tensor):
        return "no tensors", f"{name} is {type(value).__name__}"
    if value.shape != own.shape:
        return "of another shape", f"{name} is {tuple(value.shape)}, expected {tuple(own.shape)}"
    if _number(value) != _number(own):
        return "of another kind of number", f"{name} is {_number(value)}, expected {_number(own)}"
    if own.is_floating_point():
        broken = int((~torch.isfinite(value.detach().to(own.dtype))).sum())
        if broken:
            return "not finite", f"{name} has {broken} of {value.numel()} values NaN or infinite"
    return None


def _number(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "floating point"
    if tensor.is_complex():
        return "complex"
    return "true or false" if tensor.dtype == torch.bool else "integer"


def _listed(names: Iterable[str]) -> str:
    """Return the first names, and the number of further ones."""
    names = list(names)
    rest = f" and {len(names) - _AT_MOST} more" if len(names) > _AT_MOST else ""
    return ", ".join(names[:_AT_MOST]) + rest
