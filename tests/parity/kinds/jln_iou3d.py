"""The published overlap of boxes, and the true one."""

from pathlib import Path

import numpy as np

from g3d.metrics.grounding import oriented_iou, published_iou
from parity.check import Check, compare


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    found, truth = (arrays[f"in.{name}"][:, [3, 4, 5, 0, 1, 2, 6]].astype(np.float64) for name in ("pred", "gt"))
    oriented = compare("iou_rotated", oriented_iou(found, truth), arrays["extra.iou_rotated"], 1e-6)
    return {"iou_published": published_iou(found, truth), "iou_rotated": oriented}
