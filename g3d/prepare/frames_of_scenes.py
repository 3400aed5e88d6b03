"""Find prepared scenes and their RGB-D frames, for the recipes that transfer image features to points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g3d.data.scannet.scenes import FILE
from g3d.errors import G3DError, MissingDataError
from g3d.prepare.runner import Item
from g3d.prepare.scannet import SCENES


def prepared_scenes(out: Path, wanted: Sequence[str]) -> list[str]:
    """Return the names of the wanted scenes; if none are given, the names of all scenes prepared in `out`.

    Raises:
        MissingDataError: there are no prepared scenes.
    """
    found = list(wanted) or sorted(file.parent.name for file in (out / SCENES).glob(f"*/{FILE}"))
    if not found:
        raise MissingDataError(
            f"{out / SCENES}: no prepared scenes", "run g3d prepare scannet first, with the same --out"
        )
    return found


def frames_of(frames: Path, scene: str) -> Path:
    """Return the path of a scene's frames: a recording, or a folder of exported frames.

    The first existing path is returned of <frames>/<scene>/<scene>.sens, the same path in <frames>/scans and
    <frames>/scans_test (ScanNet's layout), <frames>/<scene>.sens, and the folder <frames>/<scene>.

    Raises:
        MissingDataError: none of these exists.
    """
    places = [frames / folder / scene / f"{scene}.sens" for folder in ("", "scans", "scans_test")]
    places += [frames / f"{scene}.sens", frames / scene]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(map(str, places))
    raise MissingDataError(
        f"scene {scene}: no frames (looked for {looked})", "--frames names the folder that holds them"
    )


def items_with_frames(out: Path, frames: Path, scenes: Sequence[str], bytes_each: int) -> list[Item]:
    """Return prepared scenes as items. Their inputs are the scene's file and its recording or the files of its frames.

    Args:
        out: folder of the prepared scenes.
        frames: folder of the frames (see `frames_of`).
        scenes: names of the scenes.
        bytes_each: estimated size of the output of a scene in bytes.
    """
    items = []
    for scene in scenes:
        inputs: tuple[Path, ...] = (out / SCENES / scene / FILE,)
        try:
            place = frames_of(frames, scene)
            inputs += (
                (place,) if place.is_file() else tuple(sorted(file for file in place.rglob("*") if file.is_file()))
            )
        except G3DError:
            pass  # the work of the item raises the error
        items.append(Item(scene, inputs, bytes_each))
    return items
