"""The depth branch: a depth distribution and depth tokens at stride 16, as in ZrrSkywalker/MonoDETR.

Letters in shapes: I images, C channels, h x w the size of the map of stride 16, K depth bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.attention import Attention
from g3d.nn.dropout import Dropout
from g3d.nn.positions import sine_positions
from g3d.nn.precision import at_least_float32
from g3d.systems.jln.depth_map import MIN_DEPTH


class Depth(NamedTuple):
    """The depth branch's outputs.

    Attributes:
        logits: (I, K + 1, h, w) logits of the bins; the last one is background.
        depth: (I, h, w) expected depth in metres.
        tokens: (I, h w, C) depth tokens.
    """

    logits: Tensor
    depth: Tensor
    tokens: Tensor


class DepthPredictor(nn.Module):
    """Predicts the depth of every cell of stride 16, and depth tokens for the transformer.

    Args:
        channels: C, a multiple of 32 and of heads.
        heads, feedforward, dropout: settings of the transformer layer over the cells.
        bins: K, number of bins; their width increases linearly up to max_depth.
        max_depth: metres.
    """

    depth_bin_values: Tensor

    def __init__(
        self, channels: int, heads: int, feedforward: int, dropout: float, bins: int, max_depth: float
    ) -> None:
        super().__init__()
        self.max_depth = max_depth
        self.register_buffer("depth_bin_values", depth_bin_values(bins, max_depth))
        self.downsample = nn.Sequential(nn.Conv2d(channels, channels, 3, 2, 1), nn.GroupNorm(32, channels))
        self.proj = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GroupNorm(32, channels))
        self.upsample = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.GroupNorm(32, channels))
        self.depth_head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(32, channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(32, channels),
            nn.ReLU(inplace=True),
        )
        self.depth_classifier = nn.Conv2d(channels, bins + 1, 1)
        self.depth_encoder = DepthEncoder(channels, heads, feedforward, dropout)
        self.depth_pos_embed = nn.Embedding(math.ceil(max_depth) + 1, channels)

    def forward(self, maps: Sequence[Tensor]) -> Depth:
        """Predict depth from maps (I, C, 2h, 2w), (I, C, h, w), (I, C, h/2, w/2) at strides 8, 16, 32."""
        fine, middle, coarse = maps[:3]
        # Upsample after the projection: repeating each value four times changes neither a 1x1 convolution nor the
        # statistics of a group norm.
        coarse = F.interpolate(self.upsample(coarse), size=middle.shape[-2:], mode="nearest")
        source = (self.proj(middle) + coarse + self.downsample(fine)) / 3
        hidden = self.depth_head(source)
        with torch.autocast(
            hidden.device.type, enabled=False
        ):  # rounded logits would change the expectation over bins of up to 1.5 m
            logits = self.depth_classifier(at_least_float32(hidden))
            depth = torch.einsum("bkhw,k->bhw", logits.softmax(1), self.depth_bin_values)
        _, channels, height, width = source.shape
        positions = sine_positions(height, width, channels, source.device).flatten(0, 1)
        tokens = self.depth_encoder(at_least_float32(hidden).flatten(2).transpose(1, 2), positions)
        return Depth(logits, depth, tokens + self._embed(depth.flatten(1)))

    def _embed(self, depth: Tensor) -> Tensor:
        """Return the learned embeddings of whole metres, interpolated at depth (I, h w): (I, h w, C)."""
        depth = depth.clamp(0, self.max_depth)
        below = depth.floor()
        above = (below + 1).clamp(max=self.depth_pos_embed.num_embeddings - 1)
        return torch.lerp(
            self.depth_pos_embed(below.long()), self.depth_pos_embed(above.long()), (depth - below)[..., None]
        )


class DepthEncoder(nn.Module):
    """A transformer encoder with one layer; its weights are therefore named layers.0."""

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DepthEncoderLayer(channels, heads, feedforward, dropout)])

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return tokens (I, N, C), encoded with positions (N, C), as (I, N, C)."""
        for layer in self.layers:
            tokens = layer(tokens, positions)
        return tokens


class DepthEncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each followed by dropout, residual and layer norm."""

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(channels, feedforward), nn.Linear(feedforward, channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the layer's output; shapes as in DepthEncoder.forward."""
        placed = tokens + positions
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        hidden = self.dropout(F.relu(self.linear1(tokens), inplace=True))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


def depth_bin_values(bins: int, max_depth: float) -> Tensor:
    """Return (bins + 1,) metres: the depth at the middle of each bin's index range, and max_depth for the background.

    The bins are those of g3d.systems.jln.depth_map.
    """
    width = 2 * (max_depth - MIN_DEPTH) / (bins * (bins + 1))
    index = torch.arange(bins, dtype=torch.float64) + 0.5
    values = index**2 * (width / 2) - width / 8 + MIN_DEPTH
    return torch.cat([values, torch.tensor([max_depth], dtype=torch.float64)]).float()
