"""Page of images: boxes and masks over the image, a 3D view of boxes in the camera frame, and a list of objects."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from g3d.data.answers import CameraBoxes, ImageBoxes, PixelMask
from g3d.geometry.boxes import EDGES, FRONT_FACE, box_corners
from g3d.geometry.cameras import unproject
from g3d.visualize.assemble import json_for_script, rounded
from g3d.visualize.image_item import ImageItem
from g3d.visualize.maps import KINDS, LEVELS, MapKind, map_levels, map_picture
from g3d.visualize.page import MAX_MEGABYTES, PageTexts, check_names, item_fields, left_out_note, write_page
from g3d.visualize.palette import TRUTH, class_colour
from g3d.visualize.pixel_masks import mask_bounds, mask_picture
from g3d.visualize.verdict import Verdict, judge
from g3d.visualize.wireframe import FACES, Wireframe, camera_centre, distances, has_box3d, wireframes

log = logging.getLogger(__name__)

_CAMERA_HEIGHT = 1.65  # metres above ground of a car's camera, for images without 3D boxes
_MASK_NAME = "mask"  # name of masks without a name


def write_image_page(
    path: Path | str,
    items: Sequence[ImageItem],
    texts: PageTexts,
    max_width: int = 1280,
    quality: int = 85,
    max_megabytes: float = MAX_MEGABYTES,
) -> Path:
    """Write a page of images.

    Args:
        path: the .html file; it is written atomically and unchanged after an error.
        items: at least one; images are read one at a time. Items of one image (several sentences about it) are grouped,
            and the image is embedded once. Items beyond `max_megabytes` are left out, and the page states their number.
        texts: title, figures and notes.
        max_width: images wider than this, in pixels, are downscaled.
        quality: JPEG quality of the images, 1 to 95.
        max_megabytes: limit on the size of the items in the page, in 10**6 bytes; the first item is always kept.

    Raises:
        InputError: there are no items, two items have the same name, or an image is unusable.
        MissingDataError: an image is missing.
        EnvironmentProblem: the file cannot be written.
    """
    check_names(path, [item.name for item in items], "frame")
    pictures = _Pictures(max_width, quality)
    embedded = _embed(_by_image(items), pictures, texts.threshold, round(max_megabytes * 1e6))
    left_out = len(items) - len(embedded)
    if left_out:
        log.warning("%s: %d of %d frames left out, to stay below %g MB", path, left_out, len(items), max_megabytes)
        note = left_out_note(left_out, len(items), "frame", max_megabytes)
        texts = replace(texts, notes=[note, *texts.notes])
    data = {
        "truth_colour": TRUTH,
        "colours": {name: (class_colour(name), class_colour(name, deep=True)) for name in _class_names(items)},
        "box": {"edges": EDGES, "faces": FACES, "front": FRONT_FACE},
        "maps": {name: _map_kind(kind) for name, kind in KINDS.items()},
        "pictures": pictures.uris,
    }
    return write_page(path, "image", texts, embedded, data)


def _by_image(items: Sequence[ImageItem]) -> list[ImageItem]:
    """Return the items grouped by image, in the order of each image's first item."""
    together: dict[Path, list[ImageItem]] = {}
    for item in items:
        together.setdefault(item.image, []).append(item)
    return [item for group in together.values() for item in group]


def _embed(items: Sequence[ImageItem], pictures: _Pictures, min_score: float, budget: int) -> list[str]:
    """Return as many items as JSON as fit with their images into the budget in bytes, at least one."""
    embedded: list[str] = []
    for item in items:
        kept = len(pictures.uris)
        text = json_for_script(_record(item, pictures, min_score))
        budget -= len(text) + sum(map(len, pictures.uris[kept:]))
        if budget < 0 and embedded:
            del pictures.uris[kept:]
            break
        embedded.append(text)
    return embedded


class _Pictures:
    """The images, maps and masks of a page as unique data URIs; items refer to them by number.

    Attributes:
        uris: the data URIs so far.
    """

    def __init__(self, max_width: int, quality: int) -> None:
        self.uris: list[str] = []
        self._max_width, self._quality = max_width, quality
        self._last: tuple[Path, int] | None = None

    def image(self, item: ImageItem) -> int:
        """Return the number of an item's image, a JPEG; items of one image must be consecutive."""
        if self._last is None or self._last[0] != item.image:
            image = item.load()
            if image.width > self._max_width:
                image = image.resize(self._size(*image.size), reducing_gap=3.0)
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=self._quality, optimize=True)
            self._last = (item.image, self._add("image/jpeg", buffer.getvalue()))
        return self._last[1]

    def map(self, name: str, levels: np.ndarray) -> int:
        """Return the number of a map's PNG; equal maps, such as depth for several sentences, are stored once."""
        return self._add_png(map_picture(name, levels))

    def mask(self, mask: np.ndarray, colour: str, label: bool) -> int:
        """Return the number of a mask's PNG, which has the size of the embedded image."""
        height, width = mask.shape
        return self._add_png(mask_picture(mask, colour, self._size(width, height), label))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if width <= self._max_width:
            return width, height
        return self._max_width, max(1, round(height * self._max_width / width))

    def _add_png(self, picture: Image.Image) -> int:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        return self._add("image/png", buffer.getvalue())

    def _add(self, kind: str, content: bytes) -> int:
        uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if uri not in self.uris:
            self.uris.append(uri)
        return self.uris.index(uri)


