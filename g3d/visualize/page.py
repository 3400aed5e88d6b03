"""Framework of the result pages: items, figures and notes in one self-contained HTML file.

The two views, images (image_page.py) and scenes (scene_page.py), each add their own data and scripts in assets/.
Every item is a JSON object with these fields:
    name: unique, part of the item's address (#item=...); expression: sentence or null;
    group: number of its image or scene; measure, bound, iou, right: see verdict.py;
    predictions and truth: lists of objects, truth is null if it is unknown.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from g3d.data.files import atomic_write
from g3d.errors import InputError
from g3d.metrics.table import Row, Table
from g3d.visualize.assemble import asset, fill, json_for_script
from g3d.visualize.verdict import Verdict

View = Literal["image", "scene"]
MAX_MEGABYTES = 19.0
"""Limit on the size of a page's items; with scripts and styles (0.7 MB) a page stays below 20 MB."""
_SCRIPTS: dict[View, tuple[str, ...]] = {
    "image": ("space.js", "image.js"),
    "scene": ("space.js", "signs.js", "room.js", "scene.js"),
}


@dataclass(frozen=True)
class PageTexts:
    """The parts of a page that do not depend on its view.

    Attributes:
        title: heading of the page.
        threshold: initial minimum score of shown objects; the best answer to a sentence is always shown.
        table: figures to show below the items.
        comparison: a name ("untrained") and a table of the same columns whose rows are shown under those of `table`.
        notes: sentences for the foot of the page.
        labels_only: True if there are no predictions; the page then mentions labels instead of missing detections.
    """

    title: str
    threshold: float = 0.3
    table: Table | None = None
    comparison: tuple[str, Table] | None = None
    notes: Sequence[str] = field(default=())
    labels_only: bool = False


def write_page(path: Path | str, view: View, texts: PageTexts, items: Sequence[str], data: Mapping[str, Any]) -> Path:
    """Write a self-contained page, which opens from disk in any current browser.

    Args:
        path: the .html file; it is written atomically and unchanged after an error.
        view: name of the script that draws the items.
        texts: title, notes and figures.
        items: the items as JSON texts that are safe inside a <script> (see assemble.json_for_script).
        data: further data of the view, JSON-serialisable; its strings may be large.

    Raises:
        InputError: the comparison has other columns than the table.
        EnvironmentProblem: the file cannot be written.
    """
    head = {
        "title": texts.title,
        "view": view,
        "notes": list(texts.notes),
        "threshold": texts.threshold,
        "labels_only": texts.labels_only,
        "table": None if texts.table is None else _table(texts.table, texts.comparison),
        **data,
    }
    scripts = ("three.bundle.min.js", "page.js", "objects.js", *_SCRIPTS[view])
    text = json_for_script(head)
    parts = {
        "title": html.escape(texts.title),
        "style": asset("page.css"),
        "data": f'{text[:-1]},"items":[{",".join(items)}]}}',
        "scripts": "\n".join(f"<script>\n{asset(name)}</script>" for name in scripts),
    }
    with atomic_write(path) as file:
        file.write(fill("page.html", parts).encode())
    return Path(path)


def check_names(path: Path | str, names: Sequence[str], word: str) -> None:
    """Check that a page has items and that their names are unique.

    Raises:
        InputError: there are no items, or two items have the same name.
    """
    if not names:
        raise InputError(f"{path}: no {word}s to show")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two {word}s are called {next(name for name in names if names.count(name) > 1)!r}")


def left_out_note(left_out: int, total: int, word: str, megabytes: float) -> str:
    """Return a sentence with the number of items that a page leaves out to stay within its size limit."""
    return f"{left_out:,} of {total:,} {word}s were left out, to keep the content of this page below {megabytes:g} MB."


def item_fields(name: str, expression: str | None, group: int, verdict: Verdict) -> dict[str, Any]:
    """Return the fields that the items of all views share."""
    iou = None if verdict.iou is None else float(np.round(verdict.iou, 4))
    return {
        "name": name,
        "expression": expression,
        "group": group,
        "measure": verdict.measure,
        "bound": verdict.bound,
        "iou": iou,
        "right": verdict.right,
    }


def _table(table: Table, comparison: tuple[str, Table] | None) -> dict[str, Any]:
    """Return each row as lines: the measured figures, then the figures of the comparison if it has that row."""
    other: dict[tuple[str, str], Row] = {}
    if comparison is not None:
        if comparison[1].columns != table.columns:
            raise InputError(
                f"table {comparison[1].title!r}: found columns {comparison[1].columns}, expected {table.columns}"
            )
        other = {(row.group, row.label): row for row in comparison[1].rows}
    rows = []
    for row in table.rows:
        lines = [{"name": "measured", "values": _figures(row.values)}]
        if comparison is not None and (row.group, row.label) in other:
            lines.append({"name": comparison[0], "values": _figures(other[row.group, row.label].values)})
        rows.append({"group": row.group, "label": row.label, "lines": lines})
    return {"title": table.title, "columns": table.columns, "rows": rows, "notes": table.notes}


def _figures(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None or not np.isfinite(value) else float(value) for value in values]
