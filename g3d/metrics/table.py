"""The result of an evaluation: a table to print, and the same numbers by fixed names."""

from __future__ import annotations

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
