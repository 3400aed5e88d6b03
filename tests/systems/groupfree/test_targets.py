"""The box row of every point: the row whose centre is nearest to the middle of the object's drawn points."""

from __future__ import annotations

from dataclasses import replace

from support.detection_items import TWO_CHAIRS
from support.detector_batches import MEANS

from g3d.systems.groupfree.targets import GroupFreeTargets, groupfree_targets


def test_an_object_without_a_box_takes_the_nearest_row() -> None:
    made = groupfree_targets(TWO_CHAIRS, MEANS, rows=3)
    assert made.box_rows.tolist() == [0] * 5 + [-1] * 2
    assert made.boxes.centers[1:].eq(1000).all()
    two = replace(
        TWO_CHAIRS,
        boxes=TWO_CHAIRS.boxes[[0, 0]] + [[0] * 6, [4, 4, 4, 0, 0, 0]],
        classes=TWO_CHAIRS.classes[[0, 0]],
        ids=TWO_CHAIRS.ids[[0, 0]],
    )
    assert groupfree_targets(two, MEANS, rows=3).box_rows.tolist() == [0] * 3 + [1] * 2 + [-1] * 2


def test_without_boxes_every_point_is_background() -> None:
    none = replace(TWO_CHAIRS, boxes=TWO_CHAIRS.boxes[:0], classes=TWO_CHAIRS.classes[:0], ids=TWO_CHAIRS.ids[:0])
    batch = GroupFreeTargets.stack([groupfree_targets(none, MEANS, 3)] * 2).to("cpu")
    assert batch.box_rows.shape == (2, len(none.points))
    assert batch.box_rows.eq(-1).all()
