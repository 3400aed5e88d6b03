"""KITTI's average precision from label and result files: full curves, R40, R11 and distance bands."""

import re
import zipfile
from pathlib import Path

import numpy as np

from g3d.data.kitti.raw import parse_objects
from g3d.data.types import CameraBoxes
from g3d.metrics.kitti import THRESHOLDS, KittiResult, average_precision, evaluate
from parity.describe import stated


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    classes = dict.fromkeys(match[1] for name in arrays if (match := re.fullmatch(r"out\.(\w+)\.\w+\.curve", name)))
    result = evaluate_case(case, folder, tuple(classes))
    found = {"out.thresholds_of_sets": THRESHOLDS}
    for measure, curves in result.curves.items():
        for c, name in enumerate(result.classes):
            prefix = f"out.{name}.{measure}"
            found[f"{prefix}.curve"] = curves[c]
            found[f"{prefix}.R40"] = average_precision(curves[c], 40)
            found[f"{prefix}.R11"] = average_precision(curves[c], 11)
            assert result.distance_curves is not None
            found[f"{prefix}.distance_R40"] = average_precision(result.distance_curves[measure][c], 40)
    return found


def evaluate_case(case: dict, folder: Path, classes: tuple[str, ...]) -> KittiResult:
    """Evaluate the frames in the case's zip, label_2/*.txt and data/*.txt, in the order of their ids."""
    (name,) = stated(case.get("files"), r"\b([\w.-]+\.zip)\b", "files")
    with zipfile.ZipFile(folder / name) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".txt")}
    ids = sorted(Path(name).name for name in texts if Path(name).parent.name == "label_2")
    labels = [_objects(texts, "label_2", name, scored=False) for name in ids]
    return evaluate(labels, [_objects(texts, "data", name, scored=True) for name in ids], classes, distances=True)


def _objects(texts: dict[str, str], part: str, name: str, scored: bool) -> CameraBoxes:
    (source,) = (path for path in texts if Path(path).parent.name == part and Path(path).name == name)
    return parse_objects(texts[source], source, scored)
