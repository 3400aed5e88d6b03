"""Page of scenes: a mesh or a cloud with boxes or highlighted points, and a list of objects with their scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.answers import PointMask
from g3d.errors import InputError
from g3d.geometry.boxes import EDGES
from g3d.visualize.assemble import base64_array, json_for_script, rounded
from g3d.visualize.class_colours import class_colours, neighbours
from g3d.visualize.page import MAX_MEGABYTES, PageTexts, check_names, item_fields, left_out_note, write_page
from g3d.visualize.palette import ANSWER, BOTH, LABEL, OTHER
from g3d.visualize.room import Room, RoomObject
from g3d.visualize.scene_geometry import ceiling_height, geometry_record, kept_layers, thinned
from g3d.visualize.scene_item import SceneItem, box_objects
from g3d.visualize.verdict import Verdict

log = logging.getLogger(__name__)

_MASK_NAME = "points"  # name of masks without a name
_GEOMETRY = 0.75
"""Largest share of the page's size that the geometry of one scene takes; larger scenes are thinned."""


class ScenePage:
    """A builder of a page of scenes. Scenes are added one at a time, so that only one geometry is in memory.

    Args:
        colours: colour of each class of the predicted and labelled boxes on the whole page, see class_colours.py.
        min_score: see g3d/visualize/verdict.py.
        max_megabytes: limit on the size of scenes and items, in 10**6 bytes; the first scene with its first item is
            always kept. Items beyond the limit are left out, and the page states their number.
    """

    def __init__(
        self, colours: Mapping[str, str] | None = None, min_score: float = 0.3, max_megabytes: float = MAX_MEGABYTES
    ) -> None:
        self._colours = dict(colours or {})
        self._min_score, self._max_megabytes = min_score, max_megabytes
        self._left = round(max_megabytes * 1e6)
        self._scenes: list[dict[str, Any]] = []
        self._items: list[str] = []
        self._names: list[str] = []
        self.full = False

    def add(self, room: Room, items: Sequence[SceneItem]) -> None:
        """Add a scene with its items; its geometry is embedded once, in the colours of its first layer.

        Raises:
            InputError: the scene has no vertices.
        """
        self._names += [item.name for item in items]
        layers = [next(iter(room.layers))] if room.layers else []
        started, rows = self._start(kept_layers(room, layers), self._colours, ceiling_height(room))
        if started:
            number = len(self._scenes) - 1
            for item in items:
                self._put(_record(item, number, self._min_score, self._colours, rows))

    def add_annotated(self, room: Room) -> None:
        """Add a scene with all its layers, cameras and objects as a single item.

        Raises:
            InputError: the scene has no vertices.
        """
        self._names.append(room.name)
        colours = _annotated_colours(room)
        if self._start(room, colours, ceiling_height(room))[0]:
            fields = item_fields(room.name, None, len(self._scenes) - 1, Verdict())
            things = sorted(room.objects, key=lambda thing: (thing.is_structure, thing.name, thing.id))
            objects = [_object(thing, thing.colour or colours[thing.name]) for thing in things]
            self._put({**fields, "scene": fields["group"], "predictions": objects, "truth": None})

    def skip(self, items: Sequence[SceneItem]) -> None:
        """Count items of a scene that is not loaded because the page is full."""
        self._names += [item.name for item in items]

    def write(self, path: Path, texts: PageTexts) -> Path:
        """Write the page, which opens from disk in any current browser.

        Raises:
            InputError: nothing was added, or two items have the same name.
            EnvironmentProblem: the file cannot be written.
        """
        check_names(path, self._names, "item")
        left_out = len(self._names) - len(self._items)
        if left_out:
            log.warning(
                "%s: %d of %d items left out, to stay below %g MB",
                path,
                left_out,
                len(self._names),
                self._max_megabytes,
            )
            note = left_out_note(left_out, len(self._names), "item", self._max_megabytes)
            texts = replace(texts, notes=[note, *texts.notes])
        data = {
            "edges": EDGES,
            "answer_colours": {"answer": ANSWER, "label": LABEL, "both": BOTH, "other": OTHER},
            "scenes": self._scenes,
        }
        return write_page(path, "scene", texts, self._items, data)

    def _start(self, room: Room, colours: Mapping[str, str], cut: float | None) -> tuple[bool, np.ndarray | None]:
        """Embed a scene's geometry if it fits; return whether it was embedded, and the rows that `thinned` returns."""
        if not len(room.vertices):
            raise InputError(f"{room.name}: no vertices to draw")
        if self.full:
            return False, None
        shown, rows = thinned(room, _GEOMETRY * self._max_megabytes * 1e6)
        scene = geometry_record(shown, colours, len(room.vertices), cut)
        size = len(json_for_script(scene))
        if size > self._left and self._scenes:
            self.full = True
            return False, None
        self._left -= size
        self._scenes.append(scene)
        return True, rows

    def _put(self, record: Mapping[str, Any]) -> None:
        if self.full:
            return
        text = json_for_script(record)
        if len(text) > self._left and self._items:
            self.full = True
            return
        self._left -= len(text)
        self._items.append(text)


