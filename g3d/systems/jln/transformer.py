"""The transformer of JLN and Mono3DVG-TR: a visual encoder that attends to the words, an adapter, and a decoder.

Mono3DVG-TR (Zhan et al., AAAI 2024) consists of the encoder, the adapter and the decoder. JLN (Song & Huang) adds a
global token of the sentence and one of the image, their injection, and region heads. Parameter names are the published
ones (g3d.systems.jln.model.PUBLISHED_NAMES).

Letters in shapes: I images, B samples (one sentence each), P positions of all levels, N positions of stride 16, W
words, Q queries, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from g3d.nn.attention import Attention
from g3d.nn.cells import take_rows
from g3d.nn.deformable_attention import MSDeformAttn
from g3d.nn.dropout import Dropout
from g3d.nn.mlp import MLP
from g3d.nn.positions import pixel_centres, sine_positions
from g3d.nn.precision import at_least_float32
from g3d.systems.jln.adapter import LEVELS, TextGuidedAdapter
from g3d.systems.jln.config import ModelConfig

_MANY = 4_000_000  # elements in a batch's features; two images of 384 x 1280 pixels have 5.2 million


class Grounded(NamedTuple):
    """The transformer's outputs; the last four are None for Mono3DVG-TR.

    Attributes:
        queries: (B, Q, C), features of the queries.
        reference: (Q, 2) or (B, Q, 2), x and y in 0..1 of the point around which the queries attend.
        regions: (B, P), without sigmoid.
        depth_regions: (B, N), without sigmoid.
        visual_token: (B, C).
        text_token: (B, C).
    """

    queries: Tensor
    reference: Tensor
    regions: Tensor | None = None
    depth_regions: Tensor | None = None
    visual_token: Tensor | None = None
    text_token: Tensor | None = None


class Transformer(nn.Module):
    """Computes the queries' features from maps of four levels, depth tokens and words."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, heads, dropout = config.channels, config.heads, config.dropout
        self.joint = config.joint
        self.guided = config.reference == "regions"
        self.placed = config.positions == "features"
        self.level_embed = nn.Parameter(torch.empty(LEVELS, channels))
        self.encoder = VisualEncoder(config)
        self.adapter = TextGuidedAdapter(channels, heads, config.points, dropout)
        self.decoder = Decoder(config)
        self.reference_points = nn.Linear(channels, 2)
        if self.joint:
            self.cls_text, self.cls_visual = (nn.Parameter(torch.empty(1, 1, channels)) for _ in range(2))
            self.global_text_att = Attention(channels, heads, dropout)
            self.text_injection_att = Attention(channels, heads, dropout)
            self.global_visual_att = Attention(channels, heads, dropout)
            self.global_visual_injection = GatedInjection(channels)
        self._reset_parameters()
        if self.joint:  # created after the reset: these keep PyTorch's initialisation, as published
            widths = [channels, channels // 2, channels // 2, 1]
            self.adapt_visual_classifier = nn.ModuleList(MLP(widths) for _ in range(LEVELS))
            self.adapt_depth_classifier = nn.ModuleList([MLP(widths)])

    def forward(
        self,
        maps: Sequence[Tensor],
        depth: Tensor,
        words: Tensor,
        padding: Tensor,
        query_embed: Tensor,
        image_of: Tensor | None,
        guide: Tensor | None = None,
    ) -> Grounded:
        """Ground each sentence in its image.

        Args:
            maps: (I, C, h, w) of four levels.
            depth: (I, N, C), depth tokens of level 1.
            words: (B, W, C).
            padding: (B, W) bool, True where padded.
            query_embed: (Q, C), positions of the queries.
            image_of: (B,) int64, index of each sample's image; None if I = B.
            guide: (B, P), as in JLN.forward.
        """
        shapes = [(level.shape[2], level.shape[3]) for level in maps]
        positions = self._positions(shapes)
        reference = self.reference_points(query_embed).float().sigmoid()
        centre = reference[None, :, None].expand(-1, -1, LEVELS, -1)

        visual = at_least_float32(torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1))
        if self.placed:
            visual = visual + positions
        visual = self.encoder(visual, positions, shapes, words, padding, image_of)
        depth = rows_of(depth, image_of)
        visual_token = text_token = None
        if self.joint:
            text_token = self.global_text_att(self.cls_text.expand(len(words), -1, -1), words, words, padding)
            words = self._inject_text(text_token, words, padding)
            visual_token = self.global_visual_att(self.cls_visual.expand(len(visual), -1, -1), visual, visual)
            visual = self.global_visual_injection(visual, visual_token)

        adapted = self.adapter(visual, positions, shapes, centre, depth, words, padding)
        memory = Memory(adapted.visual, shapes, adapted.depth, depth, words, padding)
        if visual_token is None or text_token is None:
            return Grounded(self.decoder(query_embed, centre, memory), reference)
        levels = adapted.visual.split([height * width for height, width in shapes], 1)
        regions = torch.cat([head(level) for head, level in zip(self.adapt_visual_classifier, levels, strict=True)], 1)[
            ..., 0
        ]
        depth_regions = self.adapt_depth_classifier[0](adapted.depth)[..., 0]
        if self.guided:
            reference = marked_place(regions, guide, shapes[0])[:, None]
            centre = reference[:, :, None].expand(-1, -1, LEVELS, -1)
        queries = self.decoder(query_embed, centre, memory)
        return Grounded(queries, reference, regions, depth_regions, visual_token[:, 0], text_token[:, 0])

    def _positions(self, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Return (P, C): sine encodings plus the learned level embeddings."""
        channels, device = self.level_embed.shape[1], self.level_embed.device
        return torch.cat(
            [
                (sine_positions(*shape, channels, device) + level).flatten(0, 1)
                for shape, level in zip(shapes, self.level_embed, strict=True)
            ]
        )

    def _inject_text(self, token: Tensor, words: Tensor, padding: Tensor) -> Tensor:
        """Return words (B, W, C) after self-attention together with the global token (B, 1, C)."""
        together = torch.cat([token, words], 1)
        mask = F.pad(padding, (1, 0), value=False)
        return self.text_injection_att(together, together, together, mask)[:, 1:]

    def _reset_parameters(self) -> None:
        """Initialise parameters of more than one dimension by Xavier, including the cls tokens.

        Deformable attention and the level embedding have their own initialisation.
        """
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MSDeformAttn):
                module.reset_parameters()
        nn.init.zeros_(self.reference_points.bias)
        nn.init.normal_(self.level_embed)


class VisualEncoder(nn.Module):
    """Layers in which the positions of all levels attend to each other and to the words."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.masked = config.word_mask
        self.layers = nn.ModuleList(VisualEncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(
        self,
        visual: Tensor,
        positions: Tensor,
        shapes: Sequence[tuple[int, int]],
        words: Tensor,
        padding: Tensor,
        image_of: Tensor | None,
    ) -> Tensor:
        """Return the encoded features (B, P, C); steps before the first text attention run once per image.

        Args:
            visual: (I, P, C).
            positions: (P, C).
            shapes: height and width of each level.
            words: (B, W, C).
            padding: (B, W) bool, True where padded.
            image_of: (B,) int64, or None if I = B.
        """
        references = pixel_centres(shapes, visual.device)[None, :, None].expand(-1, -1, LEVELS, -1)
        for layer in self.layers:
            inputs = (visual, positions, references, shapes, words, padding if self.masked else None, image_of)
            visual = checkpoint(layer, *inputs, use_reentrant=False) if self._recomputed(visual) else layer(*inputs)
            image_of = None  # after the first layer there is one row per sample
        return visual

    def _recomputed(self, visual: Tensor) -> bool:
        """Return whether the backward pass recomputes a layer's activations.

        It does on CPUs, to save memory at the cost of 8 % more time.
        """
        return self.training and torch.is_grad_enabled() and visual.device.type == "cpu" and visual.numel() > _MANY


class VisualEncoderLayer(nn.Module):
    """Deformable attention, cross-attention to the words and a feed-forward network.

    Each is followed by dropout, residual and layer norm.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.msdeform_attn = MSDeformAttn(channels, LEVELS, config.heads, config.points)
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn = Attention(channels, config.heads, config.dropout)
        self.norm3 = nn.LayerNorm(channels)
        self.linear1, self.linear2 = nn.Linear(channels, config.feedforward), nn.Linear(config.feedforward, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        visual: Tensor,
        positions: Tensor,
        references: Tensor,
        shapes: Sequence[tuple[int, int]],
        words: Tensor,
        padding: Tensor | None,
        image_of: Tensor | None,
    ) -> Tensor:
        """Return the layer's output; shapes as in VisualEncoder.forward, references (1, P, 4, 2)."""
        visual = self.norm1(visual + self.dropout(self.msdeform_attn(visual + positions, references, visual, shapes)))
        visual = rows_of(visual, image_of)
        visual = self.norm3(visual + self.dropout(self.cross_attn(visual + positions, words, words, padding)))
        hidden = self.dropout(F.relu(self.linear1(visual), inplace=True))
        return self.norm2(visual + self.dropout(self.linear2(hidden)))


class GatedInjection(nn.Module):
    """A learned gate, per channel, between the features of each position and the global token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.regional_transform, self.global_transform = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.gate = nn.Sequential(nn.Linear(2 * channels, channels))

    def forward(self, visual: Tensor, token: Tensor) -> Tensor:
        """Return visual (B, P, C) mixed with the token (B, 1, C), as (B, P, C)."""
        regional, whole = self.regional_transform(visual), self.global_transform(token)
        # A linear layer of [regional, whole], without repeating the token for each position.
        layer = cast(nn.Linear, self.gate[0])
        of_regional, of_whole = layer.weight.chunk(2, 1)
        gate = (F.linear(regional, of_regional) + F.linear(whole, of_whole, layer.bias)).sigmoid()
        return torch.lerp(whole, regional, gate)


class Memory(NamedTuple):
    """The features that the decoder attends to.

    Attributes:
        visual: (B, P, C), of levels `shapes`.
        shapes: height and width of each level.
        depth_keys, depth_values: (B, N, C).
        words: (B, W, C).
        padding: (B, W) bool, True where padded.
    """

    visual: Tensor
    shapes: Sequence[tuple[int, int]]
    depth_keys: Tensor
    depth_values: Tensor
    words: Tensor
    padding: Tensor


class Decoder(nn.Module):
    """Layers in which the query attends to depth, words and image in turn."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(self, query_embed: Tensor, reference: Tensor, memory: Memory) -> Tensor:
        """Return the queries' features (B, Q, C) from query_embed (Q, C) and reference (1 or B, Q, 4, 2)."""
        queries = torch.zeros_like(query_embed).expand(len(memory.visual), -1, -1)
        for layer in self.layers:
            queries = layer(queries, query_embed, reference, memory)
        return queries


class DecoderLayer(nn.Module):
    """Cross-attention to depth and words, deformable attention to the image, and a feed-forward network.

    The cross-attentions have no residual; the other two parts have one.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.cross_attn_depth, self.norm_depth = (
            Attention(channels, config.heads, config.dropout),
            nn.LayerNorm(channels),
        )
        self.cross_attn_text, self.norm_text = Attention(channels, config.heads, config.dropout), nn.LayerNorm(channels)
        self.cross_attn, self.norm1 = (
            MSDeformAttn(channels, LEVELS, config.heads, config.points),
            nn.LayerNorm(channels),
        )
        self.linear1, self.linear2 = nn.Linear(channels, config.feedforward), nn.Linear(config.feedforward, channels)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout = Dropout(config.dropout)

    def forward(self, queries: Tensor, query_embed: Tensor, reference: Tensor, memory: Memory) -> Tensor:
        """Return the layer's output; arguments as in Decoder.forward, with queries (B, Q, C)."""
        found = self.norm_depth(self.dropout(self.cross_attn_depth(queries, memory.depth_keys, memory.depth_values)))
        found = self.norm_text(
            self.dropout(self.cross_attn_text(found + query_embed, memory.words, memory.words, memory.padding))
        )
        queries = self.norm1(
            queries + self.dropout(self.cross_attn(found + query_embed, reference, memory.visual, memory.shapes))
        )
        hidden = self.dropout(F.relu(self.linear1(queries), inplace=True))
        return self.norm3(queries + self.dropout(self.linear2(hidden)))


def marked_place(regions: Tensor, guide: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Return a position on the finest level, without gradient: (B, 2), x and y in 0..1.

    Without a guide, it is the position with the highest region score; with a guide, a random position of the true
    region.

    Args:
        regions: (B, P), scores of the region heads.
        guide: (B, P) true regions, 0 or 1; if one covers no position, any position may be drawn.
        shape: height and width of the finest level.
    """
    finest = shape[0] * shape[1]
    if guide is None:
        place = regions[:, :finest].detach().argmax(1)
    else:
        chances = guide[:, :finest].float()
        place = torch.multinomial(chances + (chances.sum(1, keepdim=True) == 0), 1)[:, 0]
    return pixel_centres([shape], regions.device)[place]


def rows_of(x: Tensor, image_of: Tensor | None) -> Tensor:
    """Return the row of each sample's image: (I, ...) -> (B, ...)."""
    return x if image_of is None else take_rows(x.flatten(1), image_of).unflatten(1, x.shape[1:])
