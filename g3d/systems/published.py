"""How every system loads published checkpoints: strictly. Each entry is loaded, or the report says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from g3d.errors import InputError
from g3d.systems.base import ImportReport

_AT_MOST = 8  # names of a kind in one message


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """What is wrong with a file's content is said with its name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error.message}", error.hint) from None


def state_dict_of(checkpoint: Mapping[str, Any], key: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without the prefix of a data-parallel wrapper.

    Args:
        checkpoint: as `torch.load` gives it: with the state dict under `key`, or the state dict alone.

    Raises:
        InputError: there is no state dict.
    """
    state = checkpoint.get(key, checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        found = f"keys {listed(map(str, checkpoint))}" if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise InputError(f"checkpoint: expected a state dict, or one under {key!r}; found {found}")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_published(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    ignored: Mapping[str, str] | None = None,
    fresh: Mapping[str, str] | None = None,
    our_name: Callable[[str], str] = str,
) -> ImportReport:
    """Load published weights; the module changes only if everything fits.

    Args:
        state: published name -> value.
        source: what the file is, for messages.
        ignored: published name -> why it is not loaded.
        fresh: our name -> why it keeps its value.
        our_name: published name -> our name.

    Raises:
        InputError: entries are missing, unknown or of another shape: the first ones are listed.
    """
    ignored, fresh = dict(ignored or {}), dict(fresh or {})
    own = module.state_dict()
    names = {name: our_name(name) for name in state if name not in ignored}
    given = {our: state[name] for name, our in names.items()}
    missing = [our for our in own if our not in given and our not in fresh and not our.endswith("num_batches_tracked")]
    unknown = [name for name, our in names.items() if our not in own]
    twice = [name for name, our in names.items() if given[our] is not state[name]]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[our].shape)}"
        for name, our in names.items()
        if our in own and state[name].shape != own[our].shape
    ]
    said = [
        f"{what}: {listed(entries)}"
        for what, entries in (
            ("missing", missing),
            ("unknown", unknown),
            ("given twice", twice),
            ("of another shape", shapes),
        )
        if entries
    ]
    if said:
        raise InputError(
            f"{source} does not fit this model: entries {'; '.join(said)}", "was it made with another system or preset?"
        )
    counters = {
        our: "a counter that older PyTorch did not store" for our in own if our not in given and our not in fresh
    }
    module.load_state_dict(own | given)  # strict: what the file lacks keeps its own value, as the report says
    return ImportReport(
        tuple(names), ignored, {our: why for our, why in (fresh | counters).items() if our not in given}
    )


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - _AT_MOST} more" if len(names) > _AT_MOST else ""
    return ", ".join(names[:_AT_MOST]) + rest
