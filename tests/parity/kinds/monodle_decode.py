"""Raw heads -> detections, rows in the camera frame and result files."""

import re
from pathlib import Path

import numpy as np
import torch

from g3d.data.kitti.raw import format_results
from g3d.data.types import CameraBoxes
from g3d.systems.monodle.config import CLASS_NAMES
from g3d.systems.monodle.decode import detection_rows, objects_from_rows
from g3d.systems.monodle.model import OBJECT_HEADS, find_peaks, values_in_maps
from parity.check import Check, tolerance_of
from parity.describe import DescriptionError
from parity.kinds.monodle import angle_difference

STRIDE = 4
"""Pixels of the network's input per cell of the maps, by definition of the network."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    check_classes(case.get("notes", ""))
    maps = {name: torch.from_numpy(arrays[f"in.{name}"]) for name in ("heatmap", *OBJECT_HEADS)}
    height, width = maps["heatmap"].shape[2:]
    peaks = find_peaks(maps["heatmap"], arrays["out.dets"].shape[1])
    detections = detection_rows(peaks, values_in_maps(maps, peaks.cells), width).numpy()
    # The published decode is given the factors from feature to image pixels, and no image size.
    sizes = arrays["in.bbox_downsample_ratio"] * [width, height]
    images = [
        objects_from_rows(
            rows,
            camera.astype(np.float64),
            tuple(size),
            (STRIDE * width, STRIDE * height),
            float(arrays["in.threshold"]),
            mean_sizes=arrays["in.cls_mean_size"].astype(np.float64),
        )
        for rows, camera, size in zip(detections, arrays["in.P2"], sizes, strict=True)
    ]
    ids = arrays["in.img_id"].tolist()
    rows = np.concatenate(
        [np.column_stack([np.full(len(o), i), published_rows(o)]) for i, o in zip(ids, images, strict=True)]
    )
    absolute, relative = tolerance_of(case["tolerance"], "rows")
    found: dict[str, np.ndarray | Check] = {
        "dets": detections,
        "rows": compare_rows(rows, arrays["out.rows"], absolute, relative, 2),
    }
    for name, text in case.get("result_files", {}).items():
        found[name] = compare_lines(name, format_results(images[ids.index(int(Path(name).stem))], 2), text)
    return found


def check_classes(notes: str) -> None:
    """Raise if a text such as "class ids: 0 Pedestrian, 1 Car, 2 Cyclist" states other classes than the network's."""
    if "class ids:" not in notes:
        return
    names = tuple(name for _, name in sorted(re.findall(r"(\d+) ([A-Z]\w+)", notes.partition("class ids:")[2])))
    if names != tuple(CLASS_NAMES):
        raise DescriptionError(f"notes: expected the classes {', '.join(CLASS_NAMES)}, found {', '.join(names)}")


def published_rows(objects: CameraBoxes) -> np.ndarray:
    """(N, 14): class, alpha, x1 y1 x2 y2, h w l, x y z, ry, score."""
    classes = [CLASS_NAMES.index(name) for name in objects.classes]
    return np.column_stack(
        [classes, objects.alpha, objects.boxes2d, objects.sizes, objects.locations, objects.rotation_y, objects.scores]
    )


def compare_rows(found: np.ndarray, expected: np.ndarray, absolute: float, relative: float, alpha: int) -> Check:
    """Rows of `published_rows` in order; angles (columns `alpha` and the last but one) modulo a turn."""
    words = f"{absolute:g} + {relative:g} relative"
    if found.shape != expected.shape:
        return Check("rows", float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    error = np.abs(found - expected)
    for column in (alpha, -2):
        error[:, column] = angle_difference(found[:, column], expected[:, column])
    return Check(
        "rows", float(error.max(initial=0)), words, bool((error <= absolute + relative * np.abs(expected)).all())
    )


def compare_lines(name: str, found: str, expected: str) -> Check:
    """Result lines: the same words, numbers at most one unit of their last printed digit apart."""
    ours, theirs = ([line.split() for line in text.splitlines()] for text in (found, expected))
    if [(len(a), a[0]) for a in ours] != [(len(b), b[0]) for b in theirs]:
        return Check(
            name, float("nan"), "same lines", False, f"{len(ours)} lines, expected {len(theirs)}, or other classes"
        )
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x[1:], y[1:], strict=True)]
    error = max((abs(float(a) - float(b)) for a, b in pairs), default=0.0)
    rounded = sum(a != b for a, b in pairs)
    return Check(
        name,
        error,
        "one unit of the last printed digit",
        error <= 0.0101,
        f"{rounded} of {len(pairs)} numbers rounded otherwise",
    )
