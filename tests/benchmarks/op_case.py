"""What the operators' benchmark runs: one operator at one size, beside its peers and its physical bound."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Args:
        name: operator and size.
        ours: calls g3d's operator once; inputs are made beforehand.
        flops: arithmetic that any implementation must do.
        bytes: compulsory traffic to and from memory, each input and output once.
        target_ms: what the operator has to reach on one thread of the reference machine; None where nothing was
            promised.
        peers: name and version -> a call on the same input.
        missing: peers that are not installed, with the reason.
    """

    name: str
    ours: Callable[[], Any]
    flops: float
    bytes: float
    target_ms: float | None = None
    peers: dict[str, Callable[[], Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def peer(
    case_peers: dict[str, Callable[[], Any]],
    missing: dict[str, str],
    name: str,
    module: str,
    make: Callable[[Any], Callable[[], Any]],
) -> None:
    """Add the peer that `make` builds from an imported module, or note why it is missing."""
    try:
        case_peers[name] = make(importlib.import_module(module))
    except (ImportError, OSError) as error:
        missing[name] = str(error).splitlines()[0]
