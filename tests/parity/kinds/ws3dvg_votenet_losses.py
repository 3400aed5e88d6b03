"""VoteNet's loss terms, labels and gradients from network outputs and targets."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.votenet import losses as votenet
from g3d.systems.votenet.targets import VoteTargets
from parity.check import Check, compare
from parity.describe import agreed
from parity.kinds.ws3dvg_heads import box_targets_of, heads_of, optional_gradients, tensors

NAMES = {
    "vote_loss": "vote",
    "objectness_loss": "objectness",
    "center_loss": "center",
    "heading_cls_loss": "heading_class",
    "heading_reg_loss": "heading_residual",
    "size_cls_loss": "size_class",
    "size_reg_loss": "size_residual",
    "sem_cls_loss": "semantic_class",
    "box_loss": "box",
    "loss": "total",
}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    settings, given = case["settings"], tensors(arrays)
    offered = {"near": votenet.NEAR, "far": votenet.FAR, "objectness_class_weights": [*votenet.OBJECTNESS_WEIGHTS]}
    for name, value in (offered | {"vote_factor": 1}).items():
        agreed({f"settings.{name}": settings[name], "g3d": value}, name)
    head, leaves = heads_of(given)
    leaves["vote_xyz"] = given["vote_xyz"].requires_grad_()
    boxes = box_targets_of(given, given["mean_size_arr"])
    offsets = given["vote_label"].reshape(*given["vote_label"].shape[:2], settings["gt_votes_per_point"], 3)
    targets = VoteTargets(boxes, offsets, given["vote_label_mask"].bool())
    outputs = votenet.LossInputs(
        given["seed_xyz"], given["seed_inds"], leaves["vote_xyz"], given["aggregated_vote_xyz"], head
    )
    terms = votenet.losses(outputs, targets, given["mean_size_arr"], match_unused_rows=True)
    terms["total"].backward()
    found: dict[str, np.ndarray | Check] = {
        name: terms[ours].detach().reshape(1).numpy() for name, ours in NAMES.items()
    }
    labels = votenet.assign(given["aggregated_vote_xyz"], given["center_label"])
    positive, counts = labels.boxes.positive, labels.counts
    right = (head.objectness.argmax(-1) == positive) & counts
    found |= {
        "pos_ratio": positive.float().mean().reshape(1).numpy(),
        "neg_ratio": (counts & ~positive).float().mean().reshape(1).numpy(),
        "obj_acc": (right.sum() / (counts.sum() + 1e-6)).reshape(1).numpy(),
        "objectness_label": positive.long().numpy(),
        "objectness_mask": counts.float().numpy(),
    }
    rows, expected = labels.boxes.rows, torch.from_numpy(arrays["out.object_assignment"])
    unused = torch.stack([~used[row] for used, row in zip(boxes.used, rows, strict=True)])
    wanted_unused = torch.stack([~used[row] for used, row in zip(boxes.used, expected, strict=True)])
    same = torch.where(unused & wanted_unused, expected, rows)
    found["out.object_assignment"] = compare(
        "object_assignment", same.numpy(), expected.numpy(), note="any unused row for an unused row"
    )
    return found | optional_gradients(case, arrays, leaves)
