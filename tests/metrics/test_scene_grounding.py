"""Accuracy of boxes for sentences about scenes: figures worked out by hand, and what the notes state."""

from __future__ import annotations

import numpy as np
import pytest

from g3d.data.answers import SceneBoxes
from g3d.metrics.scene_grounding import (
    Overlaps,
    accuracies,
    answer_overlaps,
    candidate_accuracies,
    chosen_candidates,
    scene_grounding_table,
)


def boxes(*shifts: float, ids: tuple[int, ...] | None = None, yaw: float = 0.0) -> SceneBoxes:
    """Return unit cubes whose centres are moved along x."""
    count = len(shifts)
    centers = np.array([[shift, 0.0, 0.0] for shift in shifts]).reshape(-1, 3)
    named = np.array(ids if ids is not None else [-1] * count, np.int64)
    return SceneBoxes(
        np.array(["box"] * count, np.str_), centers, np.ones((count, 3)), np.full(count, yaw), named, np.ones(count)
    )


def test_the_first_answer_counts_and_the_best_of_the_top_ones() -> None:
    found = [boxes(0.5, 0.0, 9.0), boxes(9.0, 8.0, 7.0, 0.0), boxes(), boxes(0.0)]
    overlaps = answer_overlaps(found, [boxes(0.0)] * 3 + [None], top=3)
    assert overlaps.first == pytest.approx([1 / 3, 0, 0, 0])
    assert overlaps.best == pytest.approx([1, 0, 0, 0])
    assert (overlaps.unanswered, overlaps.without_truth, overlaps.right) == (1, 1, None)


def test_turned_boxes_have_the_rotated_overlap() -> None:
    turned = answer_overlaps([boxes(0.0, yaw=np.pi / 4)], [boxes(0.0)]).first[0]
    inter = 2 * (np.sqrt(2) - 1)  # a regular octagon
    assert turned == pytest.approx(inter / (2 - inter))


def test_ids_tell_the_right_object() -> None:
    found = [boxes(0.0, 1.0, ids=(5, 6)), boxes(0.0, ids=(7,)), boxes()]
    truth = [boxes(0.0, ids=(5,)), boxes(0.0, ids=(5,)), boxes(0.0, ids=(5,))]
    right = answer_overlaps(found, truth).right
    assert right is not None
    assert right.tolist() == [True, False, False]


def test_the_bounds_belong_to_the_right_answers() -> None:
    iou = np.array([0.25, 0.5, 0.2499, 1.0])
    unique, first = np.array([True, True, False, False]), np.array([True, False, True, False])
    shares, counts = accuracies((iou, np.ones(4)), {"unique": unique, "multiple": ~unique}, {"a": first, "b": ~first})
    assert counts.tolist() == [[1, 1, 2], [1, 1, 2], [2, 2, 4]]
    assert shares[0, 2].tolist() == [1, 0.5, 1, 1]
    assert shares[1, 0].tolist() == [0, 0, 1, 1]
    assert shares[2, 2].tolist() == [0.75, 0.5, 1, 1]


def test_the_table_has_every_group_and_states_the_counts() -> None:
    iou = np.array([0.3, 0.6, 0.1])
    unique = np.array([True, False, False])
    none = np.zeros(3, bool)
    table = scene_grounding_table(
        Overlaps(iou, np.array([0.3, 0.6, 0.5]), 3, np.array([True, False, False]), 1, 2),
        {"unique": unique, "multiple": ~unique},
        {"not in others": ~none, "in others": none},
        "made",
        ("filters: none.",),
    )
    assert table.title == "3D visual grounding, made, 3 sentences"
    assert [row.label for row in table.rows[:4]] == ["unique", "multiple", "overall", "unique, not in others"]
    assert table.metrics["unique_acc25"] == 100
    assert table.metrics["multiple_acc25"] == 50
    assert table.metrics["overall_acc50"] == pytest.approx(100 / 3)
    assert table.metrics["multiple_top3_acc50"] == 100
    assert table.metrics["overall_right"] == pytest.approx(100 / 3)
    assert table.metrics["overall_not_in_others_acc25"] == table.metrics["overall_acc25"]
    assert "overall_in_others_acc25" not in table.metrics
    assert table.rows[-1].values == (None,) * 5
    assert table.score == pytest.approx(100 * (1 + 2 / 3 + 1 / 3) / 3)
    assert table.notes[0] == "filters: none."
    assert "unique, in others 0" in table.notes[1]
    assert "without an answer, which counts as an IoU of 0: 1." in table.notes[2]
    assert "every answer counts as wrong: 2." in table.notes[3]


def test_padding_is_never_chosen_and_empty_groups_have_no_figure() -> None:
    logits = np.array([[1.0, 2.0, 9.0], [-3.0, -4.0, 0.0]])
    real = np.array([[True, True, False], [True, True, False]])
    assert chosen_candidates(logits, real).tolist() == [1, 0]
    right = np.array([True, False])
    figures = candidate_accuracies(right, np.array([True, True]), np.zeros(2, bool), np.array([True, False]))
    assert figures[1:].tolist() == [50, 100, 0, 50, 100]
    assert np.isnan(figures[0])


def test_sequences_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a truth for each of 1 sentences, found 2"):
        answer_overlaps([boxes(0.0)], [None, None])
    with pytest.raises(ValueError, match=r"truth\[0\]: expected one box, found 2"):
        answer_overlaps([boxes(0.0)], [boxes(0.0, 1.0)])
