"""The language module: word features, sentence vectors and classes from word vectors.

Source: models/base_module/lang_module.py of ZzZZCHS/WS-3DVG. Letters in shapes: B scenes, L sentences of a scene, S
sentences of the batch, T words, D numbers of a word vector, H channels, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from g3d.nn.precision import at_least_float32


class Language(nn.Module):
    """A GRU over word vectors with a layer for words and a classifier of sentences.

    Args:
        word_channels: D.
        channels: H.
        classes: C.
        dropout: of word features, in training.
        dropout_at_test: the published fault; dropout is active in evaluation as well.
    """

    def __init__(
        self, word_channels: int, channels: int, classes: int, dropout: float, dropout_at_test: bool = False
    ) -> None:
        super().__init__()
        self.dropout, self.dropout_at_test = dropout, dropout_at_test
        self.gru = nn.GRU(word_channels, channels, batch_first=True)
        self.lang_cls = nn.Sequential(nn.Linear(channels, classes))
        self.fc = nn.Linear(channels, channels)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states of the GRU after each word and after the last word.

        Args:
            vectors: (S, T, D); T is the length of the longest sentence.
            lengths: (S,) int64, 1..T, on the CPU.

        Returns:
            (S, T, H), 0 after the end of a sentence; and (S, H), float32 or wider.
        """
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        return pad_packed_sequence(states, batch_first=True)[0], at_least_float32(last[0])

    def word_features(self, states: Tensor) -> Tensor:
        """Return features of words from states, both (..., H)."""
        hidden = F.dropout(F.relu(self.fc(states)), self.dropout, self.training or self.dropout_at_test)
        found: Tensor = self.layer_norm(hidden)
        return found

    def class_scores(self, vectors: Tensor) -> Tensor:
        """Return class logits (..., C) of sentence vectors (..., H), float32 or wider."""
        return at_least_float32(self.lang_cls(vectors))


def with_unknown_words(vectors: Tensor, lengths: Tensor, unknown: Tensor, share: float) -> Tensor:
    """Return word vectors in which some words of each sentence are the unknown word.

    A sentence of n words has floor(n share) draws of one of its words; a word may be drawn twice. The draws come from
    the global generator of the CPU.

    Args:
        vectors: (S, T, D).
        lengths: (S,) int64, on the CPU.
        unknown: (D,), the vector of the unknown word.
        share: draws for each word.
    """
    draws = torch.zeros(vectors.shape[:2], dtype=torch.bool)
    counts = (lengths.double() * share + 1e-9).long()  # 5 * 0.2 is one draw
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        draws[row, torch.randint(length, (count,))] = True
    return torch.where(draws.to(vectors.device)[..., None], unknown.to(vectors), vectors)
