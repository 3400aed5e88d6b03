"""The text-guided adapter: it weights visual and depth features by how well each position fits the sentence.

Source: Mono3DVG-TR, section 3.4. JLN adds heads that predict which positions belong to the object. Letters in shapes: B
samples, P positions of all levels, N positions of stride 16, W words, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.attention import Attention
from g3d.nn.deformable_attention import MSDeformAttn
from g3d.nn.mlp import MLP
from g3d.nn.precision import at_least_float32

LEVELS = 4
DRIVER = 1
"""Index of the level, of stride 16, that is compared with the sentence."""


class Adapted(NamedTuple):
    """Features multiplied by their scores: visual (B, P, C) and depth (B, N, C)."""

    visual: Tensor
    depth: Tensor


class TextGuidedAdapter(nn.Module):
    """Weights all features by the similarity of each cell of stride 16 to the text it attends to."""

    def __init__(self, channels: int, heads: int, points: int, dropout: float) -> None:
        super().__init__()
        self.img2text_attn = Attention(channels, heads, dropout)
        self.orig_proj, self.adapt_proj = MLP([channels, channels]), MLP([channels, channels])
        self.tf_scale, self.tf_sigma = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([0.5]))
        self.img2img_msdeform_attn = MSDeformAttn(channels, LEVELS, heads, points)
        self.norm_img, self.norm_text_cond_img = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.depth2textcross_attn, self.depth2depth_attn = (
            Attention(channels, heads, dropout),
            Attention(channels, heads, dropout),
        )
        self.norm_depth, self.norm_text_cond_depth = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(
        self,
        visual: Tensor,
        positions: Tensor,
        shapes: Sequence[tuple[int, int]],
        reference: Tensor,
        depth: Tensor,
        words: Tensor,
        padding: Tensor,
    ) -> Adapted:
        """Weight the visual and the depth features.

        Args:
            visual: (B, P, C), features of all levels.
            positions: (P, C), position encodings of `visual`.
            shapes: height and width of each level.
            reference: (1, 1, 4, 2), the decoder query's reference point; as published, all positions attend around it.
            depth: (B, N, C).
            words: (B, W, C).
            padding: (B, W) bool, True where padded.
        """
        level = slice(*_level_bounds(shapes)[DRIVER])
        driver = visual[:, level]
        read = self.img2text_attn(driver + positions[level], words, words, padding)
        score = self._score(driver, read)
        pyramid = score_pyramid(score.unflatten(1, shapes[DRIVER]))

        queries = visual + positions
        queries[:, level] += read
        context = self.img2img_msdeform_attn(queries, reference, visual, shapes)
        adapted_visual = (self.norm_img(visual) + self.norm_text_cond_img(context)) * pyramid[..., None]

        guided = depth + self.depth2textcross_attn(depth, words, words, padding)
        context = self.depth2depth_attn(guided, guided, depth)
        adapted_depth = (self.norm_depth(depth) + self.norm_text_cond_depth(context)) * score[..., None]
        return Adapted(adapted_visual, adapted_depth)

    def _score(self, visual: Tensor, read: Tensor) -> Tensor:
        """Return (B, N) scores of two (B, N, C) features: a Gaussian of one minus their cosine similarity."""
        cosine = F.cosine_similarity(
            at_least_float32(self.orig_proj(visual)), at_least_float32(self.adapt_proj(read)), dim=2
        )
        return self.tf_scale * torch.exp(-((1 - cosine) ** 2) / (2 * self.tf_sigma**2))


def score_pyramid(score: Tensor) -> Tensor:
    """Return scores (B, h, w) of stride 16 at all four levels, (B, P).

    Stride 8 is upsampled bilinearly; stride 32 is a 3x3 max pooling of stride 16, and stride 64 one of stride 32.
    """
    middle = score[:, None]
    fine = F.interpolate(middle, scale_factor=2, mode="bilinear", align_corners=False)
    coarse = F.max_pool2d(middle, 3, 2, 1)
    coarsest = F.max_pool2d(coarse, 3, 2, 1)
    return torch.cat([level.flatten(1) for level in (fine, middle, coarse, coarsest)], 1)


def _level_bounds(shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the first and the last + 1 position of each level."""
    bounds, start = [], 0
    for height, width in shapes:
        bounds.append((start, start + height * width))
        start += height * width
    return bounds
