"""What a person or a program sees: errors and progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from g3d.config import Published
    from g3d.errors import G3DError
    from g3d.metrics.table import Table
    from g3d.progress import Progress

_quiet = False
_shown: Progress | None = None


def set_up(quiet: bool, verbose: bool) -> None:
    """Send the log to stderr. Under torchrun or SLURM only the first process says more than warnings."""
    global _quiet
    first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    _quiet = quiet or not first
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("g3d")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if _quiet else logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


class _Stderr(logging.StreamHandler):
    """Writes to what sys.stderr is at the time: a progress bar puts itself there to keep lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def error(problem: G3DError) -> None:
    """`error: what is wrong`, and below it what to do."""
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(problem.message, err=True)
    if problem.hint:
        typer.echo(f"       {problem.hint}", err=True)


def say(text: str) -> None:
    """A line for the person at the terminal: stderr."""
    if not _quiet:
        typer.echo(text, err=True)


def emit(value: Any) -> None:
    """A result for a program: JSON on stdout."""
    typer.echo(json.dumps(value, indent=2))


def show_table(table: Table, published: Published | None = None, split: str = "") -> None:
    """An evaluation's table, its notes, and the published figures beside the measured ones."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, 96))  # a narrower one would cut digits off
    shown = RichTable(title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in table.columns:
        shown.add_column(column, justify="right", no_wrap=True)
    group = ""
    for row in table.rows:
        if row.group != group and group:
            shown.add_section()
        group = row.group
        shown.add_row(row.label, *("-" if value is None else f"{value:.{table.digits}f}" for value in row.values))
    console.print(shown)
    for note in table.notes:
        console.print(f"note: {note}")
    expected = published.results.get(split, {}) if published else {}
    if published and expected:
        beside = RichTable(title=f"published: {published.source}", title_justify="left", title_style="bold")
        for column in ("metric", "measured", "published", "difference"):
            beside.add_column(column, justify="left" if column == "metric" else "right")
        for name, value in expected.items():
            measured = table.metrics.get(name)
            gained = (
                (f"{measured:.2f}", f"{value:.2f}", f"{measured - value:+.2f}")
                if measured is not None
                else ("-", f"{value:.2f}", "-")
            )
            beside.add_row(name, *gained)
        console.print(beside)


def table_json(table: Table | None, published: Published | None, split: str) -> dict[str, Any]:
    """Return the same as data; without a table, the title and the metrics are null and a note says why."""
    return {
        "schema": 1,
        "title": table.title if table else None,
        "split": split,
        "metrics": table.metrics if table else None,
        "published": {"source": published.source, "metrics": published.results.get(split, {})} if published else None,
        "notes": list(table.notes) if table else [f"split {split} has no labels: no figures"],
    }


def progress() -> Progress:
    """A progress bar with rate and end time on stderr; nothing when quiet, plain lines where stderr is no terminal."""
    from g3d.progress import Silent

    global _shown
    _shown = Silent() if _quiet else _Bar() if sys.stderr.isatty() else _Lines()
    return _shown


def end_progress() -> None:
    """Take the bar away, if an error left one: it hides the terminal's cursor while it stands."""
    if _shown:
        _shown.end()


class _Bar:
    def __init__(self) -> None:
        self._bar: RichProgress | None = None

    def begin(self, label: str, total: int, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), redirect_stdout=False)  # stdout is for results
        self._bar.start()
        self._task = self._bar.add_task(label, total=total, completed=done, note="", rate="")

    def advance(self, count: int = 1, note: str = "") -> None:
        if self._bar:
            speed = self._bar.tasks[0].speed
            self._bar.update(self._task, advance=count, note=note, rate=f"{speed:.1f}/s" if speed else "")

    def end(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


class _Lines:
    """A line every ten percent, for logs."""

    def begin(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done = label, total, done
        self._next = 0.1

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        if self._total and self._done >= self._next * self._total:
            say(f"{self._label}: {self._done}/{self._total} {note}".rstrip())
            self._next = self._done / self._total + 0.1

    def end(self) -> None:
        pass
