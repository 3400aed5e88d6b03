"""Matching costs and the assignment of least cost, image by image."""

from pathlib import Path

import numpy as np
import torch

from g3d.nn.matcher import hungarian
from g3d.systems.jln.config import LossConfig
from g3d.systems.jln.losses import matching_costs
from parity.describe import stated_number

COSTS = {"label": r"\bcosts class", "center": r"\bcentre", "box": r"\bl/r/t/b L1", "giou": r"\bGIoU"}
"""Our names of the costs' weights, and the words before each weight in a case."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    logits, boxes, labels, truth = (
        torch.from_numpy(arrays[f"in.{name}"]) for name in ("pred_logits", "pred_boxes", "t_labels", "t_boxes_3d")
    )
    counts = arrays["in.targets_per_image"].tolist()
    config = LossConfig(**{name: stated_number(case["ran"], f"{words} #", "ran") for name, words in COSTS.items()})
    costs = [
        matching_costs(*image, config)
        for image in zip(logits, boxes, labels.long().split(counts), truth.split(counts), strict=True)
    ]
    found: dict[str, np.ndarray] = {}
    for k, (cost, (queries, targets)) in enumerate(zip(costs, hungarian(costs), strict=True)):
        found |= {f"pred_{k}": queries.numpy(), f"target_{k}": targets.numpy(), f"cost_{k}": cost.numpy()}
    return found
