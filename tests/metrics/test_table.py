"""The mean of several evaluations."""

from __future__ import annotations

import pytest

from g3d.metrics.table import Row, Table, mean_table


def table(bed: float, sofa: float | None = None, label: str = "mean") -> Table:
    rows = (Row("bed", (bed,)), Row("sofa", (sofa,)), Row(label, (bed,)))
    return Table("3D detection", ("AP@0.25",), rows, {"mAP25": bed}, ("a note.",), score=bed)


def test_the_mean_of_evaluations_states_the_best_one() -> None:
    mean = mean_table([table(50.0), table(100.0)])
    assert mean.metrics == {"mAP25": 75.0, "best_mAP25": 100.0}
    assert mean.score == 75.0
    assert {row.label: row.values[0] for row in mean.rows} == {"bed": 75.0, "sofa": None, "mean": 75.0}
    assert mean.notes[0] == "a note."
    assert "mean of 2 evaluations" in mean.title
    assert "50.00 to 100.00" in mean.notes[-1]


def test_a_figure_that_one_evaluation_lacks_has_no_mean() -> None:
    assert mean_table([table(50.0, 10.0), table(60.0)]).rows[1].values == (None,)


def test_one_evaluation_is_its_own_mean() -> None:
    only = table(50.0)
    assert mean_table([only]) is only


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        mean_table([table(50.0), table(50.0, label="all")])
