"""The published overlap of boxes, and the true one."""

from pathlib import Path

import numpy as np

from g3d.metrics.grounding import oriented_iou, published_iou
from parity.check import Check, compare
from parity.describe import stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    found, truth = (arrays[f"in.{name}"][:, [3, 4, 5, 0, 1, 2, 6]].astype(np.float64) for name in ("pred", "gt"))
    absolute = stated_number(case["tolerance"]["note"], r"\biou_rotated #", "tolerance.note")
    oriented = compare("iou_rotated", oriented_iou(found, truth), arrays["extra.iou_rotated"], absolute)
    return {"iou_published": published_iou(found, truth), "iou_rotated": oriented}
