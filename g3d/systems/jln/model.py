"""The JLN network, and Mono3DVG-TR with `joint: false`: they predict one 3D box from an image and a sentence.

Letters in shapes: I images of H x W pixels, B samples (one sentence each), Q = 1 queries, C channels, P positions of
all four levels (strides 8, 16, 32, 64), h x w the size of the map of stride 16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.geometry.heading import HEADING_BINS
from g3d.nn.dropout import Dropout
from g3d.nn.mlp import MLP
from g3d.nn.object_losses import depth_from_raw
from g3d.nn.precision import at_least_float32
from g3d.nn.resnet import ResNet
from g3d.nn.text_encoder import TextEncoder, Words
from g3d.systems.jln.config import CLASS_NAMES, STRIDES, ModelConfig, TextConfig
from g3d.systems.jln.depth_predictor import Depth, DepthPredictor
from g3d.systems.jln.transformer import Grounded, Transformer, rows_of

QUERIES = 1
"""Queries of the decoder: the adapter's one shared reference point allows no more."""

PUBLISHED_NAMES = {
    "backbone.0.body.": "backbone.",
    "mono3dvg_transformer.TextGuidedAdapter.": "transformer.adapter.",
    "mono3dvg_transformer.": "transformer.",
    "text_encoder.": "text_encoder.model.",
}
"""Prefixes of parameter names in published checkpoints, and the prefixes that replace them here.

The first prefix that matches is replaced; names that match none are unchanged. A published file stores some weights
twice, also as mono3dvg_transformer.decoder.bbox_embed and .dim_embed; these are bbox_embed and dim_embed_3d.
"""


class Outputs(NamedTuple):
    """The network's predictions for each sample, float32.

    Attributes:
        logits: (B, Q, 9) independent logits of CLASS_NAMES.
        boxes: (B, Q, 6) projected 3D centre u, v and its distances l, r, t, b to the sides of the 2D box, 0..1 of the
            network's image.
        sizes: (B, Q, 3) height, width, length in metres.
        depth: (B, Q, 2) depth in metres and log variance.
        angle: (B, Q, 24) 12 bin logits and 12 residuals of the observation angle.
        depth_logits: (B, bins + 1, h, w) logits of the depth bins.
        depth_map: (B, h, w) expected depth in metres.
        regions: (B, P) score of each position, trained towards 1 inside the object and 0 outside; unbounded; None for
            Mono3DVG-TR.
        depth_regions: (B, h w) the same score, computed from the depth features; None for Mono3DVG-TR.
        visual_token, text_token: (B, C) global tokens; None for Mono3DVG-TR.
    """

    logits: Tensor
    boxes: Tensor
    sizes: Tensor
    depth: Tensor
    angle: Tensor
    depth_logits: Tensor
    depth_map: Tensor
    regions: Tensor | None
    depth_regions: Tensor | None
    visual_token: Tensor | None
    text_token: Tensor | None


class Encoded(NamedTuple):
    """The sentence-independent features of I images: maps (I, C, h, w) of four levels, and their depth."""

    maps: list[Tensor]
    depth: Depth


