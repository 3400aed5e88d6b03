"""Item of a scene page: the answers to one sentence (or all detections) and the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from g3d.data.answers import Answer, PointMask, SceneBoxes
from g3d.errors import InputError
from g3d.visualize.palette import ANSWER, BOTH, LABEL, OTHER
from g3d.visualize.room import Layer, Room, RoomObject, colour_of, rgb, scene_corners
from g3d.visualize.verdict import Verdict, answer_rows, box_overlaps, judge, mask_overlap

_DIMMED = 0.45
"""Share of its own colour that a point outside the shown masks keeps; the rest is grey."""
_GREY = 150


@dataclass(frozen=True, eq=False)
class SceneItem:
    """The answers about one scene and their ground truth.

    Attributes:
        name: title of the item, unique among the items of a page.
        expression: the referring sentence, None for detection.
        boxes: predicted boxes with scores, in the frame of the scene's vertices.
        masks: predicted masks over the scene's vertices, with scores.
        true_boxes: labelled boxes, None if unknown.
        true_mask: labelled mask, None if unknown.
        answered: False if only labels are drawn.
    """

    name: str
    expression: str | None = None
    boxes: SceneBoxes | None = None
    masks: tuple[PointMask, ...] = ()
    true_boxes: SceneBoxes | None = None
    true_mask: PointMask | None = None
    answered: bool = True

    @property
    def all_masks(self) -> tuple[PointMask, ...]:
        """The predicted masks and the labelled one."""
        return self.masks if self.true_mask is None else (*self.masks, self.true_mask)

    @property
    def class_names(self) -> set[str]:
        """The classes of all boxes."""
        return {str(name) for boxes in (self.boxes, self.true_boxes) if boxes is not None for name in boxes.classes}

    def placed(self, room: Room) -> SceneItem:
        """Return the item with masks over the scene's vertices and boxes in their frame.

        Masks refer to the vertices of the scene's file, and boxes to its coordinates after the transform of the source.
        The scene omits vertices that cannot be drawn or by which a cloud is thinned, and an offset may be subtracted
        from its coordinates.

        Raises:
            InputError: the length of a mask differs from the number of vertices in the file.
        """
        total = len(room.vertices) + room.left_out
        for mask in self.all_masks:
            if len(mask.mask) != total:
                found = f"found a mask of {len(mask.mask)} points"
                raise InputError(f"{self.name}: {found}, expected {total}, the vertices of scene {room.name}")
        return replace(
            self,
            boxes=_shifted(self.boxes, room),
            masks=tuple(_kept(mask, room) for mask in self.masks),
            true_boxes=_shifted(self.true_boxes, room),
            true_mask=None if self.true_mask is None else _kept(self.true_mask, room),
        )

    def verdict(self, min_score: float) -> Verdict:
        """Compare the answer to a sentence with its label."""
        if self.expression is None or not self.answered:
            return Verdict()
        truth: Answer | None = self.true_boxes
        answers: tuple[Answer, ...] = () if self.boxes is None else (self.boxes,)
        if self.true_mask is not None and (self.masks or truth is None):
            answers, truth = self.masks, self.true_mask
        return judge(answers, truth, min_score)

    def answer_boxes(self, min_score: float) -> frozenset[int]:
        """Return the indices of the boxes that are the answer to the sentence; all indices for detection."""
        if self.boxes is None or self.boxes.scores is None:
            return frozenset()
        if self.expression is None:
            return frozenset(range(len(self.boxes)))
        labels = None if self.true_boxes is None else len(self.true_boxes)
        return frozenset(int(k) for k in answer_rows(self.boxes.scores, labels, min_score))

    def answer_mask(self) -> int | None:
        """Return the index of the mask that is the answer to the sentence: the mask with the highest score."""
        return max(range(len(self.masks)), key=lambda k: self.masks[k].score or 0.0) if self.masks else None

    def overlaps(self) -> np.ndarray | None:
        """Return the largest IoU of each predicted box with a labelled box, (N,); None without boxes or labels."""
        if self.boxes is None or self.true_boxes is None or not len(self.boxes) or not len(self.true_boxes):
            return None
        return box_overlaps(self.boxes, self.true_boxes).max(1)

    def mask_overlaps(self) -> list[float | None]:
        """Return each predicted mask's IoU with the labelled mask; None if there is no label or both are empty."""
        if self.true_mask is None:
            return [None] * len(self.masks)
        return [mask_overlap(mask.mask, self.true_mask.mask) for mask in self.masks]


def _shifted(boxes: SceneBoxes | None, room: Room) -> SceneBoxes | None:
    return boxes if boxes is None or room.offset is None else replace(boxes, centers=boxes.centers - room.offset)


def _kept(mask: PointMask, room: Room) -> PointMask:
    return mask if room.rows is None else replace(mask, mask=mask.mask[room.rows])


def answered_room(room: Room, item: SceneItem, min_score: float) -> Room:
    """Return a scene with the answers of an item, for export to other programs.

    Points of the answered mask are orange, points of the labelled mask blue, points of both green, and all others are
    dimmed. The objects are the boxes that are the answer or score at least `min_score`, and the labelled boxes.
    """
    colours = next(iter(room.layers.values())).painted()
    best = item.answer_mask()
    if item.all_masks:
        found = np.zeros(len(colours), bool) if best is None else item.masks[best].mask
        truth = np.zeros(len(colours), bool) if item.true_mask is None else item.true_mask.mask
        colours = np.rint(colours * _DIMMED + _GREY * (1 - _DIMMED)).astype(np.uint8)
        for points, colour in ((found & ~truth, ANSWER), (truth & ~found, LABEL), (found & truth, BOTH)):
            colours[points] = rgb(colour)
    asked, answer = item.expression is not None, item.answer_boxes(min_score)
    things = [
        replace(thing, colour=colour_of(k) if not asked else ANSWER if k in answer else OTHER)
        for k, thing in enumerate(box_objects(item.boxes))
        if (asked and k in answer) or (thing.score or 0.0) >= min_score
    ]
    labels = [replace(thing, name=f"label {thing.name}", colour=LABEL) for thing in box_objects(item.true_boxes)]
    return Room(room.name, room.vertices, room.faces, {"answer": Layer(colours)}, [*things, *labels])


def box_objects(boxes: SceneBoxes | None) -> list[RoomObject]:
    """Return boxes as objects; if the ids are not all valid and unique, the row numbers are the ids."""
    if boxes is None:
        return []
    corners = scene_corners(boxes.centers, boxes.sizes, boxes.yaws)
    own = bool((boxes.ids >= 0).all()) and len(np.unique(boxes.ids)) == len(boxes)
    return [
        RoomObject(
            int(boxes.ids[k]) if own else k,
            str(boxes.classes[k]),
            corners[k],
            (float(boxes.sizes[k, 0]), float(boxes.sizes[k, 1]), float(boxes.sizes[k, 2])),
            None if boxes.scores is None else float(boxes.scores[k]),
        )
        for k in range(len(boxes))
    ]
