"""Network outputs and targets -> every loss term and its gradients."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g3d.systems.jln.config import LossConfig, ModelConfig
from g3d.systems.jln.losses import losses
from g3d.systems.jln.model import Outputs
from g3d.systems.jln.targets import Targets
from parity.describe import DescriptionError, parse_stream, stored_part
from parity.kinds.monodle import summary

TERMS = {
    "loss_ce": "label",
    "loss_bbox": "box",
    "loss_giou": "giou",
    "loss_dim": "size",
    "loss_angle": "angle",
    "loss_depth": "depth",
    "loss_center": "center",
    "loss_depth_map": "depth_map",
    "loss_adapt": "region",
    "loss_adapt_depth": "depth_region",
    "contrastive_learning": "contrastive",
    "total": "total",
}
OUTPUTS = {
    "pred_logits": "logits",
    "pred_boxes": "boxes",
    "pred_3d_dim": "sizes",
    "pred_depth": "depth",
    "pred_angle": "angle",
    "decoder_vt_feature": "visual_token",
    "global_text_feature": "text_token",
}
DRAWN = {
    "pred_depth_map_logits": "depth_logits",
    "perd_forback_classifier": "regions",
    "perd_forback_classifier_depth": "depth_regions",
}
"""Published names of the outputs that a case draws from a seed, and ours."""
MAX_DEPTH = ModelConfig().max_depth
"""Metres where the last bin ends: the published setting, in neither the JSON nor the arrays of a case."""
REGION_STEP = 7
"""Step over the cells of out.grad_sub.perd_forback_classifier_depth, which no case states."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    targets = targets_from(arrays)
    leaves = {name: torch.from_numpy(arrays[f"in.{name}"]).requires_grad_() for name in OUTPUTS}
    leaves |= drawn_outputs(case, len(targets.label))
    values = {ours: leaves[name] for name, ours in OUTPUTS.items()}
    values |= {
        ours: leaves[name].squeeze(-1) if leaves[name].ndim == 3 else leaves[name] for name, ours in DRAWN.items()
    }
    height, width = values["depth_logits"].shape[2:]
    outputs = Outputs(**values, depth_map=torch.zeros(len(targets.label), height, width))
    terms = losses(outputs, targets, loss_config(case), MAX_DEPTH)
    terms["total"].backward()

    found = {name: terms[ours].detach().numpy() for name, ours in TERMS.items()}
    found |= logged_only(leaves["pred_logits"].detach(), targets)
    gradients = {
        name: np.zeros(leaf.shape, np.float32) if leaf.grad is None else leaf.grad.numpy()
        for name, leaf in leaves.items()
    }
    found |= {f"grad.{name}": gradients[name] for name in OUTPUTS}
    for name in DRAWN:
        gradient = gradients[name][..., 0] if gradients[name].ndim == 3 else gradients[name]
        stored = f"out.grad_sub.{name}"
        otherwise = (1, REGION_STEP) if gradient.ndim == 2 else None
        found[stored] = gradient[stored_part(case, stored, gradient.shape, arrays[stored].shape, otherwise)]
    return found | {f"grad_stats.{name}": summary(gradients[name]) for name in DRAWN}


def drawn_outputs(case: dict, images: int) -> dict[str, Tensor]:
    """Return the outputs that the text of `inputs` describes, by published name, as leaves with gradient.

    Raises:
        DescriptionError: the text names other outputs, or another batch than that of the arrays.
    """
    stream = parse_stream(case.get("inputs"))
    names = [draw.name for draw in stream.draws]
    if sorted(names) != sorted(DRAWN):
        raise DescriptionError(f"inputs: expected the outputs {', '.join(DRAWN)}, found {names}")
    if any(draw.shape[0] != images for draw in stream.draws):
        raise DescriptionError(f"inputs: the arrays hold {images} images, the text describes {stream.draws}")
    return {name: torch.from_numpy(array).requires_grad_() for name, array in zip(names, stream.arrays(), strict=True)}


def loss_config(case: dict) -> LossConfig:
    """Return the published losses with the weights that the case states."""
    unknown = set(case["loss_weights"]) - set(TERMS)
    if unknown:
        raise DescriptionError(f"loss_weights: unknown terms {', '.join(sorted(unknown))}")
    weights = {TERMS[name]: weight for name, weight in case["loss_weights"].items()}
    return LossConfig(**weights, depth_map_boxes="published")


def targets_from(arrays: dict[str, np.ndarray]) -> Targets:
    """Return the published targets as ours: one slot per image, zeros for an image without a target."""
    present = torch.from_numpy(arrays["in.targets_per_image"]).bool()

    def slots(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
        rows = torch.from_numpy(arrays[f"in.{name}"]).to(dtype)
        values = torch.zeros(len(present), *rows.shape[1:], dtype=dtype)
        values[present] = rows
        return values

    return Targets(
        label=slots("t_labels", torch.int64),
        box=slots("t_boxes"),
        box3d=slots("t_boxes_3d"),
        depth=slots("t_depth")[:, 0],
        size=slots("t_size_3d"),
        heading_bin=slots("t_heading_bin", torch.int64)[:, 0],
        heading_res=slots("t_heading_res")[:, 0],
        present=present,
        regions=torch.from_numpy(arrays["in.target_visual_classifier"]),
        depth_regions=torch.from_numpy(arrays["in.target_depth_classifier"]),
    )


def logged_only(logits: Tensor, targets: Targets) -> dict[str, np.ndarray]:
    """Return what the published code logs beside its losses, for one query.

    class_error is the percentage of wrong classes. cardinality_error is the mean difference between the number of
    queries whose best class is not the last one and the number of objects.
    """
    best = logits[:, 0].argmax(-1)
    right = (best == targets.label)[targets.present].float()
    wrong = 100 - 100 * right.mean() if len(right) else torch.tensor(100.0)
    return {
        "class_error": wrong.numpy(),
        "cardinality_error": ((best != logits.shape[-1] - 1).float() - targets.present.float()).abs().mean().numpy(),
    }
