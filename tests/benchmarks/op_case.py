"""A case of the operators' benchmarks: one operator at one size, beside its peers and its physical bound."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setting:
    """The device and the size at which the cases run.

    Args:
        device: device of the inputs.
        shrink: every size is divided by this; 1 for the sizes of the published systems.
        peers: whether to build the peers, which read arrays in CPU memory.
    """

    device: str = "cpu"
    shrink: int = 1
    peers: bool = True

    def size(self, count: int) -> int:
        """Return `count` divided by the setting's factor, at least 1."""
        return max(1, count // self.shrink)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Args:
        name: operator and size.
        ours: calls g3d's operator once; inputs are made beforehand.
        flops: arithmetic that any implementation must do.
        bytes: compulsory traffic to and from memory, each input and output once.
        target_ms: the time that the operator has to reach on one thread of the reference machine; None where there is
            no target.
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


@dataclass
class Peers:
    """Collect the peers of a case. Nothing is imported where the setting asks for no peers."""

    at: Setting = Setting()
    calls: dict[str, Callable[[], Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, module: str, make: Callable[[Any], Callable[[], Any]]) -> None:
        """Add the peer that `make` builds from an imported module, or note why it is missing."""
        if not self.at.peers:
            return
        try:
            self.calls[name] = make(importlib.import_module(module))
        except (ImportError, OSError) as error:
            self.missing[name] = str(error).splitlines()[0]
