"""`g3d prepare frames`: export recordings (.sens) to folders of frames.

The folders are <out>/frames/<scene>/{color,depth,pose,intrinsic}.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from g3d.data.scannet.folder import ScanFolder
from g3d.data.scannet.frame_export import export_bytes, export_frames
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.prepare.runner import Item, Recipe

VERSION = 2
FRAMES = "frames"


@dataclass(frozen=True)
class FramesSettings:
    """Selection and format of the exported frames (g3d.data.scannet.frame_export.export_frames).

    Attributes:
        every: export each `every`-th frame.
        limit: largest number of frames; if there are more, fewer evenly spaced frames are exported. None: no limit.
        depth: "png": 16-bit PNG; "zlib": the stored stream as .zdepth.
        size: (width, height) of smaller images in pixels; None keeps the size.
        reencode: compress colour again, as ScanNet's Python reader does.
        partial: export the complete frames of truncated recordings.
    """

    every: int = 20
    limit: int | None = None
    depth: Literal["png", "zlib"] = "png"
    size: tuple[int, int] | None = None
    reencode: bool = False
    partial: bool = False


def frames_items(data: Path, scenes: Sequence[str], settings: FramesSettings) -> list[Item]:
    """Return the recordings as items. A damaged recording is an item as well, whose work raises the error.

    Args:
        data: a .sens file, or ScanNet's folder.
        scenes: names of the wanted scenes of ScanNet's folder; all that have a recording if empty.
        settings: settings of the export, for the estimated size.

    Raises:
        MissingDataError: there are no recordings.
    """
    if data.is_file():
        streams = [(data.stem, data)]
    else:
        folder = ScanFolder(data)
        found = [(scene, folder.file(scene, ".sens")) for scene in scenes or folder.scenes()]
        streams = [(scene, stream) for scene, stream in found if stream.is_file() or scenes]
        if not streams:
            raise MissingDataError(f"{data}: no recordings", "expected scans/<scene>/<scene>.sens")
    return [Item(name, (stream,), _expected(stream, settings)) for name, stream in streams]


def _expected(stream: Path, settings: FramesSettings) -> int:
    try:
        return export_bytes(stream, settings.every, settings.limit, settings.depth, settings.partial)
    except G3DError:
        return 0


def frames_recipe(settings: FramesSettings) -> Recipe:
    """Return the recipe that exports recordings."""
    return Recipe("frames", VERSION, asdict(settings), functools.partial(_make, settings=settings))


def _make(item: Item, target: Path, settings: FramesSettings) -> Mapping[str, Any]:
    report = export_frames(item.inputs[0], target, **asdict(settings))
    if not report.written:
        if report.broken:
            raise InputError(f"{report.broken[0]} ({len(report.broken)} such frames, no good one)")
        raise InputError(f"{item.inputs[0]}: none of its frames was located")
    facts = {"frames": report.frames, "written": report.written, "lost": report.lost}
    return {**facts, "broken": list(report.broken)} if report.broken else facts
