"""An image file -> result lines: read, warp, normalise, network, decode, format."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from g3d.data.images.augment import no_augmentation
from g3d.data.images.image import read_image, warp_image
from g3d.data.kitti.raw import format_results, read_calibration
from g3d.nn.images import normalise
from g3d.systems.monodle.decode import decode, detection_rows
from g3d.systems.monodle.model import find_peaks, values_in_maps
from parity.check import Check
from parity.describe import stated_number
from parity.kinds.monodle import angle_difference, filled_model, mini_kitti, summary
from parity.kinds.monodle_decode import STRIDE, published_rows

RESOLUTION = (1280, 384)
"""Width and height of the network's input, for a case without the field `resolution`."""


@dataclass(frozen=True)
class Tolerances:
    """Tolerances that a case gives in words: a value may differ by `absolute` or by `relative` of it, and rows whose
    scores differ by less than `swap` may change places."""

    absolute: float
    relative: float
    swap: float


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    tolerances = stated_tolerances(case["tolerance"]["note"])
    root, frame = mini_kitti(case, folder), f"{int(arrays['in.frame']):06d}"
    image, camera = read_image(root.image(frame)), read_calibration(root.calibration(frame))
    size, resolution = (image.shape[1], image.shape[0]), tuple(case.get("resolution", RESOLUTION))
    warped = warp_image(image, no_augmentation(size).transform(size, resolution), resolution)
    inputs = normalise(torch.from_numpy(warped).permute(2, 0, 1)[None])
    model = filled_model(case, folder).eval()
    with torch.inference_mode():
        maps = model.maps(inputs)
        peaks, values = model.detect(inputs, len(arrays["out.dets"]))
        dense_peaks = find_peaks(maps["heatmap"], len(arrays["out.dets"]))
        dense = detection_rows(dense_peaks, values_in_maps(maps, dense_peaks.cells), resolution[0] // STRIDE)[0].numpy()
        detections = detection_rows(peaks, values, resolution[0] // STRIDE)[0].numpy()
        objects = decode(peaks, values, [camera], [size], resolution, float(arrays["in.threshold"]))[0]
    found: dict[str, np.ndarray | Check] = {
        f"stats.{name}": _close(f"stats.{name}", summary(value.numpy()), arrays[f"out.stats.{name}"], tolerances)
        for name, value in maps.items()
        if f"out.stats.{name}" in arrays
    }
    found["dets"] = _match("dets", detections, arrays["out.dets"], tolerances, score=1, angles=())
    found["dets, all cells"] = _match("dets, all cells", dense, arrays["out.dets"], tolerances, score=1, angles=())
    found["rows"] = _match("rows", published_rows(objects), arrays["out.rows"], tolerances, score=13, angles=(1, 12))
    lines = [line.split() for line in format_results(objects, 2).splitlines()]
    found["result_file"] = _match(
        "result_file",
        _numbers(lines),
        _numbers([line.split() for line in case["result_file"]]),
        tolerances,
        score=13,
        angles=(1, 12),
        slack=0.005,
    )
    return found


def stated_tolerances(note: str) -> Tolerances:
    """Return the tolerances that the note of a case states."""
    return Tolerances(
        stated_number(note, r"\bvalues within # absolute\b", "tolerance.note"),
        stated_number(note, r"\babsolute or # relative\b", "tolerance.note"),
        stated_number(note, r"\bscores differ by less than #", "tolerance.note"),
    )


def _close(name: str, found: np.ndarray, expected: np.ndarray, tolerances: Tolerances) -> Check:
    error = np.abs(found - expected)
    within = bool((error <= np.maximum(tolerances.absolute, tolerances.relative * np.abs(expected))).all())
    return Check(name, float(error.max()), f"{tolerances.absolute:g} or {tolerances.relative:g} relative", within)


def _match(
    name: str,
    found: np.ndarray,
    expected: np.ndarray,
    tolerances: Tolerances,
    score: int,
    angles: tuple[int, ...],
    slack: float = 0.0,
) -> Check:
    """Compare rows in order of rank; a row may have another rank if the scores differ by less than the case allows.

    Args:
        name: name of the check.
        found, expected: (N, C) rows.
        tolerances: of the case.
        score: column of the score.
        angles: columns that are compared modulo a turn.
        slack: half a unit of the last printed digit, for printed numbers.
    """
    words = f"{tolerances.absolute + slack:g} or {tolerances.relative:g} relative"
    if found.shape != expected.shape:
        return Check(name, float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    error = np.abs(found[:, None] - expected[None])
    for column in angles:
        error[..., column] = angle_difference(found[:, None, column], expected[None, :, column])
    within = (error <= np.maximum(tolerances.absolute, tolerances.relative * np.abs(expected)) + slack).all(-1)
    near = np.abs(found[:, None, score] - expected[None, :, score]) < tolerances.swap + slack
    allowed = within & (near | np.eye(len(found), dtype=bool))
    free, moved, worst = set(range(len(found))), 0, 0.0
    for row in range(len(expected)):
        choice = row if row in free and allowed[row, row] else next((k for k in sorted(free) if allowed[k, row]), None)
        if choice is None:
            return Check(name, float(error[row, row].max()), words, False, f"no match for row {row}")
        free.remove(choice)
        moved += choice != row
        worst = max(worst, float(error[choice, row].max()))
    return Check(name, worst, words, True, f"{moved} rows in another rank" if moved else "")


def _numbers(lines: list[list[str]]) -> np.ndarray:
    """Result lines as rows: class name's hash in place of the class, then alpha to score."""
    return np.array([[float(sum(map(ord, line[0]))), *map(float, line[3:])] for line in lines])
