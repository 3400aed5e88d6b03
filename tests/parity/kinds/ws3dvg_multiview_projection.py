"""Points to cells of frames, and features pooled over them; some cells have features of nothing but zeros."""

from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.multiview import CELLS, FAR, NEAR, TOLERANCE, FeaturePool, View, see_points
from parity.check import Check, compare
from parity.describe import DescriptionError, evaluate_formula, formula_in, stated, stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    check_settings(case["settings"])
    share = stated_number(case["tolerance"], r"\bat most #% of points", "tolerance, points") / 100
    absolute = stated_number(case["tolerance"], r"\bfeatures atol #", "tolerance, features")
    points = torch.from_numpy(arrays["in.points"])
    features = features_of(case["settings"]["frame_features"], len(arrays["in.depth"]))
    pool = FeaturePool(len(points), features.shape[1])
    found, counts = [], []
    for frame, (depth, pose) in enumerate(zip(arrays["in.depth"], arrays["in.pose"], strict=True)):
        cells = see_points(points, View(np.zeros(0), depth, arrays["in.intrinsic"][:3, :3], pose, published=True))
        pool.add(cells, torch.from_numpy(features[frame]))
        rows = (cells >= 0).nonzero()[:, 0]
        found += [(frame, int(row), int(cells[row])) for row in rows]
        counts.append(len(rows))
    frames = np.repeat(np.arange(len(counts)), arrays["out.counts"])
    pairs = zip(frames, arrays["out.point_index"], arrays["out.pixel_index"], strict=True)
    apart = set(found) ^ {(int(frame), int(point), int(cell)) for frame, point, cell in pairs}
    most = int(share * len(points))
    agree = np.ones(len(points), bool)
    agree[[point for _, point, _ in apart]] = False
    pooled, seen = pool.features.numpy(), pool.seen.numpy()
    cells_check = Check("out.point_index, out.pixel_index", len(apart), f"{most} points", len(apart) <= most)
    differ = int(np.abs(np.array(counts) - arrays["out.counts"]).sum())
    checks = {
        "point_index": cells_check,
        "pixel_index": cells_check,
        "counts": Check("out.counts", differ, f"{most} points", differ <= most),
        "filled": compare("out.filled", seen[agree].astype(np.int32), arrays["out.filled"][agree]),
        "features_mean": compare(
            "out.features_mean", pooled.mean(0), arrays["out.features_mean"], share if apart else absolute
        ),
    }
    for name in (name for name in arrays if name.startswith("out.features_s")):
        step = int(stated(name, r"^out\.features_s(\d+)$", "name of an array")[0])
        kept = agree[::step]
        checks[name] = compare(name, pooled[::step][kept], arrays[name][kept], absolute)
    return checks


def check_settings(settings: dict) -> None:
    """Raise unless the case has the depth range, accuracy and cells for which the published projection is defined."""
    published = {"depth_min": NEAR, "depth_max": FAR, "accuracy": TOLERANCE, "image_dims": list(CELLS)}
    other = {name: settings.get(name) for name, value in published.items() if settings.get(name) != value}
    if other:
        raise DescriptionError(f"settings: expected the published {published}, found {other}")


def features_of(text: str, frames: int) -> np.ndarray:
    """Return the features (frames, C, h, w) float32 that a text gives as a formula, zero in the first rows of cells."""
    what = "settings.frame_features"
    frame, channel, count, y, x = stated(
        text, r"\bframe (\w) \(0-based\), channel (\w) \(1\.\.(\d+)\), pixel (\w),(\w):", what
    )
    rows = int(stated(text, rf"\bexactly 0 for {y}<(\d+)", what)[0])
    grid = np.ogrid[:frames, 1 : int(count) + 1, : CELLS[1], : CELLS[0]]
    values = evaluate_formula(formula_in(text, what), **dict(zip((frame, channel, y, x), grid, strict=True)))
    values = np.broadcast_to(values, (frames, int(count), CELLS[1], CELLS[0])).copy()
    values[:, :, :rows] = 0
    return values
