"""Losses of WS-3DVG: contrast of scenes and sentences, classification, reconstruction and distillation.

Source: lib/loss_helper/{loss_joint,loss_reconstruct,mil}.py of ZzZZCHS/WS-3DVG. In a run of several processes, the mean
of a loss over the processes is the loss of the global batch. Letters in shapes: B scenes, L sentences, P proposals, H
channels, C classes, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.nn.parallel import gather_objects, sum_over_ranks, world_size
from g3d.nn.precision import at_least_float32
from g3d.systems.ws3dvg.model import Outputs
from g3d.systems.ws3dvg.model_config import AblationConfig, LossConfig

_TINY = 1e-7  # as published: added to every count that divides a sum


@dataclass(frozen=True, eq=False)
class Truth:
    """Labels of the sentences in training; there are no boxes among them.

    Attributes:
        counts: (B,) int64, how many sentences of a scene count.
        classes: (B, L) int64, class of the described object, which its name tells.
    """

    counts: Tensor
    classes: Tensor


def losses(
    outputs: Outputs, truth: Truth, epoch: int, config: LossConfig, ablation: AblationConfig
) -> dict[str, Tensor]:
    """Return the unweighted terms `nce`, `lang`, `rec` and `weak`, without those left out, and the weighted `total`.

    Args:
        outputs: of the network; with the teacher's losses, unless it is left out.
        truth: of the batch.
        epoch: counted from 0.
        config: weights and constants.
        ablation: no_mil, no_text, no_recon and no_distill leave out one term each.
    """
    counted = torch.arange(truth.classes.shape[1], device=truth.classes.device) < truth.counts[:, None]
    terms: dict[str, tuple[float, Tensor]] = {}
    if not ablation.no_mil:
        pairs = scene_sentence_pairs(outputs.scenes.features, outputs.sentences, counted)
        with torch.autocast(pairs[0].device.type, enabled=False):  # sums of many similar numbers
            loss = nce_loss(*pairs) if config.contrast == "nce" else margin_loss(*pairs, config.margin)
        terms["nce"] = config.contrast_weight, loss
    if not ablation.no_text:
        terms["lang"] = config.class_weight, class_loss(outputs.class_scores, truth.classes, counted)
    judged = outputs.reconstruction
    if not ablation.no_recon:
        if judged is None:
            raise ValueError("losses: expected the teacher's losses, found None")
        best_half = epoch >= config.all_candidates_epochs
        terms["rec"] = config.reconstruction_weight, reconstruction_loss(judged, counted, best_half)
    if not ablation.no_distill:
        rewards = None if judged is None or ablation.no_recon else rank_rewards(judged)
        weak = distillation_loss(outputs.student, outputs.candidates, rewards, counted)
        terms["weak"] = config.distillation_weight, weak
    found = {name: value for name, (_, value) in terms.items()}
    zero = outputs.sentences.new_zeros(())
    return found | {"total": sum((weight * value for weight, value in terms.values()), zero)}


def scene_sentence_pairs(features: Tensor, sentences: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return features and sentence vectors of the global batch, float32 or wider.

    Vectors of sentences that do not count become 0, as published: they still take part. All processes must have the
    same L.

    Args:
        features: (B, P, H) of proposals.
        sentences: (B, L, H).
        counted: (B, L) bool.

    Returns:
        (B', P, H) and (B', L, H), with the scenes of all processes.
    """
    vectors = sentences * counted[..., None]
    return gather_objects(at_least_float32(features)), gather_objects(at_least_float32(vectors))


def nce_loss(features: Tensor, sentences: Tensor) -> Tensor:
    """Return the MIL-NCE loss of all pairs of a proposal and a sentence.

    A scene's own pairs are compared with all pairs of its proposals and all pairs of its sentences, which contain its
    own pairs twice.

    Args:
        features: (B, P, H).
        sentences: (B, L, H).
    """
    pairs = torch.einsum("bph,clh->bclp", features, sentences).flatten(2).logsumexp(2)  # (B, B)
    everything = torch.cat([pairs, pairs.T], 1).logsumexp(1)
    return (everything - pairs.diagonal()).mean()


def margin_loss(features: Tensor, sentences: Tensor, margin: float) -> Tensor:
    """Return the margin loss of mean cosines: own pairs shall exceed those with other scenes by a margin.

    Args:
        features: (B, P, H).
        sentences: (B, L, H).
        margin: least difference.
    """
    others = max(1, len(features) - 1)  # a batch of one scene has no other pairs
    unit = [F.normalize(x, dim=2, eps=1e-8).mean(1) for x in (features, sentences)]
    cosines = unit[0] @ unit[1].T  # (B, B), means over all pairs
    own = cosines.diagonal()
    apart = cosines - torch.diag(own)
    terms = (F.relu(margin - own + apart.sum(axis) / others).mean() for axis in (0, 1))
    return sum(terms, own.new_zeros(()))


def class_loss(scores: Tensor, classes: Tensor, counted: Tensor) -> Tensor:
    """Return the cross entropy of sentences, the mean in each scene and then over the scenes.

    Args:
        scores: (B, L, C) logits.
        classes: (B, L) int64.
        counted: (B, L) bool, at least one of each scene.
    """
    values = F.cross_entropy(scores.transpose(1, 2), classes, reduction="none") * counted
    scenes = sum_over_ranks(values.new_tensor(len(values)))
    return (values.sum(1) / counted.sum(1)).sum() * world_size() / scenes


def reconstruction_loss(judged: Tensor, counted: Tensor, best_half: bool) -> Tensor:
    """Return the mean of the teacher's losses (B, L, K), of the better half of the candidates if `best_half`."""
    if best_half:
        judged = judged.topk(judged.shape[2] // 2, dim=2, largest=False).values
    return _mean_over_sentences(judged, counted)


def rank_rewards(judged: Tensor) -> Tensor:
    """Return rewards (B, L, K) by the rank of the teacher's losses (B, L, K): 1 for the least, 0.01 for the greatest.

    Rewards are squares of equally spaced numbers. Of two equal losses, the earlier candidate has the lower reward.
    """
    rank = judged.detach().argsort(dim=2, descending=True, stable=True).argsort(dim=2)
    steps = torch.linspace(0.1, 1, judged.shape[2], dtype=judged.dtype, device=judged.device)
    return steps.square()[rank]


def distillation_loss(student: Tensor, candidates: Tensor, rewards: Tensor | None, counted: Tensor) -> Tensor:
    """Return the mean of reward times -log p of candidates, where p is the softmax over all proposals.

    Args:
        student: (B, L, P) scores.
        candidates: (B, L, K) int64.
        rewards: (B, L, K); None: all 1.
        counted: (B, L) bool.
    """
    surprise = -student.log_softmax(2).gather(2, candidates)
    return _mean_over_sentences(surprise if rewards is None else surprise * rewards, counted)


def _mean_over_sentences(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of values (B, L, K) over the sentences of the global batch that count, (B, L) bool, and K."""
    total = values.masked_fill(~counted[..., None], 0).sum()
    number = sum_over_ranks(counted.sum().to(values.dtype))
    return total * world_size() / (number + _TINY) / values.shape[2]
