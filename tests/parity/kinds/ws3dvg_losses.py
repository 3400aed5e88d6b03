"""WS-3DVG's losses and gradients from network outputs.

Logits of words are given, so that the vocabulary layer is the identity here. The contrastive module that the published
code has but does not use is not part of g3d; its loss is computed here.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.systems.ws3dvg import losses as ws3dvg
from g3d.systems.ws3dvg.model_config import LossConfig
from g3d.systems.ws3dvg.teacher import KEYWORD_SHARE, reconstruction_losses, word_kinds
from g3d.systems.ws3dvg.vocabulary import SMOOTHING, word_losses
from parity.describe import DescriptionError
from parity.kinds.ws3dvg_heads import tensors


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    _check_settings(case["settings"])
    given = tensors(arrays)
    scenes, count = given["object_cat"].shape
    counted = torch.arange(count) < given["lang_num"][:, None]
    found: dict[str, Tensor] = {}
    for name, function in (("nce", ws3dvg.nce_loss), ("margin", _margin)):
        box, lang = given["bbox_feature"].clone().requires_grad_(), given["lang_emb"].clone().requires_grad_()
        loss = function(*ws3dvg.scene_sentence_pairs(box, lang.unflatten(0, (scenes, count)), counted))
        loss.backward()
        found |= {name: loss, f"grad_{name}_bbox": box.grad, f"grad_{name}_lang": lang.grad}
    found.pop("grad_margin_lang")
    classes = given["lang_scores"].requires_grad_()
    found["lang"] = ws3dvg.class_loss(classes.unflatten(0, (scenes, count)), given["object_cat"], counted)
    found["lang"].backward()
    logits = given["word_logits"].requires_grad_()
    judged = _judged(given, logits)
    for epoch in (0, 2, 3):
        best_half = epoch >= LossConfig().all_candidates_epochs
        found[f"rec_loss_e{epoch}"] = ws3dvg.reconstruction_loss(judged, counted, best_half)
    found["rec_loss_e3"].backward(retain_graph=True)
    student = given["cluster_ref"].requires_grad_()
    for name, rewards in (("weak_norec", None), ("weak", ws3dvg.rank_rewards(judged))):
        student.grad = None
        scores = student.unflatten(0, (scenes, count))
        found[name] = ws3dvg.distillation_loss(scores, given["target_ids"], rewards, counted)
        found[name].backward()
    found |= {
        "grad_lang": classes.grad,
        "grad_rec_e3_logits_s5": logits.grad[..., ::5],
        "grad_weak_cluster": student.grad,
    }
    found["rec_score"] = judged.flatten(0, 1)
    found["contra"] = _unused_contrast(given["ori_lang_feat"], given["contra_lang_feat"])
    return {name: (x.detach().reshape(1) if x.dim() == 0 else x.detach()).numpy() for name, x in found.items()}


def _judged(given: dict[str, Tensor], logits: Tensor) -> Tensor:
    """Return the loss of each candidate, (B, L, K), from logits (B, L, K, T, V) of words."""
    shape = given["keyword_mask"].shape
    lengths = torch.zeros(shape[:2], dtype=torch.int64)  # the mask tells what padding is
    kinds, scored = word_kinds(given["keyword_mask"], lengths, given["lang_num"], mask_value_two_is_padding=True)
    rows = logits.transpose(2, 3)[scored]  # (M, K, V)
    targets = given["word_ids"][scored].repeat_interleave(rows.shape[1])
    words = logits.shape[4]
    values = word_losses(rows.flatten(0, 1), torch.eye(words), torch.zeros(words), targets).view(rows.shape[:2])
    sentences = scored.flatten(0, 1).nonzero()[:, 0]
    return reconstruction_losses(values, sentences, kinds[scored], shape[0] * shape[1]).unflatten(0, shape[:2])


def _margin(features: Tensor, sentences: Tensor) -> Tensor:
    return ws3dvg.margin_loss(features, sentences, LossConfig().margin)


def _unused_contrast(first: Tensor, second: Tensor) -> Tensor:
    """Return InfoNCE with temperature 0.1 of mean features (B, L, D) of scenes, which no training of WS-3DVG uses."""
    rows, keys = (F.normalize(x.mean(1), dim=1) for x in (first, second))
    return F.cross_entropy(rows @ keys.T / 0.1, torch.arange(len(rows)))


def _check_settings(stated: dict) -> None:
    """Raise DescriptionError if a case states other constants than g3d has."""
    own = {"label_smoothing": SMOOTHING, "keyword_share": KEYWORD_SHARE}
    for name, value in own.items():
        if stated[name] != value:
            raise DescriptionError(f"settings.{name}: {stated[name]}, expected {value}")