class JLN(nn.Module):
    """The network with newly initialised weights; `text_encoder.load` loads the text encoder's weights.

    Args:
        config: widths and parts.
        text: the sentence encoder.
    """

    def __init__(self, config: ModelConfig, text: TextConfig) -> None:
        super().__init__()
        channels, backbone = config.channels, config.backbone
        self.backbone = ResNet(backbone.blocks, backbone.width, backbone.norm, backbone.frozen_stages)
        self.input_proj = nn.ModuleList(_projection(inputs, channels, kernel=1) for inputs in self.backbone.channels)
        self.input_proj.append(_projection(self.backbone.channels[-1], channels, kernel=3))
        self.text_encoder = TextEncoder(text.architecture, text.max_words, text.frozen, text.dropout)
        self.resizer = Resizer(text.architecture["hidden_size"], channels, config.dropout)
        self.depth_predictor = DepthPredictor(
            channels, config.heads, config.feedforward, config.dropout, config.depth_bins, config.max_depth
        )
        self.transformer = Transformer(config)
        self.query_embed = nn.Embedding(QUERIES, channels)
        # In published files each head is a list with one entry, so its parameter names contain a 0.
        self.class_embed = nn.Sequential(nn.Linear(channels, len(CLASS_NAMES)))
        self.bbox_embed = nn.Sequential(MLP([channels, channels, channels, 6]))
        self.dim_embed_3d = nn.Sequential(MLP([channels, channels, 3]))
        self.angle_embed = nn.Sequential(MLP([channels, channels, 2 * HEADING_BINS]))
        self.depth_embed = nn.Sequential(MLP([channels, channels, 2]))
        nn.init.constant_(cast(nn.Linear, self.class_embed[0]).bias, -math.log(99))  # probability 0.01
        nn.init.constant_(cast(nn.Linear, cast(MLP, self.bbox_embed[0]).layers[-1]).bias[2:], -2.0)  # boxes start small

    def forward(
        self,
        images: Tensor,
        image_of: Tensor | None,
        cameras: Tensor,
        image_sizes: Tensor,
        expressions: Sequence[str] | Words,
        guide: Tensor | None = None,
    ) -> Outputs:
        """Ground each sentence in its image; each image is encoded once.

        Args:
            images: (I, 3, H, W) float, normalised; H and W multiples of 64.
            image_of: (B,) int64, index of each sample's image; None if sample k belongs to image k (I = B).
            cameras: (B, 3, 4) float32, projection matrices of the original images.
            image_sizes: (B, 2) float32, width and height of the original images, pixels.
            expressions: B sentences, or their word features.
            guide: (B, P) true regions, 0 or 1, if known. With `reference: regions`, the decoder's reference point is
                then drawn from the true region, so that it learns from the right object before the region heads find
                it.

        Raises:
            ValueError: the image size does not fit.
        """
        words = expressions if isinstance(expressions, Words) else self.text_encoder(expressions)
        return self.ground(self.encode(images), image_of, cameras, image_sizes, words, guide)

    def encode(self, images: Tensor) -> Encoded:
        """Return the features of images (I, 3, H, W), given as in `forward`, that do not depend on a sentence.

        Raises:
            ValueError: the image size does not fit.
        """
        height, width = images.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(f"images: height and width must be multiples of {STRIDES[-1]}, found {height} x {width}")
        features = self.backbone(images)
        maps = [project(level) for project, level in zip(self.input_proj, [*features, features[-1]], strict=True)]
        return Encoded(maps, self.depth_predictor(maps))

    def ground(
        self,
        encoded: Encoded,
        image_of: Tensor | None,
        cameras: Tensor,
        image_sizes: Tensor,
        expressions: Sequence[str] | Words,
        guide: Tensor | None = None,
    ) -> Outputs:
        """Ground sentences in encoded images; the arguments are those of `forward`."""
        words = expressions if isinstance(expressions, Words) else self.text_encoder(expressions)
        depth = encoded.depth
        resized = self.resizer(words.features)
        grounded = self.transformer(
            encoded.maps, depth.tokens, resized, words.padding, self.query_embed.weight, image_of, guide
        )
        with torch.autocast(
            cameras.device.type, enabled=False
        ):  # bfloat16 would move centres by pixels and change depths by percents
            return self._heads(
                grounded, rows_of(depth.logits, image_of), rows_of(depth.depth, image_of), cameras, image_sizes
            )

    def _heads(
        self, grounded: Grounded, depth_logits: Tensor, depth_map: Tensor, cameras: Tensor, image_sizes: Tensor
    ) -> Outputs:
        queries = at_least_float32(grounded.queries)
        centre = F.pad(torch.logit(grounded.reference, eps=1e-5), (0, 4))
        boxes = (self.bbox_embed(queries) + centre).sigmoid()
        sizes = self.dim_embed_3d(queries)
        depth = self._depth(self.depth_embed(queries), boxes, sizes, depth_map, cameras, image_sizes)
        extras = (None if x is None else at_least_float32(x) for x in grounded[2:])
        return Outputs(
            self.class_embed(queries), boxes, sizes, depth, self.angle_embed(queries), depth_logits, depth_map, *extras
        )

    @staticmethod
    def _depth(
        raw: Tensor, boxes: Tensor, sizes: Tensor, depth_map: Tensor, cameras: Tensor, image_sizes: Tensor
    ) -> Tensor:
        """Return the mean of three depth estimates, and the log variance: (B, Q, 2).

        The estimates are the regressed depth, the depth from the object's height in metres and in pixels, and the depth
        map's value at the object's centre.
        """
        regressed = depth_from_raw(raw[..., :1])
        pixels = (boxes[..., 4:5] + boxes[..., 5:6]) * image_sizes[:, None, 1:]
        geometric = sizes[..., :1] / pixels.clamp(min=1) * cameras[:, None, :1, 0]
        centre = boxes[:, :, None, :2].detach() * 2 - 1
        mapped = F.grid_sample(depth_map[:, None], centre, align_corners=True)[:, 0]
        return torch.cat([(regressed + geometric + mapped) / 3, raw[..., 1:]], 2)


class Resizer(nn.Module):
    """Projection of word features to the transformer's width."""

    def __init__(self, inputs: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, channels)
        self.layer_norm = nn.LayerNorm(channels, eps=1e-12)
        self.dropout = Dropout(dropout)

    def forward(self, words: Tensor) -> Tensor:
        """Return words (B, W, inputs) as (B, W, C)."""
        return self.dropout(self.layer_norm(self.fc(words)))


def _projection(inputs: int, channels: int, kernel: int) -> nn.Sequential:
    """Return the projection of a backbone level to the transformer's width: 1x1, or 3x3 with stride 2."""
    convolution = nn.Conv2d(inputs, channels, kernel, stride=1 if kernel == 1 else 2, padding=kernel // 2)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(cast(Tensor, convolution.bias))
    return nn.Sequential(convolution, nn.GroupNorm(32, channels))
