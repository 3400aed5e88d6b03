"""Grounding accuracy: both overlaps, groups, thresholds, empty groups, answers that are not there."""

from __future__ import annotations

import numpy as np
import pytest

from g3d.data.types import CameraBoxes
from g3d.metrics.grounding import GROUPS, grounding_table, oriented_iou, published_iou

GROUPS_FILE: dict[str, set[int]] = {
    "Unique": {1},
    "Multiple": set(),
    "Near": {1, 2},
    "Medium": {2, 3},
    "Far": set(),
    "Easy": {1},
    "Moderate": {2},
    "Hard": {3},
}


def box(
    x: float = 0.0, y: float = 1.5, z: float = 20.0, hwl: tuple[float, float, float] = (1.5, 1.6, 4.0), yaw: float = 0.0
) -> CameraBoxes:
    values = np.array([[x, y, z]]), np.array([[*hwl]]), np.array([yaw])
    one = np.ones(1)
    return CameraBoxes(
        np.array(["car"]), np.zeros((1, 4)), values[1], values[0], values[2], one, one, np.ones(1, np.int64), one
    )


def row(objects: CameraBoxes) -> np.ndarray:
    return np.column_stack([objects.locations, objects.sizes, objects.rotation_y])


def test_published_overlap_lays_height_width_length_along_x_y_z() -> None:
    truth = row(box())
    assert published_iou(truth, truth)[0] == pytest.approx(1)
    moved = [box(x=0.5), box(y=2.0), box(z=20.5)]
    shares = [published_iou(row(objects), truth)[0] for objects in moved]
    extents = (1.5, 1.6, 4.0)
    np.testing.assert_allclose(shares, [(e - 0.5) / (e + 0.5) for e in extents])


def test_published_overlap_does_not_see_the_heading_and_the_oriented_does() -> None:
    truth, turned = row(box()), row(box(yaw=np.pi / 2))
    assert published_iou(turned, truth)[0] == pytest.approx(1)
    crossed = 1.6 * 1.6
    assert oriented_iou(turned, truth)[0] == pytest.approx(crossed / (2 * 1.6 * 4.0 - crossed))
    assert oriented_iou(row(box(yaw=np.pi)), truth)[0] == pytest.approx(1)


def test_boxes_without_extent_overlap_nothing() -> None:
    flat = row(box(hwl=(1.5, -1.6, 4.0)))
    assert published_iou(flat, flat)[0] == 0
    assert oriented_iou(flat, flat)[0] == 0


def test_thresholds_are_strict() -> None:
    half = box(hwl=(1.5, 1.6, 2.0))  # exactly half of the truth in both overlaps
    table = grounding_table([half], [box()], [1])
    assert table.metrics["Overall_iou"] == pytest.approx(50)
    assert (table.metrics["Overall_acc25"], table.metrics["Overall_acc50"]) == (100, 0)
    assert (table.metrics["Overall_oriented_acc25"], table.metrics["Overall_oriented_acc50"]) == (100, 0)


def test_groups_of_the_split_file() -> None:
    truth = [box()] * 5
    found = [box(), box(), box(x=50), box(), box(x=50)]
    table = grounding_table(found, truth, [1, 2, 2, 3, 9], GROUPS_FILE)
    accuracies = {name: table.metrics.get(f"{name}_acc50") for name in GROUPS}
    assert accuracies == {
        "Overall": 60,
        "Unique": 100,
        "Multiple": 50,
        "Near": pytest.approx(200 / 3),
        "Medium": 100,
        "Far": None,
        "Easy": 100,
        "Moderate": 50,
        "Hard": 100,
    }
    far = next(row for row in table.rows if row.label == "Far")
    assert set(far.values) == {None}
    assert [row.label for row in table.rows] == list(GROUPS)
    assert any("Overall 5, Unique 1, Multiple 4, Near 3, Medium 1, Far 0" in note for note in table.notes)
    assert sum("1 expression is in none of Near, Medium, Far" in note for note in table.notes) == 1


def test_a_split_that_the_group_file_does_not_know_has_overall_alone() -> None:
    for groups in (GROUPS_FILE, None):
        table = grounding_table([box()], [box()], [77], groups)
        assert [row.label for row in table.rows] == ["Overall"]
        assert set(table.metrics) == {
            f"Overall_{key}" for key in ("acc25", "acc50", "iou", "oriented_acc25", "oriented_acc50", "oriented_iou")
        }


def test_no_answer_is_no_overlap_and_of_several_the_first_counts() -> None:
    several = CameraBoxes(
        **{name: np.concatenate([getattr(box(x=50), name), getattr(box(), name)]) for name in vars(box())}
    )
    table = grounding_table([CameraBoxes.empty(scored=True), several, box()], [box()] * 3, [1, 2, 3])
    assert table.metrics["Overall_acc25"] == pytest.approx(100 / 3)
    assert any("1 expression has no predicted object" in note for note in table.notes)


def test_the_table_says_what_the_published_overlap_is() -> None:
    assert "heading ignored" in grounding_table([], [], []).notes[0]


def test_no_expression_has_no_figures() -> None:
    table = grounding_table([], [], [], GROUPS_FILE)
    assert table.metrics == {}
    assert table.rows[0].values == (None,) * 6


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="found 1, 0 and 1"):
        grounding_table([box()], [], [1])
    with pytest.raises(ValueError, match=r"truth\[0\]: expected one object, found 0"):
        grounding_table([box()], [CameraBoxes.empty()], [1])
