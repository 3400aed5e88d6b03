"""An image file -> result lines: read, warp, normalise, network, decode, format."""

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
from parity.kinds.monodle import angle_difference, filled_model, mini_kitti, summary
from parity.kinds.monodle_decode import published_rows

ABSOLUTE, RELATIVE, SWAP = (
    1e-2,
    1e-3,
    1e-4,
)  # as the case's note says: rows may change places when scores are this close


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    root, frame = mini_kitti(case, folder), f"{int(arrays['in.frame']):06d}"
    image, camera = read_image(root.image(frame)), read_calibration(root.calibration(frame))
    size, resolution = (image.shape[1], image.shape[0]), tuple(case.get("resolution", (1280, 384)))
    warped = warp_image(image, no_augmentation(size).transform(size, resolution), resolution)
    inputs = normalise(torch.from_numpy(warped).permute(2, 0, 1)[None])
    model = filled_model(case, folder).eval()
    with torch.inference_mode():
        maps = model.maps(inputs)
        peaks, values = model.detect(inputs, len(arrays["out.dets"]))
        dense_peaks = find_peaks(maps["heatmap"], len(arrays["out.dets"]))
        dense = detection_rows(dense_peaks, values_in_maps(maps, dense_peaks.cells), resolution[0] // 4)[0].numpy()
        detections = detection_rows(peaks, values, resolution[0] // 4)[0].numpy()
        objects = decode(peaks, values, [camera], [size], resolution, float(arrays["in.threshold"]))[0]
    found: dict[str, np.ndarray | Check] = {
        f"stats.{name}": _close(f"stats.{name}", summary(value.numpy()), arrays[f"out.stats.{name}"])
        for name, value in maps.items()
        if f"out.stats.{name}" in arrays
    }
    found["dets"] = _match("dets", detections, arrays["out.dets"], score=1, angles=())
    found["dets, all cells"] = _match("dets, all cells", dense, arrays["out.dets"], score=1, angles=())
    found["rows"] = _match("rows", published_rows(objects), arrays["out.rows"], score=13, angles=(1, 12))
    lines = [line.split() for line in format_results(objects, 2).splitlines()]
    found["result_file"] = _match(
        "result_file",
        _numbers(lines),
        _numbers([line.split() for line in case["result_file"]]),
        score=13,
        angles=(1, 12),
        slack=0.005,
    )
    return found


def _close(name: str, found: np.ndarray, expected: np.ndarray) -> Check:
    error = np.abs(found - expected)
    within = bool((error <= np.maximum(ABSOLUTE, RELATIVE * np.abs(expected))).all())
    return Check(name, float(error.max()), f"{ABSOLUTE:g} or {RELATIVE:g} relative", within)


def _match(
    name: str, found: np.ndarray, expected: np.ndarray, score: int, angles: tuple[int, ...], slack: float = 0.0
) -> Check:
    """Rows in order of rank; a row may stand elsewhere if the scores differ by less than SWAP. `slack`: rounding of
    printed numbers."""
    words = f"{ABSOLUTE + slack:g} or {RELATIVE:g} relative"
    if found.shape != expected.shape:
        return Check(name, float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    error = np.abs(found[:, None] - expected[None])
    for column in angles:
        error[..., column] = angle_difference(found[:, None, column], expected[None, :, column])
    within = (error <= np.maximum(ABSOLUTE, RELATIVE * np.abs(expected)) + slack).all(-1)
    near = np.abs(found[:, None, score] - expected[None, :, score]) < SWAP + slack
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
