"""One HTML file to look at results in: images with boxes, a 3D view, detections and figures. It carries everything and
fetches nothing."""

from __future__ import annotations

import base64
import html
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.files import atomic_write
from g3d.data.types import Objects
from g3d.errors import InputError
from g3d.geometry.boxes import EDGES, FRONT_FACE, box_corners
from g3d.geometry.cameras import unproject
from g3d.metrics.grounding import oriented_iou
from g3d.metrics.table import Row, Table
from g3d.visualize.frame import Frame
from g3d.visualize.maps import KINDS, LEVELS, MapKind, map_levels, map_picture
from g3d.visualize.page_parts import asset, fill, json_for_script
from g3d.visualize.palette import TRUTH, class_colour
from g3d.visualize.wireframe import FACES, Wireframe, camera_centre, distances, has_box3d, wireframes

log = logging.getLogger(__name__)

_SCRIPTS = ("three.bundle.min.js", "page.js", "picture.js", "scene.js")
_CAMERA_HEIGHT = 1.65  # metres above ground in KITTI, for frames without any 3D box


def write_page(
    path: Path | str,
    frames: Sequence[Frame],
    title: str,
    table: Table | None = None,
    comparison: tuple[str, Table] | None = None,
    published: tuple[str, Mapping[str, float]] | None = None,
    notes: Sequence[str] = (),
    threshold: float = 0.3,
    max_width: int = 1280,
    quality: int = 85,
    max_megabytes: float = 32.0,
    labels_only: bool = False,
) -> Path:
    """Write a self-contained page; it opens from disk in any present browser.

    Args:
        path: the .html file; complete or, after an error, as it was.
        frames: at least one; read one at a time. Those of one image (several sentences about it) stand together, and
            the image is in the page once. Those beyond `max_megabytes` are left out, and the page says how many.
        title: heading of the page.
        table: figures to show below the frames.
        comparison: a name ("untrained") and a table of the same columns whose rows are shown under those of `table`.
        published: where they are from, and published figures by their names in `table.metrics`, to stand beside the
            measured ones.
        notes: sentences for the foot of the page.
        threshold: the score from which detections are shown at first.
        max_width: images wider than this, in pixels, are made smaller.
        quality: JPEG quality of the images, 1 to 95.
        max_megabytes: bound on the size of frames in the page, in 10**6 bytes; the first frame is always kept.
        labels_only: nothing was predicted: the page speaks of labels, not of detections that are missing.

    Raises:
        InputError: there are no frames, or two of one name, or an image cannot be used.
        MissingDataError: an image is not there.
        EnvironmentProblem: the file cannot be written.
    """
    if not frames:
        raise InputError(f"{path}: no frames to show")
    names = [frame.name for frame in frames]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two frames are called {next(name for name in names if names.count(name) > 1)!r}")
    pictures = _Pictures(max_width, quality)
    embedded = _embed(_by_image(frames), pictures, round(max_megabytes * 1e6))
    left_out = len(frames) - len(embedded)
    if left_out:
        log.warning("%s: %d of %d frames left out, to stay below %g MB", path, left_out, len(frames), max_megabytes)
        notes = [
            f"{left_out:,} of {len(frames):,} frames were left out, to keep this page below {max_megabytes:g} MB.",
            *notes,
        ]
    data = {
        "title": title,
        "notes": list(notes),
        "threshold": threshold,
        "labels_only": labels_only,
        "truth_colour": TRUTH,
        "colours": {name: (class_colour(name), class_colour(name, deep=True)) for name in _class_names(frames)},
        "box": {"edges": EDGES, "faces": FACES, "front": FRONT_FACE},
        "maps": {name: _map_kind(kind) for name, kind in KINDS.items()},
        "table": None if table is None else _table(table, comparison, published),
        "pictures": pictures.uris,
    }
    head = json_for_script(data)
    with atomic_write(path) as file:
        scripts = "\n".join(f"<script>\n{asset(name)}</script>" for name in _SCRIPTS)
        text = f'{head[:-1]},"frames":[{",".join(embedded)}]}}'
        parts = {"title": html.escape(title), "style": asset("page.css"), "data": text, "scripts": scripts}
        file.write(fill("page.html", parts).encode())
    return Path(path)


def _by_image(frames: Sequence[Frame]) -> list[Frame]:
    """The frames in their order, but each beside the first one of its image."""
    together: dict[Path, list[Frame]] = {}
    for frame in frames:
        together.setdefault(frame.image, []).append(frame)
    return [frame for group in together.values() for frame in group]


def _embed(frames: Sequence[Frame], pictures: _Pictures, budget: int) -> list[str]:
    """Frames as JSON, as many as the budget in bytes allows with their pictures, at least one."""
    embedded: list[str] = []
    for frame in frames:
        kept = len(pictures.uris)
        text = json_for_script(_frame(frame, pictures))
        budget -= len(text) + sum(map(len, pictures.uris[kept:]))
        if budget < 0 and embedded:
            del pictures.uris[kept:]
            break
        embedded.append(text)
    return embedded


