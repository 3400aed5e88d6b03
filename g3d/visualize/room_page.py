"""One HTML file to look at an indoor scene in: it carries everything and fetches nothing."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.files import atomic_write
from g3d.errors import InputError
from g3d.geometry.boxes import EDGES
from g3d.visualize.page_parts import asset, fill, json_for_script
from g3d.visualize.room import Layer, Room, colour_of

_SCRIPTS = ("three.bundle.min.js", "room.js")
_LEVELS = 65535


def write_room_page(path: Path, room: Room) -> Path:
    """Write a self-contained page of a room; it opens from disk in any present browser.

    Positions are rounded to 1/65,535 of the room's extent, below a millimetre.

    Raises:
        InputError: there is nothing to draw.
        EnvironmentProblem: the file cannot be written.
    """
    if not len(room.vertices):
        raise InputError(f"{room.name}: no vertices to draw")
    low, high = room.vertices.min(0).astype(float), room.vertices.max(0).astype(float)
    step = np.maximum(high - low, 1e-6) / _LEVELS
    faces = None if room.faces is None else _text(room.faces.astype("<u4"))
    parts = [f"{len(room.vertices):,} vertices"] + ([] if room.faces is None else [f"{len(room.faces):,} faces"])
    data = {
        "title": room.name,
        "summary": ", ".join([*parts, f"{len(room.objects)} objects"]),
        "notes": list(room.notes),
        "low": low.tolist(),
        "step": step.tolist(),
        "positions": _text(np.rint((room.vertices - low) / step).astype("<u2")),
        "faces": faces,
        "layers": {name: _layer(layer) for name, layer in room.layers.items()},
        "edges": EDGES,
        "objects": [
            {
                "id": thing.id,
                "name": thing.name,
                "colour": colour_of(thing.id),
                "size": thing.size,
                "corners": None if thing.corners is None else np.round(thing.corners, 4).tolist(),
            }
            for thing in room.objects
        ],
        "cameras": [{"name": camera.name, "corners": np.round(camera.corners, 4).tolist()} for camera in room.cameras],
    }
    scripts = "\n".join(f"<script>\n{asset(name)}</script>" for name in _SCRIPTS)
    parts_of_page = {
        "title": html.escape(room.name),
        "style": asset("page.css"),
        "data": json_for_script(data),
        "scripts": scripts,
    }
    with atomic_write(path) as file:
        file.write(fill("room.html", parts_of_page).encode())
    return path


def _layer(layer: Layer) -> dict[str, Any]:
    if layer.colours is not None:
        return {"colours": _text(layer.colours.astype(np.uint8))}
    assert layer.ids is not None
    found = [int(i) for i in np.unique(layer.ids)]
    legend = [(layer.names[i], colour_of(i)) for i in found if i in layer.names]
    return {"ids": _text(layer.ids.astype("<i4")), "palette": {i: colour_of(i) for i in found}, "legend": legend}


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
