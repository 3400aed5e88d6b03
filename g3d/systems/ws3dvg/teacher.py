"""The teacher: a decoder that reconstructs the words of a sentence from one candidate at a time.

A candidate from which the words are reconstructed well is likely to be meant by the sentence. Published code runs the
decoder once for each candidate and keeps logits at every position. Here, all candidates are in one batch, and only the
words that are scored are rows of it: padding and the sentences that fill up a scene are left out. Attention among the
words in the first layer does not depend on the candidate and is computed once; its dropout is then the same for all
candidates of a sentence. Attention to a single candidate has weight 1, so that it is a linear layer.

Source: models/recnet/reconstruct_module.py and models/transformer of ZzZZCHS/WS-3DVG. Letters in shapes: S sentences, T
words, K candidates, M scored words of all sentences, H channels, V words of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.data.scanrefer.sentences import KEYWORD, PADDING, WORD
from g3d.nn.attention import Attention
from g3d.nn.dropout import Dropout
from g3d.systems.ws3dvg.vocabulary import word_losses

_PADDED = -1e30  # added to the scores of padded keys; unlike -inf, a row of such keys has weights
_TINY = 1e-7  # as published: added to every count that divides a sum
KEYWORD_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class ScoredWords:
    """The words that are rows of the decoder.

    Attributes:
        places: (M,) int64, place of each row among the S T positions.
        rows: (S T,) int64, row of each position; 0 for positions that are no row, which have no weight.
        sentences: (M,) int64, sentence of each row.
        bias: (S, 1, T, T) added to the scores of attention; later words and padding have no weight.
    """

    places: Tensor
    rows: Tensor
    sentences: Tensor
    bias: Tensor

    @staticmethod
    def of(scored: Tensor, padding: Tensor, dtype: torch.dtype) -> ScoredWords:
        """Return the rows of `scored`, (S, T) bool, which contains all words that are not `padding`, (S, T) bool."""
        places = scored.flatten().nonzero()[:, 0]
        rows = (scored.flatten().cumsum(0) - 1) * scored.flatten()
        count = scored.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=scored.device).triu(1)
        bias = torch.zeros(len(scored), 1, count, count, dtype=dtype, device=scored.device)
        bias = bias.masked_fill(later, -torch.inf).masked_fill(padding[:, None, None], _PADDED)
        return ScoredWords(places, rows, places // count, bias)


class Teacher(nn.Module):
    """Mask some words, decode, and compare with the words of the vocabulary.

    Args:
        channels: H, even and a multiple of `heads`.
        heads: attention heads.
        layers: decoder layers.
        vocabulary: V.
        dropout: in training.
    """

    def __init__(self, channels: int, heads: int, layers: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.mask_vec = nn.Parameter(torch.empty(channels))
        self.reconstruct_trans = Decoder(channels, heads, layers, dropout)
        self.vocab_fc = nn.Linear(channels, vocabulary)
        nn.init.xavier_normal_(self.mask_vec[None])

    def forward(
        self, words: Tensor, replaced: Tensor, padding: Tensor, scored: Tensor, candidates: Tensor
    ) -> tuple[Tensor, ScoredWords]:
        """Return hidden features (M, K, H) of the scored words, and their places.

        Args:
            words: (S, T, H) features of the words of sentences without their keywords.
            replaced: (S, T) bool, words that are not shown.
            padding: (S, T) bool, positions that no word attends to.
            scored: (S, T) bool, the M words that are decoded: all that are not padding, and possibly some that are.
            candidates: (S, K, H).
        """
        rows = ScoredWords.of(scored, padding, words.dtype)
        shown = torch.where(replaced[..., None], self.mask_vec.to(words.dtype), words)
        shown = shown + sine_positions(words.shape[1], words.shape[2]).to(words)
        hidden: Tensor = self.reconstruct_trans(shown.flatten(0, 1)[rows.places, None], candidates, rows)
        return hidden, rows

    def losses(self, hidden: Tensor, word_ids: Tensor) -> Tensor:
        """Return the losses of words, (M, K), from hidden features (M, K, H) and their words (M,) int64."""
        targets = word_ids.repeat_interleave(hidden.shape[1])
        return word_losses(hidden.flatten(0, 1), self.vocab_fc.weight, self.vocab_fc.bias, targets).view(
            hidden.shape[:2]
        )


def reconstruction_losses(losses: Tensor, sentences: Tensor, kinds: Tensor, count: int) -> Tensor:
    """Return the loss of each candidate: 0.3 of the mean over words and 0.7 of the mean over keywords.

    Args:
        losses: (M, K) of words.
        sentences: (M,) int64, the sentence of each.
        kinds: (M,) int64, WORD, KEYWORD or PADDING; padding does not count.
        count: S.

    Returns:
        (S, K), 0 for sentences without words.
    """
    weights = torch.zeros_like(losses[:, 0])
    for kind, share in ((WORD, 1 - KEYWORD_SHARE), (KEYWORD, KEYWORD_SHARE)):
        chosen = (kinds == kind).to(losses.dtype)
        numbers = losses.new_zeros(count).index_add(0, sentences, chosen)
        weights = weights + chosen * share / (numbers + _TINY)[sentences]
    return losses.new_zeros(count, losses.shape[1]).index_add(0, sentences, losses * weights[:, None])


def word_kinds(
    mask: Tensor, lengths: Tensor, counts: Tensor, mask_value_two_is_padding: bool = False
) -> tuple[Tensor, Tensor]:
    """Return what each position of a batch of sentences is.

    Args:
        mask: (B, L, T) int64 keyword mask with WORD, KEYWORD and PADDING; the published one has PADDING at words that
            are in both lists of keywords, and has none in sentences without lists.
        lengths: (B, L) int64, words of each sentence.
        counts: (B,) int64, sentences of each scene; the others fill up the batch.
        mask_value_two_is_padding: the published fault. The mask alone decides what padding is; otherwise, padding
            follows the last word, and any mark of a word makes it a keyword.

    Returns:
        (B, L, T) int64 with WORD, KEYWORD and PADDING; and (B, L, T) bool, the words of sentences that count.
    """
    kinds = mask
    if not mask_value_two_is_padding:
        after = torch.arange(mask.shape[2], device=mask.device) >= lengths[..., None]
        kinds = mask.clamp(WORD, KEYWORD).masked_fill(after, PADDING)
    counted = torch.arange(mask.shape[1], device=mask.device) < counts[:, None]
    return kinds, (kinds != PADDING) & counted[..., None]


def sine_positions(count: int, channels: int) -> Tensor:
    """Return (count, channels) float32: sines and then cosines of the position, 0 for the first word, as published."""
    half = channels // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
    angles = torch.arange(count, dtype=torch.float32)[:, None] * rates
    positions = torch.cat([angles.sin(), angles.cos()], 1)
    positions[0] = 0
    return positions


class Decoder(nn.Module):
    """Decoder layers, one after the other."""

    def __init__(self, channels: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.decoder_layers = nn.ModuleList(DecoderLayer(channels, heads, dropout) for _ in range(layers))

    def forward(self, words: Tensor, candidates: Tensor, rows: ScoredWords) -> Tensor:
        """Return (M, K, H) for words (M, 1, H) and candidates (S, K, H)."""
        for layer in self.decoder_layers:
            words = layer(words, candidates, rows)
        return words


class DecoderLayer(nn.Module):
    """Attention to earlier words, attention to the candidate, two linear layers; each is added and then normed."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.encoder_attn = (WordAttention(channels, heads) for _ in range(2))
        self.self_attn_layer_norm, self.encoder_attn_layer_norm = (nn.LayerNorm(channels) for _ in range(2))
        self.fc1, self.fc2 = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.final_layer_norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, words: Tensor, candidates: Tensor, rows: ScoredWords) -> Tensor:
        """Return (M, K, H) for words (M, K or 1, H) and candidates (S, K, H)."""
        x = self.self_attn_layer_norm(words + self.dropout(self.self_attn.to_words(words, rows)))
        seen = self.encoder_attn.to_single(candidates)[rows.sentences]
        x = self.encoder_attn_layer_norm(x + self.dropout(seen))
        found: Tensor = self.final_layer_norm(x + self.dropout(self.fc2(F.relu(self.fc1(x), inplace=True))))
        return found


class WordAttention(Attention):
    """Attention with the parameters of `Attention`, all Xavier-uniform, on the rows of scored words."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        nn.init.xavier_uniform_(self.out_proj.weight)

    def to_words(self, x: Tensor, rows: ScoredWords) -> Tensor:
        """Return the attention of each word to itself and earlier words, (M, K, H) for x (M, K, H)."""
        sentences, _, count, _ = rows.bias.shape

        def padded(values: Tensor) -> Tensor:
            whole = values.index_select(0, rows.rows)
            return whole.view(sentences, count, values.shape[1] * self.heads, -1).transpose(1, 2)

        q, k, v = (padded(part) for part in self._linear(x, 0, 3))  # (S, K heads, T, H / heads)
        found = F.scaled_dot_product_attention(q, k, v, rows.bias.to(q.dtype))
        found = found.transpose(1, 2).reshape(sentences * count, *x.shape[1:])
        return self.out_proj(found[rows.places])

    def to_single(self, candidates: Tensor) -> Tensor:
        """Return the attention of any word to one candidate, (S, K, H) for candidates (S, K, H): its weight is 1."""
        return self.out_proj(self._linear(candidates, 2, 3)[0])
