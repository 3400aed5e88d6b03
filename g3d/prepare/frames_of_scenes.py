"""Prepared scenes and the RGB-D frames that show them: what the recipes that carry image features to points share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g3d.data.scannet.scenes import FILE
from g3d.errors import G3DError, MissingDataError
from g3d.prepare.runner import Item
from g3d.prepare.scannet import SCENES


def prepared_scenes(out: Path, wanted: Sequence[str]) -> list[str]:
    """Names of the scenes prepared under `out`, or the wanted ones.

    Raises:
        MissingDataError: there is none.
    """
    found = list(wanted) or sorted(file.parent.name for file in (out / SCENES).glob(f"*/{FILE}"))
    if not found:
        raise MissingDataError(
            f"{out / SCENES}: no prepared scenes", "run g3d prepare scannet first, with the same --out"
        )
    return found


def frames_of(frames: Path, scene: str) -> Path:
    """Where the frames of a scene are: <frames>/<scene>, or ScanNet's <frames>/scans/<scene>/<scene>.sens.

    Raises:
        MissingDataError: in none of these places.
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
    """Prepared scenes with their frames; a folder of frames counts by its list of files."""
    items = []
    for scene in scenes:
        inputs: tuple[Path, ...] = (out / SCENES / scene / FILE,)
        try:
            place = frames_of(frames, scene)
            inputs += (
                (place,) if place.is_file() else tuple(sorted(file for file in place.rglob("*") if file.is_file()))
            )
        except G3DError:
            pass  # its work says what is missing
        items.append(Item(scene, inputs, bytes_each))
    return items
