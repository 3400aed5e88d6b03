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
from g3d.visualize.page import MAX_MEGABYTES, PageTexts, check_names, item_fields, left_out_note, write_page
from g3d.visualize.palette import ANSWER, BOTH, LABEL, OTHER
from g3d.visualize.room import Layer, Room, RoomObject, colour_of
from g3d.visualize.scene_item import SceneItem, box_objects
from g3d.visualize.verdict import Verdict

log = logging.getLogger(__name__)

_LEVELS = 65535
_MASK_NAME = "points"  # name of masks without a name


class ScenePage:
    """A builder of a page of scenes. Scenes are added one at a time, so that only one geometry is in memory.

    Args:
        class_names: classes of the boxes on the whole page; each class gets its own colour.
        min_score: see g3d/visualize/verdict.py.
        max_megabytes: limit on the size of scenes and items, in 10**6 bytes; the first scene with its first item is
            always kept. Items beyond the limit are left out, and the page states their number.
    """

    def __init__(
        self, class_names: Sequence[str] = (), min_score: float = 0.3, max_megabytes: float = MAX_MEGABYTES
    ) -> None:
        self._colours = {name: colour_of(k) for k, name in enumerate(sorted(set(class_names)))}
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
        if self._start(room, [next(iter(room.layers))] if room.layers else []):
            number = len(self._scenes) - 1
            for item in items:
                self._put(_record(item, number, self._min_score, self._colours))

    def add_annotated(self, room: Room) -> None:
        """Add a scene with all its layers, cameras and objects as a single item.

        Raises:
            InputError: the scene has no vertices.
        """
        self._names.append(room.name)
        if self._start(room, list(room.layers)):
            fields = item_fields(room.name, None, len(self._scenes) - 1, Verdict())
            objects = [_object(thing, thing.shown_colour) for thing in room.objects]
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

    def _start(self, room: Room, layers: Sequence[str]) -> bool:
        """Embed a scene's geometry if it fits; return whether it was embedded."""
        if not len(room.vertices):
            raise InputError(f"{room.name}: no vertices to draw")
        if self.full:
            return False
        scene = _geometry(room, layers)
        size = len(json_for_script(scene))
        if size > self._left and self._scenes:
            self.full = True
            return False
        self._left -= size
        self._scenes.append(scene)
        return True

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


def _geometry(room: Room, layers: Sequence[str]) -> dict[str, Any]:
    low, high = room.vertices.min(0).astype(float), room.vertices.max(0).astype(float)
    step = np.maximum(high - low, 1e-6) / _LEVELS
    counts = [f"{len(room.vertices):,} vertices"] + ([] if room.faces is None else [f"{len(room.faces):,} faces"])
    return {
        "name": room.name,
        "summary": ", ".join(counts),
        "notes": list(room.notes),
        "low": low.tolist(),
        "step": step.tolist(),
        "positions": base64_array(np.rint((room.vertices - low) / step).astype("<u2")),
        "faces": None if room.faces is None else base64_array(room.faces.astype("<u4")),
        "layers": {name: _layer(room.layers[name]) for name in layers},
        "cameras": [{"name": camera.name, "corners": rounded(camera.corners, 4)} for camera in room.cameras],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    if layer.colours is not None:
        return {"colours": base64_array(layer.colours.astype(np.uint8))}
    assert layer.ids is not None
    found = [int(i) for i in np.unique(layer.ids)]
    legend = [(layer.names[i], colour_of(i)) for i in found if i in layer.names]
    ids = base64_array(layer.ids.astype("<i4"))
    return {"ids": ids, "palette": {i: colour_of(i) for i in found}, "legend": legend}


def _record(item: SceneItem, scene: int, min_score: float, colours: Mapping[str, str]) -> dict[str, Any]:
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
            record = _points(mask, ANSWER if k == best else OTHER) | ({"answer": True} if k == best else {})
            found.append(record if iou is None else {**record, "iou": rounded(iou, 4)})
    found.sort(key=lambda record: -record.get("score", 0.0))
    return {
        **item_fields(item.name, item.expression, scene, item.verdict(min_score)),
        "scene": scene,
        "predictions": found,
        "truth": _truth(item),
    }


def _truth(item: SceneItem) -> list[dict[str, Any]] | None:
    if item.true_boxes is None and item.true_mask is None:
        return None
    masks = [] if item.true_mask is None or not item.true_mask.mask.any() else [item.true_mask]
    return [
        *(_object(replace(thing, score=None), LABEL) for thing in box_objects(item.true_boxes)),
        *(_points(mask, LABEL) for mask in masks),
    ]


def _object(thing: RoomObject, colour: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "class": thing.name,
        "number": thing.id,
        "colour": colour,
        "size": None if thing.size is None else rounded(thing.size, 4),
        "corners": None if thing.corners is None else rounded(thing.corners, 4),
    }
    return record if thing.score is None else {**record, "score": rounded(thing.score, 4)}


def _points(mask: PointMask, colour: str) -> dict[str, Any]:
    """Return a mask as a record with first and last point + 1 of every run of points, as little-endian uint32."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.mask.astype(np.int8), [0]])))
    record = {
        "class": mask.name or _MASK_NAME,
        "colour": colour,
        "points": int(np.count_nonzero(mask.mask)),
        "spans": base64_array(edges.astype("<u4")),
    }
    return record if mask.score is None else {**record, "score": rounded(mask.score, 4)}
