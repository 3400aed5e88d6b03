"""WS-3DVG as published code composes it, with the weights of ours: the oracle of tests, and what benchmarks compare.

Sentences are read three times, features of proposals are repeated for every sentence, the teacher runs once for each
candidate and gives logits at every position, and every loss is composed of PyTorch's operators. Letters in shapes: B
scenes, L sentences, S = B L, P proposals, K candidates, T words, V words of the vocabulary, H channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from g3d.systems.ws3dvg.attention import AttentionBlock
from g3d.systems.ws3dvg.model import WS3DVG, Sentences
from g3d.systems.ws3dvg.relation import box_corners
from g3d.systems.ws3dvg.teacher import Teacher, WordAttention, sine_positions
from support.plain_detectors import PlainGroupFree


class PlainWS3DVG(nn.Module):
    """The network of a WS3DVG with Group-Free 3D; it shares our modules' weights and returns the joint loss."""

    def __init__(self, ours: WS3DVG) -> None:
        super().__init__()
        self.ours, config = ours, ours.config
        self.detector = PlainGroupFree(
            ours.group_free, config.width, config.input_features, config.heads, config.feedforward, 0.1
        )
        self.detector.requires_grad_(False)
        self.sampled = torch.empty(0)
        self.train(ours.training)
        self.detector.backbone_net.sa1.register_forward_hook(self._keep_samples)

    def _keep_samples(self, module: nn.Module, inputs: tuple, result: tuple[Tensor, Tensor, Tensor]) -> None:
        """Keep the points that the first level samples, of which the first ones are the seeds."""
        self.sampled = result[2]

    def train(self, mode: bool = True) -> PlainWS3DVG:
        super().train(mode)
        self.detector.eval()
        return self

    def scores(self, points: Tensor, views: Tensor, sentences: Sentences) -> Tensor:
        """Return the student's scores (S, P); the published evaluation runs all of this for each sentence."""
        features, proposals, at = self.encode(points, views)
        words, last, padding = self.read(sentences, sentences.vectors)
        self.coarse(features, proposals, sentences, last, at)
        return self.student(features, words, padding, sentences.lengths.shape[1])

    def forward(
        self, points: Tensor, views: Tensor, sentences: Sentences, classes: Tensor, epoch: int
    ) -> dict[str, Tensor]:
        """Return the terms of the loss and the teacher's losses (S, K)."""
        assert sentences.word_ids is not None
        assert sentences.keyword_mask is not None
        features, proposals, at = self.encode(points, views)
        words, last, padding = self.read(sentences, sentences.vectors)
        student = self.student(features, words, padding, sentences.lengths.shape[1])
        candidates = self.coarse(features, proposals, sentences, last, at)
        of_candidates = repeated(features, sentences).gather(1, candidates[..., None].expand(-1, -1, features.shape[2]))
        hidden = sentences.vectors.masked_fill((sentences.keyword_mask == 1)[..., None], 0)
        masked, _, _ = self.read(sentences, hidden)
        masks = sentences.keyword_mask.flatten(0, 1)
        replaced = torch.rand(masks.shape) < 0.3 if sentences.replaced is None else sentences.replaced.flatten(0, 1)
        shown = replaced.long().masked_fill(masks == 2, 2)
        logits = reconstruct(self.ours.recnet, masked, shown, of_candidates)
        counted = torch.arange(sentences.lengths.shape[1]) < sentences.counts[:, None]
        judged = reconstruction_scores(logits, sentences.word_ids.flatten(0, 1), masks, counted.flatten())
        scores = self.ours.lang.lang_cls(last)
        return self.losses(features, last, scores, classes, student, candidates, judged, counted, epoch)

    def encode(self, points: Tensor, views: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return features of proposals (B, P, H), the last head's results, and which are objects (B, P)."""
        relation, head = self.ours.relation, self.detect(points)
        features = head["features"]
        boxes = torch.cat([head["centers"], head["sizes"]], 2)
        corners = box_corners(boxes)
        centres = (corners.amin(2) + corners.amax(2)) / 2
        numbers = torch.cat([centres, (corners - centres[:, :, None]).flatten(2)], 2)
        x = relation.features_concat(features.transpose(1, 2)).transpose(1, 2)
        own = views.gather(1, head["points"][..., None].expand(-1, -1, views.shape[2]))
        for k, block in enumerate(relation.self_attn):
            x = x + relation.obj_embedding[k](own) * 0.1
            x = x + relation.bbox_embedding[k](numbers)
            x = attend(block, x, x)
        x = F.dropout(x, relation.dropout.p, self.training) + features
        return relation.layer_norm(x), head, head["objectness"][..., 0].sigmoid().round() == 1

    @torch.no_grad()
    def detect(self, points: Tensor) -> dict[str, Tensor]:
        """Return the last head's results, with the features of proposals and the points at their seeds."""
        heads, chosen, features, _ = self.detector(points)
        return heads[-1] | {"features": features, "points": self.sampled.gather(1, chosen)}

    def read(self, sentences: Sentences, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return word features (S, T, H), last states (S, H) and the padding (S, T)."""
        lang, lengths = self.ours.lang, sentences.lengths.flatten()
        packed = pack_padded_sequence(vectors.flatten(0, 1), lengths, batch_first=True, enforce_sorted=False)
        states, last = lang.gru(packed)
        states = pad_packed_sequence(states, batch_first=True)[0]
        features = lang.layer_norm(F.dropout(F.relu(lang.fc(states)), lang.dropout, self.training))
        return features, last[0], torch.arange(states.shape[1]) >= lengths[:, None]

    def student(self, features: Tensor, words: Tensor, padding: Tensor, count: int) -> Tensor:
        match = self.ours.match
        rows = features[:, None].repeat(1, count, 1, 1).flatten(0, 1)
        found = attend(match.grounding_cross_attn, rows, words, padding)
        return match.match(found.transpose(1, 2).contiguous())[:, 0]

    def coarse(
        self, features: Tensor, head: dict[str, Tensor], sentences: Sentences, last: Tensor, objects: Tensor
    ) -> Tensor:
        """Return candidates (S, K)."""
        with torch.no_grad():
            _, clean, _ = self.read(sentences, sentences.vectors)
            scores = self.ours.lang.lang_cls(clean)
            classes = repeated(head["class_scores"], sentences)
            of_class = classes.gather(2, scores.argmax(1)[:, None, None].expand(-1, classes.shape[1], -1))[..., 0]
            alike = F.cosine_similarity(classes, scores[:, None].expand(-1, classes.shape[1], -1), dim=2)
            vectors = last.unflatten(0, sentences.lengths.shape)
            close = (vectors @ features.transpose(1, 2)).flatten(0, 1).softmax(1)
            total = 0.5 * close + of_class.softmax(1) + alike
            total = total.masked_fill(~repeated(objects, sentences), -torch.inf)
            return total.sort(1, descending=True)[1][:, : self.ours.config.candidates]

    def losses(
        self,
        features: Tensor,
        last: Tensor,
        scores: Tensor,
        classes: Tensor,
        student: Tensor,
        candidates: Tensor,
        judged: Tensor,
        counted: Tensor,
        epoch: int,
    ) -> dict[str, Tensor]:
        scenes, count = counted.shape
        number, flat = counted.sum().to(last.dtype) + 1e-7, counted.flatten()[:, None]
        vectors = last * flat
        pairs = (features @ vectors.T).permute(0, 2, 1).reshape(scenes, scenes, -1)
        own = (pairs * torch.eye(scenes)[:, :, None]).sum(1).logsumexp(1)
        everything = torch.cat([pairs, pairs.transpose(0, 1)], 1).reshape(scenes, -1).logsumexp(1)
        by_scene = [
            F.cross_entropy(s[c], t[c])
            for s, t, c in zip(scores.unflatten(0, (scenes, count)), classes, counted, strict=True)
        ]
        ranks = judged.argsort(dim=1, descending=True).sort(1)[1]
        rewards = (torch.linspace(0.1, 1, judged.shape[1], dtype=judged.dtype) ** 2)[ranks]
        surprise = (-student.log_softmax(1)).gather(1, candidates).masked_fill(~flat, 0)
        best = judged if epoch <= 2 else judged.topk(judged.shape[1] // 2, 1, largest=False)[0]
        terms = {
            "nce": (everything - own).mean(),
            "lang": torch.stack(by_scene).mean(),
            "rec": best.sum() / number / best.shape[1],
            "weak": (rewards * surprise).sum() / number / judged.shape[1],
        }
        total = 2 * terms["nce"] + 2 * terms["lang"] + terms["rec"] + terms["weak"]
        return terms | {"total": total, "judged": judged}


def repeated(rows: Tensor, sentences: Sentences) -> Tensor:
    """Return rows (B, ...) once for each sentence, (S, ...)."""
    return rows[:, None].expand(-1, sentences.lengths.shape[1], *[-1] * (rows.dim() - 1)).flatten(0, 1)


def attend(block: AttentionBlock, queries: Tensor, keys: Tensor, padding: Tensor | None = None) -> Tensor:
    """The published attention block: weights written out."""
    layers = block.attention
    q, k, v = (
        x.unflatten(2, (block.heads, -1)).transpose(1, 2)
        for x in (layers.fc_q(queries), layers.fc_k(keys), layers.fc_v(keys))
    )
    scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    if padding is not None:
        scores = scores.masked_fill(padding[:, None, None], -torch.inf)
    found = layers.fc_o((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
    return block.layer_norm(queries + F.dropout(found, block.dropout.p, block.training))


def reconstruct(teacher: Teacher, words: Tensor, masks: Tensor, candidates: Tensor) -> Tensor:
    """Return logits (S, K, T, V): one pass for each candidate, all kept.

    Args:
        words: (S, T, H).
        masks: (S, T) 0 for words that are shown, 1 for others, 2 for padding.
        candidates: (S, K, H).
    """
    vocabulary = teacher.vocab_fc.out_features
    logits = torch.zeros(*candidates.shape[:2], words.shape[1], vocabulary, dtype=words.dtype)
    for k in range(candidates.shape[1]):
        hidden = (masks == 1)[..., None]
        x = words.masked_fill(hidden, 0) + torch.where(hidden, teacher.mask_vec, torch.zeros_like(words))
        x = x + sine_positions(*words.shape[1:]).to(words)
        for layer in teacher.reconstruct_trans.decoder_layers:
            p = layer.dropout.p
            found = attend_in_order(layer.self_attn, x, x, masks == 2, causal=True)
            x = layer.self_attn_layer_norm(x + F.dropout(found, p, teacher.training))
            found = attend_in_order(layer.encoder_attn, x, candidates[:, k : k + 1], None, causal=False)
            x = layer.encoder_attn_layer_norm(x + F.dropout(found, p, teacher.training))
            found = layer.fc2(F.relu(layer.fc1(x)))
            x = layer.final_layer_norm(x + F.dropout(found, p, teacher.training))
        logits[:, k] = teacher.vocab_fc(x)
    return logits


def attend_in_order(layer: WordAttention, x: Tensor, keys: Tensor, padding: Tensor | None, causal: bool) -> Tensor:
    """The published attention of the decoder, with keys that may be padding and, if causal, not later than the word."""
    weight, bias = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(rows, w, b).unflatten(2, (layer.heads, -1)).transpose(1, 2)
        for rows, w, b in zip((x, keys, keys), weight, bias, strict=True)
    )
    scores = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
    if causal:
        scores = scores + torch.full(scores.shape[2:], -torch.inf, dtype=scores.dtype).triu(1)
    if padding is not None:
        scores = scores.masked_fill(padding[:, None, None], -1e30)
    return layer.out_proj((scores.softmax(3) @ v).transpose(1, 2).flatten(2))


def reconstruction_scores(logits: Tensor, word_ids: Tensor, masks: Tensor, counted: Tensor) -> Tensor:
    """Return the teacher's losses (S, K) of logits (S, K, T, V), words (S, T), keyword masks (S, T) and (S,) bool."""
    masks = masks.masked_fill(~counted[:, None], 2)
    columns = []
    for k in range(logits.shape[1]):
        logs = logits[:, k].log_softmax(2)
        values = -0.9 * logs.gather(2, word_ids[..., None])[..., 0] - 0.1 * logs.mean(2)
        parts = [
            values.masked_fill(masks != kind, 0).sum(1) / ((masks == kind).sum(1).to(values.dtype) + 1e-7)
            for kind in (0, 1)
        ]
        columns.append(0.3 * parts[0] + 0.7 * parts[1])
    return torch.stack(columns, 1)
