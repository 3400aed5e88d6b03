"""Geometry of a room as data of a page: positions, faces and layers, thinned where the page would become too large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from g3d.visualize.assemble import base64_array, rounded
from g3d.visualize.class_colours import class_colours
from g3d.visualize.room import Layer, Room, colour_of

_LEVELS = 65535
_FEWEST = 50_000
"""Rooms of at most this many vertices are never thinned."""
_TEXT = 4 / 3
"""Characters of base64 text per byte."""
_CEILING = "ceiling"


def geometry_record(room: Room, colours: Mapping[str, str], total: int, cut: float | None) -> dict[str, Any]:
    """Return the record of a room's geometry.

    Args:
        room: the room with the layers that are embedded.
        colours: colours of classes; classes of layers that are not among them get others.
        total: number of vertices before thinning.
        cut: height in metres above which surfaces are hidden at first, see `ceiling_height`; None hides nothing.
    """
    low, high = room.vertices.min(0).astype(float), room.vertices.max(0).astype(float)
    step = np.maximum(high - low, 1e-6) / _LEVELS
    count, word = len(room.vertices), "points" if room.faces is None else "vertices"
    counts = [f"{count:,} {word}" if count == total else f"{count:,} of {total:,} {word}"]
    counts += [] if room.faces is None else [f"{len(room.faces):,} faces"]
    return {
        "name": room.name,
        "summary": ", ".join(counts),
        "notes": list(room.notes),
        "low": low.tolist(),
        "step": step.tolist(),
        "positions": base64_array(np.rint((room.vertices - low) / step).astype("<u2")),
        "faces": None if room.faces is None else base64_array(room.faces.astype("<u4")),
        "inward": room.faces is not None and faces_inward(room.vertices, room.faces),
        "cut": cut,
        "layers": {name: _layer(layer, colours) for name, layer in room.layers.items()},
        "cameras": [{"name": camera.name, "corners": rounded(camera.corners, 4)} for camera in room.cameras],
    }


def thinned(room: Room, most_bytes: float) -> tuple[Room, np.ndarray | None]:
    """Return a room whose geometry takes at most a number of bytes of the page, and the rows of its vertices.

    Space is divided into cubes, and the first vertex in each cube is kept. Faces join the kept vertices; those with
    fewer than three different vertices are dropped. A note of the room states the counts. The rows are (N,) int64
    indices of the kept vertices, None if all are kept, as in any room of at most 50,000 vertices.

    Args:
        room: the room with the layers that are embedded.
        most_bytes: limit on the size of the text of vertices, layers and faces.
    """
    per_vertex = 6 + sum(3 if layer.colours is not None else 4 for layer in room.layers.values())

    def fits(vertices: int, faces: int) -> bool:
        return vertices <= _FEWEST or _TEXT * (per_vertex * vertices + 12 * faces) <= most_bytes

    total, faces = len(room.vertices), room.faces
    if fits(total, 0 if faces is None else len(faces)):
        return room, None
    low = room.vertices.min(0).astype(float)
    extent = room.vertices.max(0) - low
    sides = 2 * float((extent * np.roll(extent, 1)).sum())  # area of the bounds, about that of a room's surfaces
    cell = max(float(extent.max()) / 2**20, 0.5 * float(np.sqrt(sides * _TEXT * per_vertex / most_bytes)))
    share = 0.0 if faces is None else len(faces) / total  # stays about the same
    while True:
        places = ((room.vertices - low) / cell).astype(np.int64)
        keys = places[:, 0] << 42 | places[:, 1] << 21 | places[:, 2]
        count = len(_different(keys))
        if fits(count, int(share * count)):
            rows, joined = _cluster(keys, faces)
            if fits(len(rows), 0 if joined is None else len(joined)):
                break
        cell *= 1.2
    word = "points" if faces is None else "vertices"
    note = f"{len(rows):,} of {total:,} {word} are shown, at most one in a cube of {100 * cell:.1f} cm, "
    layers = {name: _picked(layer, rows) for name, layer in room.layers.items()}
    notes = [*room.notes, note + "to keep this page small."]
    return replace(room, vertices=room.vertices[rows], faces=joined, layers=layers, notes=notes), rows


def faces_inward(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Return whether all faces of a scan have their fronts towards the inside of the room.

    This is the case if neighbouring faces have the same orientation, and the lowest faces look upwards. A page can then
    leave out the backs of faces, and shows the room from outside without the walls and the ceiling in front of it.

    Args:
        vertices: (N, 3) metres, z up.
        faces: (F, 3) indices of vertices.
    """
    if not len(faces):
        return False
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    forth, back = (_different(edges @ np.array(factors)) for factors in ((len(vertices), 1), (1, len(vertices))))
    shared = len(np.intersect1d(forth, back, assume_unique=True)) / len(edges)
    repeated = 1 - len(forth) / len(edges)
    if repeated > 0.05 or shared < 0.5:
        return False
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    normals = np.cross(b - a, c - a)
    heights = (a[:, 2] + b[:, 2] + c[:, 2]) / 3
    lowest = heights <= np.quantile(heights, 0.02) + 0.1 * float(np.ptp(heights))
    areas = np.linalg.norm(normals[lowest], axis=1).sum()
    return bool(areas > 0 and normals[lowest, 2].sum() > 0.3 * areas)


