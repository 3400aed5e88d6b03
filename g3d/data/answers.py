"""Answers to a query: boxes and masks with scores, and their conversion to and from records.

Letters in shapes: N objects, P points, H and W pixels. Frames are those of g3d/data/types.py. Angles are radians; the
sign of each yaw is stated in g3d/geometry/boxes.py. Predictions files contain the records
(g3d/data/predictions.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from g3d.data.records import Record, floats
from g3d.errors import InputError
from g3d.ops.mask_rle import masks_to_strings, strings_to_masks

_UNKNOWN_ANGLE, _UNKNOWN = -10.0, -1
"""KITTI's values for fields that are not annotated."""


@dataclass(frozen=True, eq=False)
class CameraBoxes:
    """N labelled or detected 3D boxes in the camera frame of one image.

    Attributes:
        classes: (N,) str, for example KITTI's type names ("Car", "Pedestrian", ..., "DontCare").
        boxes2d: (N, 4) float64, x1 y1 x2 y2 in pixels of the original image.
        sizes: (N, 3) float64, height width length in metres (KITTI's order).
        locations: (N, 3) float64, centre of the bottom face, camera frame, metres.
        rotation_y: (N,) float64, yaw in radians.
        alpha: (N,) float64, observation angle in radians; -10 where it is not known, which is the default.
        truncated: (N,) float64, 0 to 1; -1 where it is not known, which is the default.
        occluded: (N,) int64, 0 visible, 1 partly, 2 largely, 3 unknown; -1 where it is not annotated, the default.
        scores: (N,) float64 for detections, None for labels.
    """

    kind: ClassVar[str] = "camera_boxes"

    classes: np.ndarray
    boxes2d: np.ndarray
    sizes: np.ndarray
    locations: np.ndarray
    rotation_y: np.ndarray
    alpha: np.ndarray = None  # type: ignore[assignment]  # __post_init__ fills it
    truncated: np.ndarray = None  # type: ignore[assignment]
    occluded: np.ndarray = None  # type: ignore[assignment]
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("alpha", _UNKNOWN_ANGLE),
            ("truncated", float(_UNKNOWN)),
            ("occluded", _UNKNOWN),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.classes), value))
        _check_rows(self)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Any) -> CameraBoxes:
        """Return the objects selected by an index, a mask, a slice or an index array."""
        selected: CameraBoxes = _rows(self, rows)
        return selected

    def __iter__(self) -> Iterator[CameraBoxes]:
        return (self[i] for i in range(len(self)))

    @staticmethod
    def empty(scored: bool = False) -> CameraBoxes:
        """Return an answer without boxes: detections if `scored`, otherwise labels."""
        none = np.zeros(0)
        rows = (np.zeros(0, "<U16"), np.zeros((0, 4)), np.zeros((0, 3)), np.zeros((0, 3)), none)
        return CameraBoxes(*rows, scores=none if scored else None)

    def to_record(self) -> dict[str, Any]:
        """Return the answer as plain data without the fields that contain KITTI's "unknown"."""
        columns = {
            "class": [str(name) for name in self.classes],
            "score": floats(_scores(self)),
            "box2d": floats(self.boxes2d),
            "size_hwl": floats(self.sizes),
            "location": floats(self.locations),
            "rotation_y": floats(self.rotation_y),
            "alpha": floats(self.alpha),
            "truncated": floats(self.truncated),
            "occluded": self.occluded.tolist(),
        }
        unknown = {"alpha": _UNKNOWN_ANGLE, "truncated": _UNKNOWN, "occluded": _UNKNOWN}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        kept = [{name: value for name, value in row.items() if value != unknown.get(name)} for row in rows]
        return {"kind": self.kind, "objects": kept}

    @staticmethod
    def from_record(record: Record) -> CameraBoxes:
        """Return the answer that `to_record` has written.

        Raises:
            InputError: a field is missing, is unknown, or has another form.
        """
        rows = record.rows("objects")
        if not rows:
            return CameraBoxes.empty(scored=True)
        required = ("class", "score", "box2d", "size_hwl", "location", "rotation_y")
        for row in rows:
            row.only((*required, "alpha", "truncated", "occluded"), required)
        return CameraBoxes(
            np.array([row.name("class", "a class name") for row in rows]),
            np.array([row.numbers("box2d", 4) for row in rows]),
            np.array([row.numbers("size_hwl", 3) for row in rows]),
            np.array([row.numbers("location", 3) for row in rows]),
            np.array([row.number("rotation_y") for row in rows]),
            np.array([row.number("alpha", _UNKNOWN_ANGLE) for row in rows]),
            np.array([row.number("truncated", _UNKNOWN) for row in rows]),
            np.array([row.integer("occluded", _UNKNOWN) for row in rows], np.int64),
            np.array([row.number("score") for row in rows]),
        )


