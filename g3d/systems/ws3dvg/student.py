"""The student: a score for each pair of a proposal and a sentence, which is all that inference needs.

Source: models/refnet/match_module.py of ZzZZCHS/WS-3DVG.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from g3d.nn.pointwise import convolve
from g3d.nn.precision import at_least_float32
from g3d.systems.ws3dvg.attention import AttentionBlock
from g3d.systems.ws3dvg.relation import convolve_norm_prelu


class Student(nn.Module):
    """Proposals attend to the words of a sentence; two layers and a convolution give the score.

    Args:
        channels: H.
        heads: attention heads.
        dropout: in training.
    """

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.match = nn.Sequential(
            nn.Conv1d(channels, channels, 1),
            nn.BatchNorm1d(channels),
            nn.PReLU(),
            nn.Conv1d(channels, channels, 1),
            nn.BatchNorm1d(channels),
            nn.PReLU(),
            nn.Conv1d(channels, 1, 1),
        )
        self.grounding_cross_attn = AttentionBlock(channels, heads, dropout)

    def forward(self, features: Tensor, words: Tensor, padding: Tensor) -> Tensor:
        """Return scores (B, L, P), float32 or wider; higher is better.

        In training, the batch norms use the rows of all B L sentences, padded ones included, as published.

        Args:
            features: (B, P, H) of proposals.
            words: (B, L, T, H) features of the words.
            padding: (B, L, T) bool, True after the last word.
        """
        found = self.grounding_cross_attn(features, words.flatten(0, 1), padding.flatten(0, 1))
        layers: list[Any] = list(self.match)
        found = convolve_norm_prelu(convolve_norm_prelu(found, *layers[:3]), *layers[3:6])
        return at_least_float32(convolve(found, layers[6])[..., 0]).unflatten(0, words.shape[:2])