def ceiling_height(room: Room) -> float | None:
    """Return the height below which a room is seen without its labelled ceiling, in metres; None without a ceiling."""
    layer = room.layers.get("objects")
    numbers = [thing.id for thing in room.objects if thing.name == _CEILING]
    if layer is None or layer.ids is None or not numbers:
        return None
    heights = room.vertices[np.isin(layer.ids, numbers), 2]
    low, high = float(room.vertices[:, 2].min()), float(room.vertices[:, 2].max())
    if not len(heights) or (cut := float(np.quantile(heights, 0.05)) - 0.05) < (low + high) / 2:
        return None
    return round(cut, 3)


def _different(values: np.ndarray) -> np.ndarray:
    """Return the different values in ascending order. numpy.unique hashes integers, which is slow for such keys."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]


def _cluster(keys: np.ndarray, faces: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the first row of each key in the order of the rows, and the different faces between these rows."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    rows = np.sort(first)
    if faces is None:
        return rows, None
    joined = np.searchsorted(rows, first)[inverse.reshape(-1)][faces]
    a, b, c = np.sort(joined, axis=1).T
    proper = np.flatnonzero((a < b) & (b < c))
    _, different = np.unique((a * len(rows) + b)[proper] * len(rows) + c[proper], return_index=True)
    return rows, joined[proper[np.sort(different)]].astype(np.int32)


def _picked(layer: Layer, rows: np.ndarray) -> Layer:
    colours, ids = (None if values is None else values[rows] for values in (layer.colours, layer.ids))
    return replace(layer, colours=colours, ids=ids)


def _layer(layer: Layer, colours: Mapping[str, str]) -> dict[str, Any]:
    if layer.colours is not None:
        return {"colours": base64_array(layer.colours.astype(np.uint8))}
    assert layer.ids is not None
    found = [int(i) for i in np.unique(layer.ids)]
    named = {i: layer.names[i] for i in found if i in layer.names}
    chosen = class_colours(named.values(), given={name: colours[name] for name in named.values() if name in colours})
    palette = {i: chosen[named[i]] if i in named else colour_of(i) for i in found}
    legend = [(name, palette[i]) for i, name in named.items()]
    return {"ids": base64_array(layer.ids.astype("<i4")), "palette": palette, "legend": legend}


def kept_layers(room: Room, names: Sequence[str]) -> Room:
    """Return the room with some of its layers."""
    return replace(room, layers={name: room.layers[name] for name in names})
