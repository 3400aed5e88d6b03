"""Network outputs -> overlaps and the published table over the groups of the test split."""

from pathlib import Path

import numpy as np

from g3d.data.types import CameraBoxes
from g3d.metrics.grounding import grounding_table, published_iou
from g3d.systems.jln.decode import decode
from parity.check import Check
from parity.kinds.jln_decode import RESOLUTION, outputs_from


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    count = len(arrays["in.instance_id"])
    width, height = arrays["in.img_size_wh"].tolist()
    camera = arrays["in.calib_P2"].astype(np.float64)
    found = decode(outputs_from(arrays), [camera] * count, [(width, height)] * count, RESOLUTION, exact_inverse=False)
    truth = [_label(row) for row in arrays["in.gt_hwl_xyz"].astype(np.float64)]
    groups = {name: frozenset(numbers) for name, numbers in case["split"].items()}
    table = grounding_table(found, truth, arrays["in.instance_id"].tolist(), groups)

    printed = {row.label: [f"{value:.2f}%" for value in row.values[:3] if value is not None] for row in table.rows}
    wrong = [name for name, row in case["out_table"].items() if printed[name] != row]
    boxes = (
        np.stack([np.concatenate([o.locations[0], o.sizes[0], o.rotation_y]) for o in objects])
        for objects in (found, truth)
    )
    return {
        "iou": published_iou(*boxes),
        "table": Check("table", float(len(wrong)), "equal when printed", not wrong, ", ".join(wrong)),
    }


def _label(row: np.ndarray) -> CameraBoxes:
    """An object of h w l x y z; the published evaluation needs no heading."""
    none = np.zeros(1)
    return CameraBoxes(
        np.array(["car"]), np.zeros((1, 4)), row[None, :3], row[None, 3:], none, none, none, np.zeros(1, np.int64)
    )
