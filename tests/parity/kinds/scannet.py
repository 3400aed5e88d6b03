"""Find the scan that a scannet case names, and its files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from support import paths

from g3d.data.scannet.folder import Scan, ScanFiles, ScanFolder, read_scan
from g3d.data.scannet.labels import LabelTable
from parity.describe import DescriptionError, agreed

_NAMES = r"\bmade scene (\w+)|\b(scene\d{4}_\d{2})\b"


def scene_name(case: dict[str, Any]) -> str:
    """Return the scan's name, from the field `scene` or from the text of `input`.

    Raises:
        DescriptionError: the case names no scan or several.
    """
    text = str(case.get("input", ""))
    names = sorted({first or second for first, second in re.findall(_NAMES, text)})
    if len(names) > 1:
        raise DescriptionError(f"input {text!r} names several scenes: {', '.join(names)}")
    return str(agreed({"scene": case.get("scene"), "input": names[0] if names else None}, "scene"))


def made_folder(case: dict[str, Any], folder: Path) -> ScanFolder:
    """Return the download that holds the case's scan.

    Args:
        case: JSON of the case.
        folder: folder of the case. `made/` in it is searched first, then the folders of `../../data/made` and
            `../../data/real`, then those of the repository's shared samples, for a case that lies elsewhere.

    Raises:
        DescriptionError: no download holds the scan.
    """
    scene = scene_name(case)
    roots = [
        data / kind for data in (folder.parent.parent / "data", paths.SHARED / "data") for kind in ("made", "real")
    ]
    places = [folder / "made", *(place for root in roots if root.is_dir() for place in sorted(root.iterdir()))]
    for place in places:
        if (place / "scans" / scene).is_dir():
            return ScanFolder(place)
    raise DescriptionError(f"scene {scene}: no folder scans/{scene} in {', '.join(map(str, places))}")


def made_files(case: dict[str, Any], folder: Path) -> ScanFiles:
    """Return the files of the case's scan."""
    return made_folder(case, folder).files(scene_name(case))


def made_stream(case: dict[str, Any], folder: Path) -> Path:
    """Return the path of the scan's recording (.sens)."""
    stream = made_files(case, folder).stream
    if stream is None:
        raise DescriptionError(f"scene {scene_name(case)}: the scan has no .sens file")
    return stream


def made_scan(case: dict[str, Any], folder: Path) -> tuple[Scan, LabelTable]:
    """Return the case's scan and the label table of its download."""
    made = made_folder(case, folder)
    return read_scan(made.files(scene_name(case))), LabelTable.read(made.meta("scannetv2-labels.combined.tsv"))


def by_appearance(labels: np.ndarray) -> np.ndarray:
    """Renumber labels in the order in which they first occur.

    Which vertex stands for a superpoint depends on how ties are sorted, so that partitions are compared in this form.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse]


def other_case_array(reference: str, folder: Path) -> np.ndarray:
    """Return an array of another case of the folder.

    Args:
        reference: text with the name of the array and that of the case, in either order, such as
            "prepared_refer out.spformer.val.superpoint" or "xyz of out.full.vert in batch_load".
        folder: folder of the cases.
    """
    arrays = re.findall(r"\bout(?:\.\w+)+", reference)
    cases = [word for word in re.findall(r"(?<![.\w])\w+(?![.\w])", reference) if (folder / f"{word}.npz").is_file()]
    if len(arrays) != 1 or len(cases) != 1:
        raise DescriptionError(f"{reference!r}: expected one array and one case of {folder}, found {arrays}, {cases}")
    with np.load(folder / f"{cases[0]}.npz") as stored:
        return np.asarray(stored[arrays[0]])
