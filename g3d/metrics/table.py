"""The result of an evaluation: a table to print, and the same numbers by fixed names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: text of the first column.
        values: one value per column; None if the figure does not exist.
        group: consecutive rows of one group form a section of the table.
    """

    label: str
    values: tuple[float | None, ...]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table of figures.

    Attributes:
        title: title of the table.
        columns: column names.
        rows: the rows.
        metrics: every figure by its fixed name.
        notes: sentences that explain the figures.
        digits: number of digits after the decimal point.
        score: the checkpoint with the highest score is the best one of a run; without a score there is no best one.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    digits: int = 2
    score: float | None = None


def mean_table(tables: Sequence[Table]) -> Table:
    """Return the mean of several evaluations of the same samples, with the best of them beside it.

    Scene systems draw points at random and are evaluated several times; papers state the mean, the best, or both.

    Args:
        tables: tables with the same rows, columns and metrics.

    Returns:
        One table: the only one, or the means, with the largest value of each metric as `best_<metric>`.

    Raises:
        ValueError: there is no table, or the rows differ.
    """
    if not tables or any([row.label for row in t.rows] != [row.label for row in tables[0].rows] for t in tables):
        raise ValueError("mean_table: expected tables with the same rows")
    first, count = tables[0], len(tables)
    if count == 1:
        return first
    rows = tuple(
        Row(row.label, tuple(_mean([t.rows[k].values[c] for t in tables]) for c in range(len(row.values))), row.group)
        for k, row in enumerate(first.rows)
    )
    metrics = {name: sum(t.metrics[name] for t in tables) / count for name in first.metrics}
    best = {f"best_{name}": max(t.metrics[name] for t in tables) for name in first.metrics}
    scores = [t.score for t in tables if t.score is not None]
    spread = f"; their score was {min(scores):.2f} to {max(scores):.2f}" if scores else ""
    notes = (*first.notes, f"mean of {count} evaluations with other random draws{spread}.")
    title, score = f"{first.title}, mean of {count} evaluations", _mean([t.score for t in tables])
    return Table(title, first.columns, rows, metrics | best, notes, first.digits, score)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of values; None if one of them does not exist."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None
