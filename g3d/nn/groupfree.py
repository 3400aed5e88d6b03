"""Group-Free 3D (Liu et al. 2021): a transformer detector for point clouds, without grouping points into objects.

Architecture, arithmetic and parameter names of zeliu98/Group-Free-3D, with the sampling KPS and the position embeddings
`xyz_learned` and `loc_learned`. Letters in shapes: B scenes, N points, M seeds, Q queries, C channels; features are
rows (B, N, C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.errors import InputError
from g3d.nn.attention import Attention
from g3d.nn.box_predictions import BoxPredictions, read_predictions
from g3d.nn.dropout import Dropout
from g3d.nn.pointnet2 import Backbone, Seeds
from g3d.nn.pointwise import TwoLayers, convolve, linear_norm_relu
from g3d.nn.precision import at_least_float32


@dataclass(frozen=True)
class GroupFreeOutputs:
    """Everything that the network returns.

    Attributes:
        seeds: the backbone's points.
        seed_scores: (B, M) logits that a seed lies near an object's centre.
        query_indices: (B, Q) int64 into the seeds, by falling score.
        heads: predictions of the proposal head and of each decoder layer's head, in this order.
        features: (B, Q, C) of the queries after the last layer.
    """

    seeds: Seeds
    seed_scores: Tensor
    query_indices: Tensor
    heads: tuple[BoxPredictions, ...]
    features: Tensor


class GroupFree(nn.Module):
    """Points -> seeds -> queries -> boxes, refined by each decoder layer.

    Args:
        mean_sizes: (S, 3) metres, the mean size of each class.
        classes: number of classes.
        decoder_layers: L, 6 or 12 published.
        proposals: Q, 256 or 512 published.
        width: factor of the backbone's channels, 1 or 2 published.
        input_features: columns of a point after x y z.
        channels: C, 288 published.
        heads: attention heads, a divisor of `channels`.
        feedforward: hidden channels of the decoder's layers.
        dropout: in the decoder, in training.
        samples: points of the backbone's levels.
        headings: heading bins, 1 for ScanNet.
    """

    mean_sizes: Tensor

    def __init__(
        self,
        mean_sizes: Tensor,
        classes: int = 18,
        decoder_layers: int = 6,
        proposals: int = 256,
        width: float = 1,
        input_features: int = 0,
        channels: int = 288,
        heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        samples: Sequence[int] = (2048, 1024, 512, 256),
        headings: int = 1,
    ) -> None:
        super().__init__()
        if proposals > samples[1]:
            raise ValueError(f"proposals: expected at most the {samples[1]} seeds, found {proposals}")
        self.proposals = proposals
        self.register_buffer("mean_sizes", mean_sizes.float(), persistent=False)
        self.backbone_net = Backbone(input_features, channels, width, samples)
        self.points_obj_cls = SeedScores(channels)
        self.proposal_head = BoxHead(channels, headings, len(mean_sizes), classes)
        self.decoder_key_proj = nn.Conv1d(channels, channels, 1)
        self.decoder_query_proj = nn.Conv1d(channels, channels, 1)
        self.decoder = nn.ModuleList(DecoderLayer(channels, heads, feedforward, dropout) for _ in range(decoder_layers))
        self.prediction_heads = nn.ModuleList(
            BoxHead(channels, headings, len(mean_sizes), classes) for _ in range(decoder_layers)
        )
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, clouds: Tensor) -> GroupFreeOutputs:
        """Return the outputs for clouds (B, N, 3 + input_features) float32: x y z in metres, z up, then features."""
        seeds: Seeds = self.backbone_net(clouds)
        scores = self.points_obj_cls(seeds.features)
        chosen = scores.detach().topk(self.proposals).indices  # published on sigmoids, which tie when they saturate
        base = _rows_at(seeds.xyz, chosen)
        candidates = _rows_at(seeds.features, chosen)
        predictions = [self.proposal_head(candidates, base, self.mean_sizes)]
        query, key = convolve(candidates, self.decoder_query_proj), convolve(seeds.features, self.decoder_key_proj)
        for layer, head in zip(self.decoder, self.prediction_heads, strict=True):
            query = layer(query, key, predictions[-1].boxes.detach(), seeds.xyz)
            predictions.append(head(query, base, self.mean_sizes))
        return GroupFreeOutputs(seeds, scores, chosen, tuple(predictions), query)


def _rows_at(rows: Tensor, indices: Tensor) -> Tensor:
    """Return rows (B, M, C) at indices (B, Q), as (B, Q, C)."""
    return rows.gather(1, indices[..., None].expand(-1, -1, rows.shape[2]))


class SeedScores(TwoLayers):
    """The score of a seed as a candidate for a query: two layers and a convolution to one channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv3 = nn.Conv1d(channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, M) of features (B, M, C), float32 or wider."""
        return at_least_float32(convolve(self.hidden(features), self.conv3)[..., 0])


class BoxHead(TwoLayers):
    """Two layers, then one convolution for each part of a box; these are computed as one matrix product.

    Args:
        channels: C.
        headings: heading bins.
        clusters: size clusters.
        classes: number of classes.
    """

    def __init__(self, channels: int, headings: int, clusters: int, classes: int) -> None:
        super().__init__(channels)
        self.headings, self.classes = headings, classes
        self.objectness_scores_head = nn.Conv1d(channels, 1, 1)
        self.center_residual_head = nn.Conv1d(channels, 3, 1)
        self.heading_class_head = nn.Conv1d(channels, headings, 1)
        self.heading_residual_head = nn.Conv1d(channels, headings, 1)
        self.size_class_head = nn.Conv1d(channels, clusters, 1)
        self.size_residual_head = nn.Conv1d(channels, 3 * clusters, 1)
        self.sem_cls_scores_head = nn.Conv1d(channels, classes, 1)

    def forward(self, features: Tensor, base: Tensor, mean_sizes: Tensor) -> BoxPredictions:
        """Return predictions.

        Args:
            features: (B, Q, C).
            base: (B, Q, 3) metres, the query points; centres are relative to them in every layer.
            mean_sizes: (S, 3) metres.
        """
        parts = (
            self.objectness_scores_head,
            self.center_residual_head,
            self.heading_class_head,
            self.heading_residual_head,
            self.size_class_head,
            self.size_residual_head,
            self.sem_cls_scores_head,
        )
        weight = torch.cat([part.weight[..., 0] for part in parts])
        bias = torch.cat([part.bias for part in parts if part.bias is not None])
        columns = F.linear(self.hidden(features), weight, bias)
        return read_predictions(columns, base, mean_sizes, self.headings, self.classes)


class PositionEmbedding(nn.Module):
    """Learned embedding of numbers that describe a position: convolution, batch norm, ReLU, convolution."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.position_embedding_head = nn.Sequential(
            nn.Conv1d(inputs, channels, 1),
            nn.BatchNorm1d(channels),
            nn.ReLU(inplace=True),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, positions: Tensor) -> Tensor:
        """Return embeddings (B, N, C) of positions (B, N, inputs) in metres."""
        first, norm, _, second = self.position_embedding_head
        assert isinstance(first, nn.Conv1d)
        assert isinstance(norm, nn.BatchNorm1d)
        assert isinstance(second, nn.Conv1d)
        return convolve(linear_norm_relu(positions.to(first.weight.dtype), first, norm), second)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the seeds, two linear layers; each is added and then normed.

    Positions are added to queries, keys and values.

    Args:
        channels: C, a multiple of `heads`.
        heads: attention heads.
        feedforward: hidden channels of the linear layers.
        dropout: in training.
    """

    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads, dropout)
        self.multihead_attn = Attention(channels, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(channels, feedforward), nn.Linear(feedforward, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = Dropout(dropout)
        self.self_posembed = PositionEmbedding(6, channels)
        self.cross_posembed = PositionEmbedding(3, channels)

    def forward(self, query: Tensor, key: Tensor, boxes: Tensor, xyz: Tensor) -> Tensor:
        """Return the refined queries.

        Args:
            query: (B, Q, C).
            key: (B, M, C), of the seeds.
            boxes: (B, Q, 6) centre and extents in metres, of the previous head.
            xyz: (B, M, 3) metres, of the seeds.

        Returns:
            (B, Q, C).
        """
        position = self.self_posembed(boxes)
        placed = query + position
        query = self.norm1(query + self.dropout(self.self_attn(placed, placed, placed)))
        placed_key = key + self.cross_posembed(xyz)
        query = self.norm2(query + self.dropout(self.multihead_attn(query + position, placed_key, placed_key)))
        hidden = self.dropout(F.relu(self.linear1(query), inplace=True))
        return self.norm3(query + self.dropout(self.linear2(hidden)))


def position_aliases(state: Mapping[str, Tensor], source: str, prefix: str = "") -> dict[str, str]:
    """Return the entries that repeat a layer's position embedding -> the reason why they are not loaded.

    Published state dicts hold each position embedding under two names; this network has it once.

    Args:
        state: the published names -> values.
        source: description of the file; begins the message.
        prefix: of the detector's names.

    Raises:
        InputError: the two entries differ.
    """
    ignored = {}
    for name, value in state.items():
        match = re.match(re.escape(prefix) + r"decoder_(self|cross)_posembeds\.(\d+)\.", name)
        if match is None:
            continue
        own = f"{prefix}decoder.{match[2]}.{match[1]}_posembed.{name[match.end() :]}"
        if own in state:
            if not torch.equal(value, state[own]):
                raise InputError(f"{source}: {name} and {own} differ, expected two names of one tensor")
            ignored[name] = "a second name of the layer's own position embedding"
    return ignored
