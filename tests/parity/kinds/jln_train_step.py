"""Training mode without dropout: every loss of one batch, and the gradient of every trained parameter."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from g3d.systems.jln.config import LossConfig
from g3d.systems.jln.losses import losses
from parity.check import Check, compare
from parity.kinds.jln import filled_model, our_name, run_model, seeded_images, words_of
from parity.kinds.jln_losses import TERMS, logged_only, targets_from

SENTENCES = {
    "the white car, which is approximately 4.1 meters long, is parked on the left side of the road.":
        [0, 627, 1104, 512, 6, 61, 16, 2219, 204, 4, 134, 7679, 251, 6, 16, 9181, 15, 5, 314, 526, 9, 5, 921, 4, 2],
    "a pedestrian about 1.7 m tall stands on the right, 23.5 meters in front of us":
        [0, 102, 11038, 59, 112, 4, 406, 475, 6764, 3311, 15, 5, 235, 6, 883, 4, 245, 7679, 11, 760, 9, 201, 2],
}  # fmt: skip
"""The case's sentences and what roberta-base's tokenizer makes of them, which the case does not say."""
PAD, WORDS = 1, 110
LOSS, NORMS = 1e-4, 3e-3
"""Relative tolerances, which the case gives in words; and of single gradients, as a share of the largest of their
tensor:"""
BACKBONE_GRADIENT, GRADIENT = 1e-2, 1e-3


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    model = filled_model(case, folder).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    tokens = [torch.tensor(SENTENCES[sentence]) for sentence in case["sentences"]]
    ids = nn.functional.pad(padded := pad_sequence(tokens, True, PAD), (0, WORDS - padded.shape[1]), value=PAD)
    targets = targets_from(arrays | {"in.targets_per_image": np.ones(len(ids))})
    outputs = run_model(model, seeded_images(case, arrays), words_of(model, ids, ids != PAD), arrays)
    terms = losses(outputs, targets, LossConfig(depth_map_boxes="published"), 60.0)
    terms["total"].backward()

    found = {name: terms[ours].detach().numpy() for name, ours in TERMS.items()} | logged_only(
        outputs.logits.detach(), targets
    )
    checks = {name: compare(f"out.{name}", value, arrays[f"out.{name}"], 0.0, LOSS) for name, value in found.items()}
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    names = [our_name(name) for name in case["grad_norm_names"]]
    norms = np.array([gradients[name].norm().item() if name in gradients else -1.0 for name in names])
    checks["grad_norms"] = compare("out.grad_norms", norms, arrays["out.grad_norms"], 0.0, NORMS)
    checks["trained"] = Check(
        "names of trained parameters", len(set(names) ^ set(gradients)), "the case's", set(names) == set(gradients)
    )
    for name in (name for name in arrays if name.startswith("out.grad_first64.")):
        published = name.removeprefix("out.grad_first64.")
        share = BACKBONE_GRADIENT if published.startswith("backbone.") else GRADIENT
        value = gradients[our_name(published)].flatten()[:64].numpy()
        checks[name] = compare(name, value, arrays[name], share * float(np.abs(arrays[name]).max()))
    return checks
