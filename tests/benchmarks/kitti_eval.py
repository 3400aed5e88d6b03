"""Time KITTI's evaluation beside the published evaluators.

    python tests/benchmarks/kitti_eval.py [--frames 3769] [--runs 7] [--json]

Makes label and result files of a split as large as KITTI's val (about 28,000 labels and 26,000 detections of three
classes), then times reading both folders, the evaluation (three classes, all measures and difficulties, both threshold
sets), and the first evaluation of a fresh process, compilation included. Medians; wall time. The peers' figures were
measured on 2 cores of the same machine class.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from g3d.data.kitti.raw import format_labels, format_results, read_labels_folder, read_results_folder
from g3d.data.types import CameraBoxes

PEERS = {  # seconds, 3,769 frames
    "published Python (traveller59/kitti-object-eval-python), overlap on a CPU": 65.0,
    "published Python, overlaps one frame at a time": 7.0,
    "C++ (asharakeh/kitti_native_evaluation, g++ -O3)": 17.5,
}
# type: (share of all label lines, height, width, length in metres)
KINDS = {
    "Car": (0.55, 1.53, 1.63, 3.88), "Pedestrian": (0.10, 1.76, 0.66, 0.84), "Cyclist": (0.05, 1.74, 0.60, 1.76),
    "Van": (0.05, 2.2, 1.9, 5.1), "Truck": (0.02, 3.2, 2.6, 10.0), "Person_sitting": (0.01, 1.27, 0.6, 0.8),
    "DontCare": (0.22, -1, -1, -1),
}  # fmt: skip
FOCAL, CENTRE = 721.5, (609.6, 172.9)


def draw_labels(rng: np.random.Generator, count: int) -> CameraBoxes:
    """Objects at random places on a road, boxes by a simple projection."""
    names = rng.choice(list(KINDS), count, p=[share for share, *_ in KINDS.values()])
    sizes = np.array([KINDS[name][1:] for name in names]).reshape(-1, 3) * rng.normal(1, 0.06, (count, 1))
    z = 5 + 60 * rng.random(count) ** 1.3
    locations = np.stack([rng.uniform(-0.7, 0.7, count) * z, rng.normal(1.65, 0.1, count), z], 1)
    yaw = rng.uniform(-np.pi, np.pi, count)
    unlabelled = names == "DontCare"
    boxes = image_boxes(locations, np.where(unlabelled[:, None], 1.6, sizes))
    sizes[unlabelled], locations[unlabelled] = -1, -1000
    occluded = np.where(unlabelled, -1, rng.choice(4, count, p=[0.5, 0.25, 0.2, 0.05]))
    truncated = np.where(unlabelled, -1, rng.random(count) * (rng.random(count) < 0.15))
    alpha = np.where(unlabelled, -10, yaw - np.arctan2(locations[:, 0], locations[:, 2]))
    return CameraBoxes(names, boxes, sizes, locations, np.where(unlabelled, -10, yaw), alpha, truncated, occluded)


def image_boxes(locations: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    x, y, z = locations.T
    half = FOCAL * np.maximum(sizes[:, 1], sizes[:, 2] * 0.6) / z / 2
    bottom = CENTRE[1] + FOCAL * y / z
    middle = CENTRE[0] + FOCAL * x / z
    return np.stack([middle - half, bottom - FOCAL * sizes[:, 0] / z, middle + half, bottom], 1)


def draw_detections(rng: np.random.Generator, labels: CameraBoxes) -> CameraBoxes:
    """Most labels found with some noise, some of them twice, and detections of nothing."""
    evaluated = np.isin(labels.classes, ["Car", "Pedestrian", "Cyclist", "Van"])
    found = labels[evaluated & (rng.random(len(labels)) < 0.9)]
    twice = found[rng.random(len(found)) < 0.15]
    nothing = draw_labels(rng, int(rng.poisson(1.6)))
    nothing = nothing[np.isin(nothing.classes, ["Car", "Pedestrian", "Cyclist"])]
    parts = (found, twice, nothing)
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("classes", "sizes", "locations", "rotation_y")
    ]
    names, sizes, locations, yaw = columns
    count = len(names)
    sizes = sizes * rng.normal(1, 0.04, (count, 1))
    locations = locations + rng.normal(0, 0.15, (count, 3)) * [1, 0.3, 1.5]
    yaw = yaw + rng.normal(0, 0.1, count)
    real = np.arange(count) < len(found) + len(twice)
    scores = np.clip(rng.normal(np.where(real, 0.75, 0.35), 0.2), 0, 1)
    boxes = image_boxes(locations, sizes) + rng.normal(0, 1.5, (count, 4))
    alpha = yaw - np.arctan2(locations[:, 0], locations[:, 2])
    names = np.where(names == "Van", "Car", names)
    return CameraBoxes(names, boxes, sizes, locations, yaw, alpha, np.zeros(count), np.zeros(count, np.int64), scores)


def write_split(folder: Path, frames: int) -> list[str]:
    rng = np.random.default_rng(1)
    ids = [f"{frame:06d}" for frame in range(frames)]
    for name in ("label_2", "data"):
        (folder / name).mkdir(parents=True)
    for frame in ids:
        labels = draw_labels(rng, int(rng.poisson(7.45)))
        (folder / "label_2" / f"{frame}.txt").write_text(format_labels(labels))
        (folder / "data" / f"{frame}.txt").write_text(format_results(draw_detections(rng, labels)))
    return ids


def seconds(work: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def first_evaluation(folder: Path) -> float:
    """Seconds of the first evaluation in a fresh process that has nothing compiled, of a single frame."""
    program = (
        "import time; from g3d.data.types import CameraBoxes; from g3d.metrics.kitti import evaluate; began "
        "= time.perf_counter(); "
        "evaluate([CameraBoxes.empty()], [CameraBoxes.empty(scored=True)]); print(time.perf_counter() - began)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "numba")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def measure(folder: Path, frames: int, runs: int) -> dict[str, float]:
    from g3d.metrics.kitti import evaluate

    ids = write_split(folder, frames)
    files = [folder / part / f"{frame}.txt" for part in ("label_2", "data") for frame in ids]
    labels, detections = read_labels_folder(folder / "label_2", ids), read_results_folder(folder / "data", ids)
    truth, found = list(labels.values()), list(detections.values())
    evaluate(truth, found)  # compiled or loaded from the cache

    def all_of_it() -> None:
        evaluate(
            list(read_labels_folder(folder / "label_2", ids).values()),
            list(read_results_folder(folder / "data", ids).values()),
        )

    return {
        "frames": frames,
        "labels": sum(map(len, truth)),
        "detections": sum(map(len, found)),
        "bytes": sum(file.stat().st_size for file in files),
        "pairs": sum(len(a) * len(b) for a, b in zip(truth, found, strict=True)),
        "first_evaluation_s": first_evaluation(folder),
        "raw_read_s": seconds(lambda: [file.read_bytes() for file in files], runs),
        "read_s": seconds(
            lambda: (read_labels_folder(folder / "label_2", ids), read_results_folder(folder / "data", ids)), runs
        ),
        "evaluate_s": seconds(lambda: evaluate(truth, found), runs),
        "total_s": seconds(all_of_it, runs),
    }


def report(result: dict[str, float]) -> str:
    peers = [
        f"  {name}: {peer:.1f} s, {peer / result['total_s']:.0f} times as long"
        for name, peer in PEERS.items()
        if result["frames"] == 3769
    ]
    return "\n".join(
        [
            f"{result['frames']:,} frames, {result['labels']:,} labels, {result['detections']:,} detections",
            f"first evaluation of a process without compiled kernels: {result['first_evaluation_s']:.2f} s",
            f"reading {2 * result['frames']:,} files: {result['read_s']:.3f} s",
            f"evaluating: {result['evaluate_s']:.3f} s",
            f"both: {result['total_s']:.3f} s",
            "bounds:",
            f"  opening and reading {result['bytes'] / 1e6:.1f} MB without parsing: {result['raw_read_s']:.3f} s",
            f"  {result['pairs']:,.0f} pairs of a label and a detection in one frame, three overlaps each",
            *(["peers, beside both:", *peers] if peers else []),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3769)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each part; the median is shown")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.frames, options.runs)
    if options.json:
        print(json.dumps({**result, "peers_s": PEERS}, indent=2))
    else:
        print(report(result))


if __name__ == "__main__":
    main()
