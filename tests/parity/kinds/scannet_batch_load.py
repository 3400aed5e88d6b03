"""Scene arrays of ScanRefer and VoteNet: all vertices, a legacy draw, without alignment or annotation, shared segments,
one object."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from g3d.data.scannet.arrays import SceneArrays, published_sample_rows, scanrefer_scene, scene_arrays, votenet_scene
from g3d.data.scannet.raw import Aggregation, read_aggregation
from parity.check import Check, compare
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
    scan, table = made_scan(folder)

    def made(aggregation: Aggregation | None, alignment: np.ndarray | None = scan.alignment) -> SceneArrays:
        return scene_arrays(scan.mesh, scan.segments, aggregation, table, alignment, normals="published")

    def stored(name: str) -> Aggregation:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "aggregation.json"
            path.write_bytes(arrays[f"in.{name}.aggregation_json"].tobytes())
            return read_aggregation(path, scan.segments)

    full = made(scan.aggregation)
    scenes = {
        "full": scanrefer_scene(full),
        "sub3000": scanrefer_scene(full, published_sample_rows(len(full.vertices), 3000, np.random.RandomState(7))),
        "noalign": scanrefer_scene(made(scan.aggregation, None)),
        "noagg": scanrefer_scene(made(None)),
        "overlap": scanrefer_scene(made(stored("overlap"))),
        "single": scanrefer_scene(made(stored("single"))),
        "votenet": votenet_scene(full),
    }
    checks = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        setting, _, field = name.partition(".")
        found, expected = getattr(scenes[setting], FIELDS[field]), arrays[f"out.{name}"]
        for part, columns, tolerance in _parts(field, expected, case["tolerance"]):
            checks[f"{name}{part}"] = compare(f"{name}{part}", found[columns], expected[columns], tolerance)
    return checks


def _parts(field: str, expected: np.ndarray, tolerance: dict) -> Iterator[tuple[str, tuple, float]]:
    """Name, columns and tolerance of what is compared of an array; the first part bears the array's own name."""
    if expected.ndim == 1:
        yield "", (slice(None),), 0.0
    elif field.endswith("bbox"):
        yield "", (..., slice(0, 6)), tolerance["boxes"]
        yield " class, id", (..., slice(6, 8)), 0.0
    else:
        yield "", (..., slice(0, expected.shape[1] if field == "vert_xyz" else 6)), tolerance["xyz, rgb"]
        if expected.shape[1] == 9:
            yield " normals", (..., slice(6, 9)), tolerance["normals"]
