"""The facts about a synthetic scan from which sentences can be made that are true by construction.

<scene>.room.json, schema g3d.room/1. Lengths are in metres. Boxes, fronts and yaws are in the aligned frame; solids
are in the raw frame, that of the mesh (kinds: see kernels/distance_field.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from g3d.data.scannet.labels import NYU40_NAMES
from g3d.synthetic.rooms.categories import CATEGORIES
from g3d.synthetic.rooms.layout import SHELL
from g3d.synthetic.rooms.scan import RoomScan
from g3d.synthetic.rooms.solids import turn_z

SCHEMA = "g3d.room/1"
NEAR, TOUCHING = 0.6, 0.03
"""Largest gap between neighbours, and between things that touch, metres."""
_KIND_NAMES = ("box", "cone", "ellipsoid", "rim")


def describe(scan: RoomScan, scene: str) -> dict[str, Any]:
    """The description of a scan, as plain JSON values.

    Objects are listed by their objectId. `support` is what an object stands on, hangs on or lies in: "floor", "wall",
    "ceiling" or an object. `neighbours` are the other objects within NEAR, nearest first, the shell left out.
    """
    room, chosen = scan.room, scan.annotated
    number = {index: object_id for object_id, index in enumerate(chosen)}
    shift = np.array([room.size[0] / 2, room.size[1] / 2, 0])
    boxes = np.array([placed.bounds for placed in room.objects])
    counts = np.bincount(scan.annotation[scan.annotation >= 0], minlength=len(chosen))
    objects = []
    for object_id, index in enumerate(chosen):
        placed = room.objects[index]
        label = placed.thing.label
        entry: dict[str, Any] = {
            "object_id": object_id,
            "label": label,
            "nyu40": CATEGORIES[label][2],
            "class": NYU40_NAMES[CATEGORIES[label][2]],
            "colour": placed.thing.colour,
            "vertices": int(counts[object_id]),
            "solids": [int(scan.starts[index]), int(scan.starts[index + 1])],
        }
        if index >= SHELL:
            low, high = boxes[index] - shift
            entry.update(
                size=_rounded(placed.thing.size),
                center=_rounded((low + high) / 2),
                extent=_rounded(high - low),
                yaw=round(placed.yaw, 5),
                front=_rounded((turn_z(placed.yaw) @ np.array([0, 1.0, 0]))[:2]),
                support=_support(scan, index, number),
                neighbours=_neighbours(boxes, index, number),
            )
        objects.append(entry)
    return {
        "schema": SCHEMA,
        "scene": scene,
        "kind": room.kind,
        "size": _rounded(np.array(room.size)),
        "voxel": round(scan.mesh.voxel, 5),
        "objects": objects,
        "solids": _solids(scan),
    }


def _support(scan: RoomScan, index: int, number: dict[int, int]) -> dict[str, Any]:
    support = scan.room.objects[index].support
    if isinstance(support, str):
        return {"on": support}
    return {"on": scan.room.objects[support].thing.label, "object_id": number.get(support)}


def _neighbours(boxes: np.ndarray, index: int, number: dict[int, int]) -> list[dict[str, Any]]:
    """The annotated objects within NEAR of an object, by the gap between their axis-aligned boxes."""
    apart = np.maximum(np.maximum(boxes[:, 0] - boxes[index, 1], boxes[index, 0] - boxes[:, 1]), 0)
    gap = np.linalg.norm(apart, axis=1)
    found = [k for k in np.argsort(gap, kind="stable") if k >= SHELL and k != index and gap[k] <= NEAR and k in number]
    return [
        {"object_id": number[k], "gap": round(float(gap[k]), 3), "touches": bool(gap[k] <= TOUCHING)} for k in found
    ]


def _solids(scan: RoomScan) -> list[dict[str, Any]]:
    shapes = scan.shapes
    return [
        {
            "kind": _KIND_NAMES[int(shapes.kinds[k])],
            "center": _rounded(shapes.centres[k], 6),
            "half": _rounded(shapes.halves[k], 6),
            "extra": _rounded(shapes.extras[k], 6),
            "axes": [_rounded(row, 8) for row in shapes.rotations[k]],
        }
        for k in range(len(shapes.kinds))
    ]


def _rounded(values: np.ndarray, digits: int = 4) -> list[float]:
    return [float(value) for value in np.round(np.asarray(values, float), digits)]
