"""Points to cells of six frames, and features pooled over them; some cells have features of nothing but zeros."""

from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.multiview import CELLS, FeaturePool, View, see_points
from g3d.nn.enet import CHANNELS
from parity.check import Check, compare

APART, ABSOLUTE = 2e-3, 1e-6  # share of the points on an edge, and features where the cells agree


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    points = torch.from_numpy(arrays["in.points"])
    pool = FeaturePool(len(points), CHANNELS)
    found, counts = [], []
    for frame, (depth, pose) in enumerate(zip(arrays["in.depth"], arrays["in.pose"], strict=True)):
        cells = see_points(points, View(np.zeros(0), depth, arrays["in.intrinsic"][:3, :3], pose, published=True))
        pool.add(cells, torch.from_numpy(_features(frame)))
        rows = (cells >= 0).nonzero()[:, 0]
        found += [(frame, int(row), int(cells[row])) for row in rows]
        counts.append(len(rows))
    frames = np.repeat(np.arange(len(counts)), arrays["out.counts"])
    pairs = zip(frames, arrays["out.point_index"], arrays["out.pixel_index"], strict=True)
    apart = set(found) ^ {(int(frame), int(point), int(cell)) for frame, point, cell in pairs}
    most = int(APART * len(points))
    agree = np.ones(len(points), bool)
    agree[[point for _, point, _ in apart]] = False
    features, seen = pool.features.numpy(), pool.seen.numpy()
    cells_check = Check("out.point_index, out.pixel_index", len(apart), f"{most} points", len(apart) <= most)
    differ = int(np.abs(np.array(counts) - arrays["out.counts"]).sum())
    return {
        "point_index": cells_check,
        "pixel_index": cells_check,
        "counts": Check("out.counts", differ, f"{most} points", differ <= most),
        "features_s5": compare(
            "out.features_s5", features[::5][agree[::5]], arrays["out.features_s5"][agree[::5]], ABSOLUTE
        ),
        "filled": compare("out.filled", seen[agree].astype(np.int32), arrays["out.filled"][agree]),
        "features_mean": compare(
            "out.features_mean", features.mean(0), arrays["out.features_mean"], APART if apart else ABSOLUTE
        ),
    }


def _features(frame: int) -> np.ndarray:
    """As the case says: sines of channel, frame and cell, 0 in the first three rows."""
    channel, row, column = np.mgrid[1 : CHANNELS + 1, : CELLS[1], : CELLS[0]]
    values = np.sin(0.1 * channel + 0.3 * frame + 0.2 * column - 0.15 * row).astype(np.float32)
    values[:, :3] = 0
    return values
