"""Inputs and gradients that the cases of both detectors have in common."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.nn.scene_box_losses import BoxPrediction, BoxTargets
from parity.check import Check, compare

_HEAD = {
    "objectness": "objectness_scores",
    "centers": "center",
    "heading_scores": "heading_scores",
    "heading_residuals": "heading_residuals_normalized",
    "size_scores": "size_scores",
    "size_residuals": "size_residuals_normalized",
    "class_scores": "sem_cls_scores",
}


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return the inputs of a case by their names without "in."."""
    return {name.removeprefix("in."): torch.from_numpy(v) for name, v in arrays.items() if name.startswith("in.")}


def heads_of(given: dict[str, Tensor]) -> tuple[BoxPrediction, dict[str, Tensor]]:
    """Return the outputs of a head (or stacked heads), and the tensors that receive gradients by their case names."""
    leaves = {name: given[name].requires_grad_() for name in _HEAD.values()}
    return BoxPrediction(**{ours: leaves[name] for ours, name in _HEAD.items()}), leaves


def box_targets_of(given: dict[str, Tensor], mean_sizes: Tensor) -> BoxTargets:
    """Return the box targets of a case; sizes come from residuals where the case does not state them."""
    used = given["box_label_mask"].bool()
    classes = given["sem_cls_label"]
    if not torch.equal(classes, given["size_class_label"]):
        raise ValueError("size_class_label: expected the semantic class")
    sizes = given.get("size_gts")
    if sizes is None:
        sizes = (mean_sizes[classes] + given["size_residual_label"]).float() * used[..., None]
    return BoxTargets(
        given["center_label"],
        sizes,
        given["heading_class_label"],
        given["heading_residual_label"],
        given["size_residual_label"],
        classes,
        used,
    )


def optional_gradients(
    case: dict[str, Any], arrays: dict[str, np.ndarray], leaves: dict[str, Tensor]
) -> dict[str, np.ndarray | Check]:
    """Return the comparison of every gradient that the case stores; no gradient counts as zeros."""
    stated = case["tolerance"]["gradients"]
    checks: dict[str, np.ndarray | Check] = {}
    for name, leaf in leaves.items():
        gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        expected = arrays[f"out.grad_{name}"]
        checks[f"out.grad_{name}"] = compare(
            f"grad_{name}", gradient.numpy(), expected, float(stated["abs"]), float(stated["rel"])
        )
    return checks
