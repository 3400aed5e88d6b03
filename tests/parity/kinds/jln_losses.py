"""Network outputs and targets -> every loss term and its gradients."""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g3d.systems.jln.config import LossConfig
from g3d.systems.jln.losses import losses
from g3d.systems.jln.model import Outputs
from g3d.systems.jln.targets import Targets
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
    "pred_depth_map_logits": ("depth_logits", (81, 24, 80)),
    "perd_forback_classifier": ("regions", (10200, 1)),
    "perd_forback_classifier_depth": ("depth_regions", (1920, 1)),
}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    targets = targets_from(arrays)
    leaves = {name: torch.from_numpy(arrays[f"in.{name}"]).requires_grad_() for name in OUTPUTS}
    (seed,) = re.findall(r"RandomState\((\d+)\)", case["inputs"])
    rng = np.random.RandomState(int(seed))
    for name, (_, shape) in DRAWN.items():
        leaves[name] = torch.from_numpy(
            rng.standard_normal((len(targets.label), *shape)).astype(np.float32)
        ).requires_grad_()
    values = {ours: leaves[name] for name, ours in OUTPUTS.items()}
    values |= {
        ours: leaves[name].squeeze(-1) if len(shape) == 2 else leaves[name] for name, (ours, shape) in DRAWN.items()
    }
    outputs = Outputs(**values, depth_map=torch.zeros(len(targets.label), 24, 80))
    assert {
        TERMS[name]: weight for name, weight in case["loss_weights"].items()
    }.items() <= LossConfig().model_dump().items()
    terms = losses(outputs, targets, LossConfig(depth_map_boxes="published"), 60.0)
    terms["total"].backward()

    found = {name: terms[ours].detach().numpy() for name, ours in TERMS.items()}
    found |= logged_only(leaves["pred_logits"].detach(), targets)
    gradients = {
        name: np.zeros(leaf.shape, np.float32) if leaf.grad is None else leaf.grad.numpy()
        for name, leaf in leaves.items()
    }
    found |= {f"grad.{name}": gradients[name] for name in OUTPUTS}
    found["grad_sub.pred_depth_map_logits"] = gradients["pred_depth_map_logits"][:, ::4, ::3, ::5]
    for name in list(DRAWN)[1:]:
        found[f"grad_sub.{name}"] = gradients[name][:, ::7, 0]
    return found | {f"grad_stats.{name}": summary(gradients[name]) for name in DRAWN}


def targets_from(arrays: dict[str, np.ndarray]) -> Targets:
    """The published targets, concatenated over the images that have one, as ours; zeros where there is none."""
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
    """What the published code logs beside its losses, for one query: percent of wrong classes, and how far the number
    of queries whose best
    class is not the last one is from the number of objects."""
    best = logits[:, 0].argmax(-1)
    right = (best == targets.label)[targets.present].float()
    wrong = 100 - 100 * right.mean() if len(right) else torch.tensor(100.0)
    return {
        "class_error": wrong.numpy(),
        "cardinality_error": ((best != 8).float() - targets.present.float()).abs().mean().numpy(),
    }