def write_room_page(path: Path, room: Room) -> Path:
    """Write a page of one scene with all its layers, objects and cameras, and no predictions.

    Positions are rounded to 1/65,535 of the scene's extent, below a millimetre for scenes up to 65 m.

    Raises:
        InputError: the scene has no vertices.
        EnvironmentProblem: the file cannot be written.
    """
    page = ScenePage()
    page.add_annotated(room)
    return page.write(path, PageTexts(room.name, threshold=0.0))


def _annotated_colours(room: Room) -> dict[str, str]:
    located = [thing for thing in room.objects if thing.corners is not None and not thing.is_structure]
    centers = np.array([np.mean(np.asarray(thing.corners), axis=0) for thing in located]).reshape(-1, 3)
    return class_colours({thing.name for thing in room.objects}, neighbours([thing.name for thing in located], centers))


def _record(
    item: SceneItem, scene: int, min_score: float, colours: Mapping[str, str], rows: np.ndarray | None
) -> dict[str, Any]:
    answer, overlaps = item.answer_boxes(min_score), item.overlaps()
    asked = item.expression is not None
    found = []
    for k, thing in enumerate(box_objects(item.boxes)):
        colour = colours[thing.name] if not asked else ANSWER if k in answer else OTHER
        record = _object(thing, colour) | ({"answer": True} if asked and k in answer else {})
        found.append(record if overlaps is None else {**record, "iou": rounded(overlaps[k], 4)})
    best = item.answer_mask()
    for k, (mask, iou) in enumerate(zip(item.masks, item.mask_overlaps(), strict=True)):
        if mask.mask.any():
            record = _points(mask, ANSWER if k == best else OTHER, rows) | ({"answer": True} if k == best else {})
            found.append(record if iou is None else {**record, "iou": rounded(iou, 4)})
    found.sort(key=lambda record: -record.get("score", 0.0))
    return {
        **item_fields(item.name, item.expression, scene, item.verdict(min_score)),
        "scene": scene,
        "predictions": found,
        "truth": _truth(item, colours, rows),
    }


def _truth(item: SceneItem, colours: Mapping[str, str], rows: np.ndarray | None) -> list[dict[str, Any]] | None:
    """Return the labelled boxes and masks; without a sentence, a box has the colour of its class."""
    if item.true_boxes is None and item.true_mask is None:
        return None
    masks = [] if item.true_mask is None or not item.true_mask.mask.any() else [item.true_mask]
    return [
        *(
            _object(replace(thing, score=None), LABEL if item.expression is not None else colours[thing.name])
            for thing in box_objects(item.true_boxes)
        ),
        *(_points(mask, LABEL, rows) for mask in masks),
    ]


def _object(thing: RoomObject, colour: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "class": thing.name,
        "number": thing.id,
        "colour": colour,
        "size": None if thing.size is None else rounded(thing.size, 4),
        "corners": None if thing.corners is None else rounded(thing.corners, 4),
    }
    if thing.is_structure:
        record["structure"] = True
    return record if thing.score is None else {**record, "score": rounded(thing.score, 4)}


def _points(mask: PointMask, colour: str, rows: np.ndarray | None) -> dict[str, Any]:
    """Return a mask as a record with first and last point + 1 of every run of points, as little-endian uint32.

    The runs are those of the embedded points, `rows`; the number of points is that of the whole scene.
    """
    embedded = mask.mask if rows is None else mask.mask[rows]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], embedded.astype(np.int8), [0]])))
    record = {
        "class": mask.name or _MASK_NAME,
        "colour": colour,
        "points": int(np.count_nonzero(mask.mask)),
        "spans": base64_array(edges.astype("<u4")),
    }
    return record if mask.score is None else {**record, "score": rounded(mask.score, 4)}
