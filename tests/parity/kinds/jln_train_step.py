"""Training mode without dropout: every loss of one batch, and the gradient of every trained parameter."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from g3d.systems.jln.config import LossConfig
from g3d.systems.jln.losses import losses
from parity.check import Check, compare
from parity.describe import stated_number
from parity.kinds.jln import filled_model, our_name, run_model, seeded_images, words_of
from parity.kinds.jln_losses import MAX_DEPTH, TERMS, logged_only, targets_from
from parity.kinds.jln_tokens import tokenise

SENTENCES = {
    "the white car, which is approximately 4.1 meters long, is parked on the left side of the road.":
        [0, 627, 1104, 512, 6, 61, 16, 2219, 204, 4, 134, 7679, 251, 6, 16, 9181, 15, 5, 314, 526, 9, 5, 921, 4, 2],
    "a pedestrian about 1.7 m tall stands on the right, 23.5 meters in front of us":
        [0, 102, 11038, 59, 112, 4, 406, 475, 6764, 3311, 15, 5, 235, 6, 883, 4, 245, 7679, 11, 760, 9, 201, 2],
}  # fmt: skip
"""Token ids by roberta-base's tokenizer, which the case does not state; other sentences need the tokenizer itself."""
PAD = 1
"""Token id of padding in roberta-base's vocabulary."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    model = filled_model(case, folder).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    ids, mask = token_ids(case, arrays, model.text_encoder.max_words)
    allowed = tolerances(case["tolerance"])
    targets = targets_from(arrays | {"in.targets_per_image": np.ones(len(ids))})
    outputs = run_model(model, seeded_images(case, arrays), words_of(model, ids, mask), arrays)
    terms = losses(outputs, targets, LossConfig(depth_map_boxes="published"), MAX_DEPTH)
    terms["total"].backward()

    found = {name: terms[ours].detach().numpy() for name, ours in TERMS.items()} | logged_only(
        outputs.logits.detach(), targets
    )
    checks = {
        name: compare(f"out.{name}", value, arrays[f"out.{name}"], 0.0, allowed.loss) for name, value in found.items()
    }
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    names = [our_name(name) for name in case["grad_norm_names"]]
    norms = np.array([gradients[name].norm().item() if name in gradients else -1.0 for name in names])
    checks["grad_norms"] = compare("out.grad_norms", norms, arrays["out.grad_norms"], 0.0, allowed.norms)
    checks["trained"] = Check(
        "names of trained parameters", len(set(names) ^ set(gradients)), "the case's", set(names) == set(gradients)
    )
    for name in (name for name in arrays if name.startswith("out.grad_first64.")):
        published = name.removeprefix("out.grad_first64.")
        share = allowed.backbone_gradient if published.startswith("backbone.") else allowed.gradient
        value = gradients[our_name(published)].flatten()[: len(arrays[name])].numpy()
        checks[name] = compare(name, value, arrays[name], share * float(np.abs(arrays[name]).max()))
    return checks


@dataclass(frozen=True)
class Tolerances:
    """Relative tolerances of losses and gradient norms; of single gradients as a share of their tensor's largest."""

    loss: float
    norms: float
    backbone_gradient: float
    gradient: float


def tolerances(words: dict) -> Tolerances:
    """Return the tolerances that the case gives in words."""
    first = words["grad_first64"]
    return Tolerances(
        stated_number(words["loss"], r"^rel #", "tolerance.loss"),
        stated_number(words["grad_norms"], r"^rel #", "tolerance.grad_norms"),
        stated_number(first, r"\babs # \* max\|value\| for backbone\.\*", "tolerance.grad_first64"),
        stated_number(first, r", # \* max\|value\| for the others", "tolerance.grad_first64"),
    )


def token_ids(case: dict, arrays: dict[str, np.ndarray], max_words: int) -> tuple[Tensor, Tensor]:
    """Return the token ids (B, W) of the case's sentences and their attention mask: from its arrays, from the table of
    known sentences, or by the tokenizer."""
    if "in.token_ids" in arrays:
        ids, mask = (torch.from_numpy(arrays[f"in.{name}"]) for name in ("token_ids", "attention_mask"))
        return ids, mask
    if set(case["sentences"]) <= set(SENTENCES):
        tokens = [torch.tensor(SENTENCES[sentence]) for sentence in case["sentences"]]
        padded = pad_sequence(tokens, True, PAD)
        ids = nn.functional.pad(padded, (0, max_words - padded.shape[1]), value=PAD)
        return ids, ids != PAD
    ids, padding = tokenise(case["sentences"], max_words)
    return ids, ~padding