def _record(item: ImageItem, pictures: _Pictures, min_score: float) -> dict[str, Any]:
    number = pictures.image(item)
    return {
        **item_fields(item.name, item.expression, number, _verdict(item, min_score)),
        "size": item.image_size,
        "image": number,
        "maps": {name: _map(name, values, pictures) for name, values in (item.maps or {}).items()},
        "ground": _ground(item),
        "camera": None if item.camera is None else _camera(item.camera, item.image_size),
        "predictions": [
            *_objects(item.predictions, item),
            *_flat_objects(item.boxes),
            *(_mask_object(mask, pictures) for mask in item.masks if mask.mask.any()),
        ],
        "truth": _truth(item, pictures),
    }


def _truth(item: ImageItem, pictures: _Pictures) -> list[dict[str, Any]] | None:
    if item.ground_truth is None and item.true_boxes is None and item.true_mask is None:
        return None
    masks = [] if item.true_mask is None or not item.true_mask.mask.any() else [item.true_mask]
    return [
        *([] if item.ground_truth is None else _objects(item.ground_truth, item)),
        *_flat_objects(item.true_boxes),
        *(_mask_object(mask, pictures) for mask in masks),
    ]


def _verdict(item: ImageItem, min_score: float) -> Verdict:
    if item.expression is None or not item.answered:
        return Verdict()
    if item.masks and item.true_mask is not None:
        return judge(item.masks, item.true_mask, min_score)
    if item.boxes is not None and item.true_boxes is not None:
        return judge([item.boxes], item.true_boxes, min_score)
    return judge([item.predictions], item.ground_truth, min_score)


def _ground(item: ImageItem) -> float:
    """Return the height of the camera above the ground: the median y of the boxes' bottoms, metres."""
    both = [item.predictions] + ([] if item.ground_truth is None else [item.ground_truth])
    bottoms = np.concatenate([objects.locations[has_box3d(objects), 1] for objects in both])
    return rounded(np.median(bottoms) if len(bottoms) else _CAMERA_HEIGHT, 3)


def _camera(camera: np.ndarray, image_size: tuple[int, int]) -> dict[str, Any]:
    width, height = image_size
    border = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    rays = unproject(border, np.ones(4), camera) - unproject(border, np.zeros(4), camera)
    return {"eye": rounded(camera_centre(camera), 4), "rays": rounded(rays, 5)}


def _map(name: str, values: np.ndarray, pictures: _Pictures) -> dict[str, Any]:
    levels, reach = map_levels(name, values)
    return {"image": pictures.map(name, levels), "reach": reach}


def _map_kind(kind: MapKind) -> dict[str, Any]:
    """Return the title, the unit and nine of the colours of a kind of map, for a legend."""
    some = kind.colours[np.linspace(0, LEVELS - 1, 9).astype(int), :3]
    return {"title": kind.title, "unit": kind.unit, "colours": ["#" + bytes(colour).hex() for colour in some]}


def _objects(objects: CameraBoxes, item: ImageItem) -> list[dict[str, Any]]:
    """Return the page's record of each object; an object without a 3D box has only class, score and 2D box."""
    if not len(objects) or item.camera is None:
        return []
    corners = box_corners(objects.locations, objects.sizes, objects.rotation_y)
    solid, away = has_box3d(objects), distances(objects)
    outlines = wireframes(objects, item.camera, item.image_size)
    records = []
    for k, name in enumerate(objects.classes):
        if not solid[k] and objects.scores is None:
            continue  # DontCare regions
        record: dict[str, Any] = {
            "class": str(name),
            "distance": rounded(away[k], 2),
            "box2d": rounded(objects.boxes2d[k], 1),
        }
        if objects.scores is not None:
            record["score"] = rounded(objects.scores[k], 4)
        record |= _outline(outlines[k])
        if solid[k]:
            record |= {
                "corners": rounded(corners[k], 3),
                "size": rounded(objects.sizes[k], 2),
                "heading": rounded(np.degrees(objects.rotation_y[k]), 1),
            }
        records.append(record)
    return records


def _outline(outline: Wireframe | None) -> dict[str, Any]:
    if outline is None:
        return {"edges": [], "hidden": [], "front": [], "bounds": None}
    return {
        "edges": rounded(outline.edges.reshape(-1, 4), 1),
        "hidden": outline.hidden.astype(int).tolist(),
        "front": rounded(outline.front, 1),
        "bounds": rounded(outline.bounds, 1),
    }


def _flat_objects(boxes: ImageBoxes | None) -> list[dict[str, Any]]:
    """Return the page's records of 2D boxes."""
    if boxes is None:
        return []
    records = []
    for k, name in enumerate(boxes.classes):
        corners = rounded(boxes.boxes[k], 1)
        record = {"class": str(name), "box2d": corners, **_outline(None), "bounds": corners, "flat": True}
        records.append(record if boxes.scores is None else {**record, "score": rounded(boxes.scores[k], 4)})
    return records


def _mask_object(mask: PixelMask, pictures: _Pictures) -> dict[str, Any]:
    """Return the page's record of a non-empty mask."""
    label = mask.score is None
    name = mask.name or _MASK_NAME
    bounds = rounded(mask_bounds(mask.mask), 1)
    return {
        "class": name,
        "box2d": bounds,
        **_outline(None),
        "bounds": bounds,
        "mask": pictures.mask(mask.mask, TRUTH[0] if label else class_colour(name), label),
        "pixels": int(np.count_nonzero(mask.mask)),
        **({} if label else {"score": rounded(mask.score, 4)}),
    }


def _class_names(items: Sequence[ImageItem]) -> list[str]:
    names: set[str] = set()
    for item in items:
        for boxes in (item.predictions, item.ground_truth, item.boxes, item.true_boxes):
            names |= set() if boxes is None else {str(name) for name in boxes.classes}
        names |= {mask.name or _MASK_NAME for mask in (*item.masks, item.true_mask) if mask is not None}
    return sorted(names)
