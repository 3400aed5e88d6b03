"""Output of the command line: errors and progress on stderr, tables and JSON on stdout.

Texts may contain names and sentences from data. Control characters are therefore escaped (g3d.names.shown), and no text
is interpreted as Rich markup.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import typer

from g3d.names import shown

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    from g3d.config import Published
    from g3d.errors import G3DError
    from g3d.metrics.table import Table
    from g3d.progress import Progress

_quiet = False
_shown: Progress | None = None


def set_up(quiet: bool, verbose: bool) -> None:
    """Send the log to stderr. Under torchrun or SLURM, all processes but the first log only warnings and errors."""
    global _quiet
    first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    _quiet = quiet or not first
    handler = _Stderr()
    handler.setFormatter(_Safe("%(message)s"))
    logger = logging.getLogger("g3d")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if _quiet else logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


class _Safe(logging.Formatter):
    """Formatter that escapes the control characters of messages and tracebacks; tracebacks keep their line feeds."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return shown(super().formatException(ei), lines=True)


class _Stderr(logging.StreamHandler):
    """Handler that looks up sys.stderr for each record, since a progress bar replaces it to show lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def error(problem: G3DError) -> None:
    """Write `error: <message>` to stderr, and the hint below it."""
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(shown(problem.message), err=True)
    if problem.hint:
        typer.echo(f"       {shown(problem.hint)}", err=True)


def show_traceback(problem: BaseException) -> None:
    """Write an exception's traceback, and those of its causes, to stderr."""
    typer.echo(shown("".join(traceback.format_exception(problem)), lines=True), err=True, nl=False)


def say(text: str) -> None:
    """Write a line for the user to stderr, unless the command is quiet."""
    if not _quiet:
        typer.echo(shown(text), err=True)


def show(text: str) -> None:
    """Write a line of the result to stdout."""
    typer.echo(shown(text))


def emit(value: Any) -> None:
    """Write a result as JSON to stdout."""
    typer.echo(json.dumps(value, indent=2))


def show_table(table: Table, published: Published | None = None, split: str = "") -> None:
    """Print the table of an evaluation, its notes, and the published figures beside the measured ones.

    Args:
        table: the result of the evaluation.
        published: the published results of the preset; None if there are none.
        split: the evaluated split, which selects the published results.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, 96))  # a narrower one would cut digits off
    figures = RichTable(title=_text(table.title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    figures.add_column("", no_wrap=True)
    for column in table.columns:
        figures.add_column(_text(column), justify="right", no_wrap=True)
    group = ""
    for row in table.rows:
        if row.group != group and group:
            figures.add_section()
        group = row.group
        values = ("-" if value is None else f"{value:.{table.digits}f}" for value in row.values)
        figures.add_row(_text(row.label), *values)
    console.print(figures)
    for note in table.notes:
        console.print(_text(f"note: {note}"))
    expected = published.results.get(split, {}) if published else {}
    if published and expected:
        beside = RichTable(title=_text(f"published: {published.source}", "bold"), title_justify="left")
        for column in ("metric", "measured", "published", "difference"):
            beside.add_column(column, justify="left" if column == "metric" else "right")
        for name, value in expected.items():
            measured = table.metrics.get(name)
            gained = (
                (f"{measured:.2f}", f"{value:.2f}", f"{measured - value:+.2f}")
                if measured is not None
                else ("-", f"{value:.2f}", "-")
            )
            beside.add_row(_text(name), *gained)
        console.print(beside)


def _text(text: str, style: str = "") -> Text:
    """Return a text for Rich without markup, with control characters escaped."""
    from rich.text import Text

    return Text(shown(text), style)


def table_json(table: Table | None, published: Published | None, split: str) -> dict[str, Any]:
    """Return the content of `show_table` for JSON. Without a table, title and metrics are null and a note says why."""
    return {
        "schema": 1,
        "title": table.title if table else None,
        "split": split,
        "metrics": table.metrics if table else None,
        "published": {"source": published.source, "metrics": published.results.get(split, {})} if published else None,
        "notes": list(table.notes) if table else [f"split {split} has no labels: no figures"],
    }


def progress() -> Progress:
    """Return the progress display of this command.

    It is a bar with rate and remaining time on stderr, or plain lines if stderr is not a terminal. It is silent with
    `--quiet` and in all processes but the first.
    """
    from g3d.progress import Silent

    global _shown
    _shown = Silent() if _quiet else _Bar() if sys.stderr.isatty() else _Lines()
    return _shown


def end_progress() -> None:
    """Remove a progress bar that an error has left, since the terminal's cursor is hidden while a bar is shown."""
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
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), redirect_stdout=False)  # stdout is for results
        self._bar.start()
        self._task = self._bar.add_task(shown(label), total=total, completed=done, note="", rate="")

    def advance(self, count: int = 1, note: str = "") -> None:
        if self._bar:
            speed = self._bar.tasks[0].speed
            self._bar.update(self._task, advance=count, note=shown(note), rate=f"{speed:.1f}/s" if speed else "")

    def end(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


class _Lines:
    """Progress display for logs: one line every ten percent."""

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
