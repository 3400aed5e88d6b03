"""The coarse stage: which proposals may be meant by a sentence, by similarity of features and of classes.

Source: `divide_proposals` in models/jointnet/jointnet.py of ZzZZCHS/WS-3DVG. Letters in shapes: B scenes, L sentences,
P proposals, H channels, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.systems.ws3dvg.model_config import AblationConfig

_MIL_SHARE = 0.5


@torch.no_grad()
def coarse_scores(
    features: Tensor,
    classes: Tensor,
    objects: Tensor,
    sentences: Tensor,
    sentence_classes: Tensor,
    ablation: AblationConfig,
) -> Tensor:
    """Return scores (B, L, P) of proposals, -inf for those without an object; higher is better.

    A score is 0.5 softmax(features . sentence) + softmax(logit of the sentence's class) + cosine(class logits); both
    softmaxes run over the proposals of the scene.

    Args:
        features: (B, P, H) of proposals.
        classes: (B, P, C) logits of proposals.
        objects: (B, P) bool, whether a proposal is an object.
        sentences: (B, L, H) sentence vectors.
        sentence_classes: (B, L, C) logits.
        ablation: no_mil leaves out the first term, no_text the others.
    """
    scores = torch.zeros(*sentences.shape[:2], features.shape[1], dtype=classes.dtype, device=classes.device)
    if not ablation.no_mil:
        scores = scores + _MIL_SHARE * (sentences @ features.transpose(1, 2)).softmax(2)
    if not ablation.no_text:
        likeliest = sentence_classes.argmax(2)[..., None].expand(-1, -1, features.shape[1])  # (B, L, P)
        of_class = classes.transpose(1, 2).gather(1, likeliest)
        scores = scores + of_class.softmax(2)
        scores = scores + F.cosine_similarity(classes[:, None], sentence_classes[:, :, None], dim=3)
    return scores.masked_fill(~objects[:, None], -torch.inf)


def best_candidates(scores: Tensor, count: int) -> Tensor:
    """Return the best proposals of each sentence, (B, L, count) int64 by falling score (B, L, P).

    Proposals without an object fill in where a scene has fewer objects, in the order of their numbers.
    """
    return scores.sort(dim=2, descending=True, stable=True).indices[..., :count]
