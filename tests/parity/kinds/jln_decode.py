"""Network outputs -> detection rows and label rows."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.jln.config import CLASS_NAMES
from g3d.systems.jln.decode import decode, detection_rows
from g3d.systems.jln.model import Outputs
from parity.check import Check, tolerance_of
from parity.kinds.monodle import angle_difference

NAMES = {
    "logits": "pred_logits",
    "boxes": "pred_boxes",
    "sizes": "pred_3d_dim",
    "depth": "pred_depth",
    "angle": "pred_angle",
}
RESOLUTION = (1280, 384)
"""Width and height of the network's input: in neither the JSON nor the arrays of the cases."""
ANGLES = (1, 12)  # columns of a label row


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    outputs = outputs_from(arrays)
    sizes = [(int(width), int(height)) for width, height in arrays["in.img_size_wh"]]
    found = decode(
        outputs, [camera.astype(np.float64) for camera in arrays["in.calib_P2"]], sizes, RESOLUTION, exact_inverse=False
    )
    labels = np.array(
        [
            [
                CLASS_NAMES.index(o.classes[0]),
                o.alpha[0],
                *o.boxes2d[0],
                *o.sizes[0],
                *o.locations[0],
                o.rotation_y[0],
                o.scores[0],
            ]
            for o in found
            if o.scores is not None
        ]
    )
    return {
        "detections": detection_rows(outputs)[:, None].numpy(),
        "label": compare_labels(labels, arrays["out.label"], *tolerance_of(case["tolerance"], "label")),
        "hwl_xyz": labels[:, 6:12],
    }


def outputs_from(arrays: dict[str, np.ndarray]) -> Outputs:
    """The published heads as our outputs, without maps, regions and tokens."""
    values = {ours: torch.from_numpy(arrays[f"in.{name}"]) for ours, name in NAMES.items()}
    maps = torch.zeros(len(values["logits"]), 1, 1, 1)
    return Outputs(
        **values,
        depth_logits=maps,
        depth_map=maps[:, 0],
        regions=None,
        depth_regions=None,
        visual_token=None,
        text_token=None,
    )


def compare_labels(found: np.ndarray, expected: np.ndarray, absolute: float, relative: float) -> Check:
    """Label rows, angles modulo a turn."""
    error = np.abs(found - expected)
    for column in ANGLES:
        error[:, column] = angle_difference(found[:, column], expected[:, column])
    passed = bool((error <= absolute + relative * np.abs(expected)).all())
    return Check("label", float(error.max()), f"{absolute:g} + {relative:g} relative", passed)
