"""The result of an evaluation: a table to print and the same numbers by stable names."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of a table; values are None where a figure does not exist. Rows of one group stand together."""

    label: str
    values: tuple[float | None, ...]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under columns, shown with so many digits after the point; `metrics` holds every figure by its stable name;
    `notes` are
    sentences a reader needs; the checkpoint with the highest `score` is a run's best one, without a score there is
    none."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    digits: int = 2
    score: float | None = None
