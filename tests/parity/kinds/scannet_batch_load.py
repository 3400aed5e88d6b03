"""Scene arrays of ScanRefer and VoteNet for the settings that the case describes: subsampled, without alignment,
without annotation, with another annotation."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from g3d.data.scannet.arrays import (
    ScanReferScene,
    VoteNetScene,
    published_sample_rows,
    scanrefer_scene,
    scene_arrays,
    votenet_scene,
)
from g3d.data.scannet.folder import Scan
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.raw import Aggregation, read_aggregation
from parity.check import Check, compare
from parity.describe import DescriptionError, stated
from parity.kinds.scannet import made_scan

FIELDS = {
    "vert": "vertices",
    "vert_xyz": "vertices",
    "aligned_vert": "aligned",
    "sem_label": "semantic",
    "ins_label": "instance",
    "bbox": "boxes",
    "aligned_bbox": "aligned_boxes",
}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    scan, table = made_scan(case, folder)
    names = [n.removeprefix("out.") for n in arrays if n.startswith("out.")]
    scenes = {
        setting: made_scene(setting, case["settings"].get(setting, ""), scan, table, arrays)
        for setting in dict.fromkeys(name.partition(".")[0] for name in names)
    }
    checks = {}
    for name in names:
        setting, _, field = name.partition(".")
        if field not in FIELDS:
            raise DescriptionError(f"out.{name}: expected one of the fields {', '.join(FIELDS)}, found {field!r}")
        found, expected = getattr(scenes[setting], FIELDS[field]), arrays[f"out.{name}"]
        for part, columns, tolerance in _parts(field, expected, case["tolerance"]):
            checks[f"{name}{part}"] = compare(f"{name}{part}", found[columns], expected[columns], tolerance)
    return checks


def made_scene(
    setting: str, text: str, scan: Scan, table: LabelTable, arrays: dict[str, np.ndarray]
) -> ScanReferScene | VoteNetScene:
    """Return the scene that the text of a setting describes.

    Raises:
        DescriptionError: the text describes none of the known variants.
    """
    known = (
        r"\bmaximum points \d+",
        r"\baxisAlignment line removed\b",
        r"\baggregation file removed\b",
        r"\baggregation replaced by in\.[\w.]+",
        r"\bvotenet variant\b",
    )
    if not any(re.search(words, text) for words in known):
        raise DescriptionError(f"settings.{setting}: {text!r} describes none of the known variants of a scene")
    aggregation, alignment = scan.aggregation, scan.alignment
    if re.search(known[1], text):
        alignment = None
    if re.search(known[2], text):
        aggregation = None
    if re.search(known[3], text):
        (name,) = stated(text, r"\baggregation replaced by (in\.\w+(?:\.\w+)*)", f"settings.{setting}")
        aggregation = _stored_aggregation(arrays, name, scan)
    whole = scene_arrays(scan.mesh, scan.segments, aggregation, table, alignment, normals="published")
    rows = _sampled_rows(setting, text, len(whole.vertices)) if re.search(known[0], text) else None
    return votenet_scene(whole, rows) if re.search(known[4], text) else scanrefer_scene(whole, rows)


def _sampled_rows(setting: str, text: str, vertices: int) -> np.ndarray | None:
    """Return the rows that a maximum of points leaves, drawn from the stated seed; None if all vertices are kept."""
    maximum = int(stated(text, r"\bmaximum points (\d+)", f"settings.{setting}")[0])
    if vertices <= maximum:
        return None
    (seed,) = stated(text, r"\bnumpy legacy global generator seeded with (\d+)", f"settings.{setting}")
    return published_sample_rows(vertices, maximum, np.random.RandomState(int(seed)))


def _stored_aggregation(arrays: dict[str, np.ndarray], name: str, scan: Scan) -> Aggregation:
    """Read the annotation that an array holds as the bytes of its JSON."""
    if name not in arrays:
        raise DescriptionError(f"{name}: the settings name this array, but the case does not hold it")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "aggregation.json"
        path.write_bytes(arrays[name].tobytes())
        return read_aggregation(path, scan.segments)


def _parts(field: str, expected: np.ndarray, tolerance: dict) -> Iterator[tuple[str, tuple, float]]:
    """Yield name, columns and tolerance of each compared part of an array; the first part has the array's own name."""
    if expected.ndim == 1:
        yield "", (slice(None),), 0.0
    elif field.endswith("bbox"):
        yield "", (..., slice(0, 6)), tolerance["boxes"]
        yield " class, id", (..., slice(6, 8)), 0.0
    else:
        yield "", (..., slice(0, expected.shape[1] if field == "vert_xyz" else 6)), tolerance["xyz, rgb"]
        if expected.shape[1] == 9:
            yield " normals", (..., slice(6, 9)), tolerance["normals"]
