"""How long work reports that it goes on. Libraries call it; only the command line draws it (on stderr)."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One task at a time: begin, advance as often as there is news, end."""

    def begin(self, label: str, total: int, done: int = 0) -> None: ...

    def advance(self, count: int = 1, note: str = "") -> None: ...

    def end(self) -> None: ...


class Silent:
    """Reports nothing."""

    def begin(self, label: str, total: int, done: int = 0) -> None:
        pass

    def advance(self, count: int = 1, note: str = "") -> None:
        pass

    def end(self) -> None:
        pass