class _Pictures:
    """Images and maps of a page as data URIs, each one once; frames refer to them by number.

    Attributes:
        uris: those of the frames so far.
    """

    def __init__(self, max_width: int, quality: int) -> None:
        self.uris: list[str] = []
        self._max_width, self._quality = max_width, quality
        self._last: tuple[Path, int] | None = None

    def image(self, frame: Frame) -> int:
        """The number of a frame's image, as a JPEG; frames of one image follow one another."""
        if self._last is None or self._last[0] != frame.image:
            image = frame.load()
            if image.width > self._max_width:
                image = image.resize(
                    (self._max_width, max(1, round(image.height * self._max_width / image.width))), reducing_gap=3.0
                )
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=self._quality, optimize=True)
            self._last = (frame.image, self._add("image/jpeg", buffer.getvalue()))
        return self._last[1]

    def map(self, name: str, levels: np.ndarray) -> int:
        """The number of a map's picture; maps that are the same, such as the depth under several sentences, are kept
        once."""
        buffer = io.BytesIO()
        map_picture(name, levels).save(buffer, "PNG", optimize=True)
        return self._add("image/png", buffer.getvalue())

    def _add(self, kind: str, content: bytes) -> int:
        uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if uri not in self.uris:
            self.uris.append(uri)
        return self.uris.index(uri)


def _frame(frame: Frame, pictures: _Pictures) -> dict[str, Any]:
    truth = frame.ground_truth
    both = [frame.predictions] + ([] if truth is None else [truth])
    bottoms = np.concatenate([objects.locations[has_box3d(objects), 1] for objects in both])
    width, height = frame.image_size
    border = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    eye = camera_centre(frame.camera)
    rays = unproject(border, np.ones(4), frame.camera) - unproject(border, np.zeros(4), frame.camera)
    return {
        "name": frame.name,
        "expression": frame.expression,
        "size": frame.image_size,
        "image": pictures.image(frame),
        "maps": {name: _map(name, values, pictures) for name, values in (frame.maps or {}).items()},
        "ground": _round(np.median(bottoms) if len(bottoms) else _CAMERA_HEIGHT, 3),
        "camera": {"eye": _round(eye, 4), "rays": _round(rays, 5)},
        "predictions": _objects(frame.predictions, frame),
        "truth": None if truth is None else _objects(truth, frame),
        "iou": _overlap(frame),
    }


def _overlap(frame: Frame) -> float | None:
    """3D IoU of the answer to a sentence with the labelled object; None where there is not one of both."""
    answers, truth = frame.predictions, frame.ground_truth
    if frame.expression is None or truth is None or len(truth) != 1 or not len(answers):
        return None
    answer, label = (np.column_stack([one.locations, one.sizes, one.rotation_y]) for one in (answers[0], truth))
    return float(np.round(oriented_iou(answer, label)[0], 4))


def _map(name: str, values: np.ndarray, pictures: _Pictures) -> dict[str, Any]:
    levels, reach = map_levels(name, values)
    return {"image": pictures.map(name, levels), "reach": reach}


def _map_kind(kind: MapKind) -> dict[str, Any]:
    """Name, unit and some of the colours, for a legend."""
    some = kind.colours[np.linspace(0, LEVELS - 1, 9).astype(int), :3]
    return {"title": kind.title, "unit": kind.unit, "colours": ["#" + bytes(colour).hex() for colour in some]}


def _objects(objects: Objects, frame: Frame) -> list[dict[str, Any]]:
    """What the page draws of each object; without a 3D box only its class, score and 2D box."""
    corners = box_corners(objects.locations, objects.sizes, objects.rotation_y)
    solid, away = has_box3d(objects), distances(objects)
    outlines = wireframes(objects, frame.camera, frame.image_size)
    records = []
    for k, name in enumerate(objects.classes):
        if not solid[k] and objects.scores is None:
            continue  # KITTI's DontCare regions
        record: dict[str, Any] = {
            "class": str(name),
            "distance": _round(away[k], 2),
            "box2d": _round(objects.boxes2d[k], 1),
        }
        if objects.scores is not None:
            record["score"] = _round(objects.scores[k], 4)
        record |= _outline(outlines[k])
        if solid[k]:
            record |= {
                "corners": _round(corners[k], 3),
                "size": _round(objects.sizes[k], 2),
                "heading": _round(np.degrees(objects.rotation_y[k]), 1),
            }
        records.append(record)
    return records


def _outline(outline: Wireframe | None) -> dict[str, Any]:
    if outline is None:
        return {"edges": [], "hidden": [], "front": [], "bounds": None}
    return {
        "edges": _round(outline.edges.reshape(-1, 4), 1),
        "hidden": outline.hidden.astype(int).tolist(),
        "front": _round(outline.front, 1),
        "bounds": _round(outline.bounds, 1),
    }


def _class_names(frames: Sequence[Frame]) -> list[str]:
    return sorted(
        {
            str(name)
            for frame in frames
            for objects in (frame.predictions, frame.ground_truth)
            if objects is not None
            for name in objects.classes
        }
    )


def _table(
    table: Table, comparison: tuple[str, Table] | None, published: tuple[str, Mapping[str, float]] | None
) -> dict[str, Any]:
    """Each row as lines: measured, then the comparison's, where it has that row; and the published figures as a
    list."""
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
    beside = None
    if published is not None:
        figures = [(name, *_figures([table.metrics.get(name), value])) for name, value in published[1].items()]
        beside = {"source": published[0], "figures": figures}
    return {"title": table.title, "columns": table.columns, "rows": rows, "notes": table.notes, "published": beside}


def _figures(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None or not np.isfinite(value) else float(value) for value in values]


def _round(values: Any, decimals: int) -> Any:
    return np.round(np.asarray(values, float), decimals).tolist()