@dataclass(frozen=True, eq=False)
class SceneBoxes:
    """N labelled or detected 3D boxes of one scene, in the frame that the scene's source names.

    Attributes:
        classes: (N,) str.
        centers: (N, 3) float64, metres.
        sizes: (N, 3) float64, extents along the box's own x, y and z in metres.
        yaws: (N,) float64, rotation about z in radians; 0 for boxes that are parallel to the axes, the default.
        ids: (N,) int64, the objects' ids in their scene; -1 where an object has none, which is the default.
        scores: (N,) float64 for detections, None for labels.
    """

    kind: ClassVar[str] = "scene_boxes"

    classes: np.ndarray
    centers: np.ndarray
    sizes: np.ndarray
    yaws: np.ndarray = None  # type: ignore[assignment]  # __post_init__ fills it
    ids: np.ndarray = None  # type: ignore[assignment]
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, value in (("yaws", 0.0), ("ids", _UNKNOWN)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.classes), value))
        _check_rows(self)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Any) -> SceneBoxes:
        """Return the objects selected by an index, a mask, a slice or an index array."""
        selected: SceneBoxes = _rows(self, rows)
        return selected

    def to_record(self) -> dict[str, Any]:
        """Return the answer as plain data without yaws of 0 and unknown ids."""
        columns = {
            "class": [str(name) for name in self.classes],
            "score": floats(_scores(self)),
            "center": floats(self.centers),
            "size": floats(self.sizes),
            "yaw": floats(self.yaws),
            "id": self.ids.tolist(),
        }
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        unknown = {"yaw": 0.0, "id": _UNKNOWN}
        kept = [{name: value for name, value in row.items() if value != unknown.get(name)} for row in rows]
        return {"kind": self.kind, "objects": kept}

    @staticmethod
    def from_record(record: Record) -> SceneBoxes:
        """Return the answer that `to_record` has written.

        Raises:
            InputError: a field is missing, is unknown, or has another form.
        """
        rows = record.rows("objects")
        required = ("class", "score", "center", "size")
        for row in rows:
            row.only((*required, "yaw", "id"), required)
        return SceneBoxes(
            np.array([row.name("class", "a class name") for row in rows], np.str_),
            np.array([row.numbers("center", 3) for row in rows]).reshape(-1, 3),
            np.array([row.numbers("size", 3) for row in rows]).reshape(-1, 3),
            np.array([row.number("yaw", 0.0) for row in rows]),
            np.array([row.integer("id", _UNKNOWN) for row in rows], np.int64),
            np.array([row.number("score") for row in rows]),
        )


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """N labelled or detected 2D boxes of one image.

    Attributes:
        classes: (N,) str.
        boxes: (N, 4) float64, x1 y1 x2 y2 in pixels of the original image.
        scores: (N,) float64 for detections, None for labels.
    """

    kind: ClassVar[str] = "image_boxes"

    classes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_rows(self)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Any) -> ImageBoxes:
        """Return the objects selected by an index, a mask, a slice or an index array."""
        selected: ImageBoxes = _rows(self, rows)
        return selected

    def to_record(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        columns = zip(self.classes, floats(_scores(self)), floats(self.boxes), strict=True)
        rows = [{"class": str(name), "score": score, "box2d": box} for name, score, box in columns]
        return {"kind": self.kind, "objects": rows}

    @staticmethod
    def from_record(record: Record) -> ImageBoxes:
        """Return the answer that `to_record` has written.

        Raises:
            InputError: a field is missing, is unknown, or has another form.
        """
        rows = record.rows("objects")
        fields = ("class", "score", "box2d")
        for row in rows:
            row.only(fields, fields)
        return ImageBoxes(
            np.array([row.name("class", "a class name") for row in rows], np.str_),
            np.array([row.numbers("box2d", 4) for row in rows]).reshape(-1, 4),
            np.array([row.number("score") for row in rows]),
        )


@dataclass(frozen=True, eq=False)
class PointMask:
    """The points of one scene that a query refers to; a mask without points means that there is no such object.

    Attributes:
        mask: (P,) bool, over the vertices of the source in the order of its file.
        score: confidence of a prediction, None for a label.
        name: class or label of the masked object, None where it has none.
    """

    kind: ClassVar[str] = "point_mask"

    mask: np.ndarray
    score: float | None = None
    name: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the answer as plain data, with the mask as COCO's run-length text of one column."""
        record = {"kind": self.kind, "points": len(self.mask), "runs": _runs(self.mask[:, None]), "score": _score(self)}
        return record if self.name is None else {**record, "name": self.name}

    @staticmethod
    def from_record(record: Record) -> PointMask:
        """Return the answer that `to_record` has written.

        Raises:
            InputError: a field is missing, is unknown, or has another form.
        """
        mask = _mask(record, record.count("points"), 1)[:, 0]
        return PointMask(mask, record.number("score"), record.text("name"))


@dataclass(frozen=True, eq=False)
class PixelMask:
    """The pixels of one image that a query refers to; a mask without pixels means that there is no such object.

    Attributes:
        mask: (H, W) bool, over the pixels of the original image.
        score: confidence of a prediction, None for a label.
        name: class or label of the masked object, None where it has none.
    """

    kind: ClassVar[str] = "pixel_mask"

    mask: np.ndarray
    score: float | None = None
    name: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the answer as plain data, with the mask as COCO's run-length text."""
        height, width = self.mask.shape
        record = {"kind": self.kind, "size": [width, height], "runs": _runs(self.mask), "score": _score(self)}
        return record if self.name is None else {**record, "name": self.name}

    @staticmethod
    def from_record(record: Record) -> PixelMask:
        """Return the answer that `to_record` has written.

        Raises:
            InputError: a field is missing, is unknown, or has another form.
        """
        size = record.size("size")
        if size is None:
            record.fail("size", None, "[width, height] in pixels")
        return PixelMask(_mask(record, size[1], size[0]), record.number("score"), record.text("name"))


Answer = CameraBoxes | SceneBoxes | ImageBoxes | PointMask | PixelMask
AnswerT = TypeVar("AnswerT", CameraBoxes, SceneBoxes, ImageBoxes, PointMask, PixelMask)

KINDS: Mapping[str, type[Answer]] = {t.kind: t for t in (CameraBoxes, SceneBoxes, ImageBoxes, PointMask, PixelMask)}
_FIELDS = {"point_mask": ("points", "runs", "score"), "pixel_mask": ("size", "runs", "score")}


def answer_of(record: Record) -> Answer:
    """Return the answer of any kind that a record contains.

    Raises:
        InputError: the kind is unknown, or a field is missing, is unknown, or has another form.
    """
    kind = record.one_of("kind", tuple(KINDS))
    fields = ("kind", *_FIELDS.get(kind, ("objects",)))
    record.only((*fields, "name") if kind in _FIELDS else fields, fields)
    return KINDS[kind].from_record(record)


def _check_rows(boxes: Any) -> None:
    """Raise ValueError unless all arrays of an answer with `classes` have one row for each class name."""
    count = len(boxes.classes)
    for name, value in vars(boxes).items():
        if value is not None and len(value) != count:
            raise ValueError(f"{type(boxes).__name__}.{name}: expected {count} rows as in classes, found {len(value)}")


def _rows(boxes: Any, rows: Any) -> Any:
    """Return the selected rows of an answer with `classes`."""
    if isinstance(rows, (int, np.integer)):
        rows = [rows]
    return type(boxes)(**{name: None if value is None else value[rows] for name, value in vars(boxes).items()})


def _scores(boxes: CameraBoxes | SceneBoxes | ImageBoxes) -> np.ndarray:
    if boxes.scores is None:
        raise InputError("objects without scores are labels; expected a score for each")
    return boxes.scores


def _score(mask: PointMask | PixelMask) -> float:
    if mask.score is None:
        raise InputError("a mask without a score is a label; expected a score")
    return float(mask.score)


def _runs(mask: np.ndarray) -> str:
    """Return a mask (H, W) bool as COCO's run-length text; a mask without pixels gives the empty text."""
    return masks_to_strings(torch.from_numpy(np.ascontiguousarray(mask, bool))[None])[0] if mask.size else ""


def _mask(record: Record, height: int, width: int) -> np.ndarray:
    text = record.values["runs"]
    if not isinstance(text, str):
        record.fail("runs", text, "a run-length text")
    if not height * width and not text:
        return np.zeros((height, width), bool)
    try:
        return strings_to_masks([text], height, width)[0].numpy()
    except (ValueError, MemoryError, RuntimeError) as error:  # torch says RuntimeError where memory lacks
        record.fail("runs", text, f"a run-length text of {height * width} values ({error})")
