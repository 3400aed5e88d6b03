"""Votes: to the middle of the drawn points of an object, decided by its first drawn point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.detection_items import CHAIR, TWO_CHAIRS, UNKNOWN
from support.detector_batches import MEANS

from g3d.errors import InputError
from g3d.systems.votenet.targets import VOTES, VoteTargets, vote_targets


def test_points_vote_for_the_middle_of_their_drawn_points() -> None:
    made = vote_targets(TWO_CHAIRS, MEANS, rows=4)
    assert made.offsets.shape == (len(TWO_CHAIRS.points), VOTES, 3)
    reached = torch.from_numpy(TWO_CHAIRS.points[:, :3]) + made.offsets[:, 0]
    assert reached[:3].tolist() == [[1, 0, 0.5]] * 3  # and not (1.1, 0, 0.5), the centre of the box
    assert reached[3:5].tolist() == [[5, 5, 5]] * 2
    assert made.on_object.tolist() == [True] * 5 + [False] * 2
    assert made.offsets[5:].eq(0).all()
    assert torch.equal(made.offsets[:, 0], made.offsets[:, 2])


def test_the_first_drawn_point_decides_for_the_whole_instance() -> None:
    nyu40 = TWO_CHAIRS.nyu40.copy()
    nyu40[0] = UNKNOWN
    made = vote_targets(replace(TWO_CHAIRS, nyu40=nyu40), MEANS, rows=4)
    assert made.on_object.tolist() == [False] * 3 + [True] * 2 + [False] * 2
    nyu40 = TWO_CHAIRS.nyu40.copy()
    nyu40[5] = CHAIR  # a point without an object, as published
    assert vote_targets(replace(TWO_CHAIRS, nyu40=nyu40), MEANS, rows=4).on_object.all()


def test_batches_are_stacked_and_more_boxes_than_rows_refused() -> None:
    batch = VoteTargets.stack([vote_targets(TWO_CHAIRS, MEANS, 4)] * 2).to("cpu")
    assert batch.offsets.shape == (2, len(TWO_CHAIRS.points), VOTES, 3)
    assert batch.boxes.used.sum() == 2 * len(TWO_CHAIRS.boxes)
    with pytest.raises(InputError, match="found 1 boxes"):
        vote_targets(TWO_CHAIRS, MEANS, rows=0)


def test_a_scene_without_boxes_or_objects_has_no_targets() -> None:
    empty = replace(
        TWO_CHAIRS,
        nyu40=np.zeros_like(TWO_CHAIRS.nyu40),
        boxes=TWO_CHAIRS.boxes[:0],
        classes=TWO_CHAIRS.classes[:0],
        ids=TWO_CHAIRS.ids[:0],
    )
    made = vote_targets(empty, MEANS, rows=4)
    assert not made.on_object.any()
    assert not made.boxes.used.any()
