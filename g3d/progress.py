"""Progress reports of long work. Library code calls them; only the command line displays them, on stderr."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress reports about one task at a time: `begin`, any number of `advance`, then `end`."""

    def begin(self, label: str, total: int, done: int = 0) -> None: ...

    def advance(self, count: int = 1, note: str = "") -> None: ...

    def end(self) -> None: ...


class Silent:
    """A Progress that ignores all reports."""

    def begin(self, label: str, total: int, done: int = 0) -> None:
        pass

    def advance(self, count: int = 1, note: str = "") -> None:
        pass

    def end(self) -> None:
        pass
