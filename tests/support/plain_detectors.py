"""Group-Free 3D and VoteNet as published code composes them: plain PyTorch layers on (B, C, N) features.

Every group of neighbours is written out before the first layer, batch norm is a layer of its own, and each part of a
head is one convolution. Names are the published ones, so that these networks take the state dict of ours: they are the
oracle of the tests, and what benchmarks measure beside. Sampling and neighbours come from our operators.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.groupfree import GroupFree
from g3d.nn.votenet import VoteNet
from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.group_points import gather_points, group_points
from g3d.ops.three_interpolate import three_interpolate
from g3d.ops.three_nn import interpolation_weights, three_nn


def shared_mlp(widths: list[int]) -> nn.Sequential:
    layers = nn.Sequential()
    for number, (a, b) in enumerate(pairwise(widths)):
        norm = nn.Sequential()
        norm.add_module("bn", nn.BatchNorm2d(b))
        layer = nn.Sequential()
        layer.add_module("conv", nn.Conv2d(a, b, 1, bias=False))
        layer.add_module("bn", norm)
        layer.add_module("relu", nn.ReLU())
        layers.add_module(f"layer{number}", layer)
    return layers


class PlainAbstraction(nn.Module):
    def __init__(self, samples: int, radius: float, neighbours: int, widths: list[int]) -> None:
        super().__init__()
        self.samples, self.radius, self.neighbours = samples, radius, neighbours
        self.mlp_module = shared_mlp([3 + widths[0], *widths[1:]])

    def forward(
        self, xyz: Tensor, features: Tensor | None, chosen: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if chosen is None:
            chosen = furthest_point_sample(xyz, self.samples, skip_origin=True)
        columns = xyz.transpose(1, 2).contiguous()
        centres = gather_points(columns, chosen)
        groups = ball_query(xyz, centres.transpose(1, 2).contiguous(), self.radius, self.neighbours)
        grouped = (group_points(columns, groups) - centres[..., None]) / self.radius
        if features is not None:
            grouped = torch.cat([grouped, group_points(features, groups)], 1)
        found = self.mlp_module(grouped.to(self.mlp_module.layer0.conv.weight.dtype))
        pooled = F.max_pool2d(found, (1, found.shape[3]))[..., 0]
        return centres.transpose(1, 2).contiguous(), pooled, chosen


class PlainPropagation(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.mlp = shared_mlp(widths)

    def forward(self, xyz: Tensor, coarse_xyz: Tensor, features: Tensor, coarse: Tensor) -> Tensor:
        distances, indices = three_nn(xyz, coarse_xyz)
        interpolated = three_interpolate(coarse, indices, interpolation_weights(distances))
        return self.mlp(torch.cat([interpolated, features], 1)[..., None])[..., 0]


class PlainBackbone(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: float, samples: tuple[int, ...]) -> None:
        super().__init__()
        low, middle, high = (int(channels * width) for channels in (64, 128, 256))
        self.sa1 = PlainAbstraction(samples[0], 0.2, 64, [inputs, low, low, middle])
        self.sa2 = PlainAbstraction(samples[1], 0.4, 32, [middle, middle, middle, high])
        self.sa3 = PlainAbstraction(samples[2], 0.8, 16, [high, middle, middle, high])
        self.sa4 = PlainAbstraction(samples[3], 1.2, 16, [high, middle, middle, high])
        self.fp1 = PlainPropagation([2 * high, high, high])
        self.fp2 = PlainPropagation([2 * high, high, outputs])

    def forward(self, clouds: Tensor) -> tuple[Tensor, Tensor]:
        xyz = clouds[..., :3].contiguous()
        features = clouds[..., 3:].transpose(1, 2).contiguous() if clouds.shape[2] > 3 else None
        xyz1, features1, _ = self.sa1(xyz, features)
        xyz2, features2, _ = self.sa2(xyz1, features1)
        xyz3, features3, _ = self.sa3(xyz2, features2)
        xyz4, features4, _ = self.sa4(xyz3, features3)
        features3 = self.fp1(xyz3, xyz4, features3, features4)
        return xyz2, self.fp2(xyz2, xyz3, features2, features3)


class PlainTwoLayers(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)
        self.bn1, self.bn2 = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)

    def hidden(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class PlainScores(PlainTwoLayers):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels)
        self.conv3 = nn.Conv1d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.hidden(x))


class PlainHead(PlainTwoLayers):
    PARTS = ("objectness_scores", "center_residual", "heading_class", "heading_residual", "size_class", "size_residual")

    def __init__(self, channels: int, clusters: int, classes: int) -> None:
        super().__init__(channels)
        for name, size in zip(self.PARTS, (1, 3, 1, 1, clusters, 3 * clusters), strict=True):
            setattr(self, f"{name}_head", nn.Conv1d(channels, size, 1))
        self.sem_cls_scores_head = nn.Conv1d(channels, classes, 1)

    def forward(self, x: Tensor, base: Tensor, mean_sizes: Tensor) -> dict[str, Tensor]:
        x = self.hidden(x)
        found = {name: getattr(self, f"{name}_head")(x).transpose(1, 2) for name in (*self.PARTS, "sem_cls_scores")}
        residuals = found["size_residual"].unflatten(2, (-1, 3))
        cluster = found["size_class"].argmax(2)
        own = torch.stack([rows[torch.arange(len(rows)), k] for rows, k in zip(residuals, cluster, strict=True)])
        return {
            "objectness": found["objectness_scores"],
            "centers": base + found["center_residual"],
            "heading_scores": found["heading_class"],
            "heading_residuals": found["heading_residual"],
            "size_scores": found["size_class"],
            "size_residuals": residuals,
            "class_scores": found["sem_cls_scores"],
            "sizes": mean_sizes[cluster] * (1 + own),
        }


class PlainPosition(nn.Module):
    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.position_embedding_head = nn.Sequential(
            nn.Conv1d(inputs, channels, 1), nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, channels, 1)
        )

    def forward(self, positions: Tensor) -> Tensor:
        positions = positions.to(self.position_embedding_head[0].weight.dtype)
        return self.position_embedding_head(positions.transpose(1, 2))


class PlainDecoderLayer(nn.Module):
    def __init__(self, channels: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, heads, dropout)
        self.multihead_attn = nn.MultiheadAttention(channels, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(channels, feedforward), nn.Linear(feedforward, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.self_posembed, self.cross_posembed = PlainPosition(6, channels), PlainPosition(3, channels)

    def forward(self, query: Tensor, key: Tensor, boxes: Tensor, xyz: Tensor) -> Tensor:
        position, key_position = self.self_posembed(boxes).permute(2, 0, 1), self.cross_posembed(xyz).permute(2, 0, 1)
        query, key = query.permute(2, 0, 1), key.permute(2, 0, 1)
        placed = query + position
        query = self.norm1(query + self.dropout(self.self_attn(placed, placed, placed)[0]))
        placed = key + key_position
        query = self.norm2(query + self.dropout(self.multihead_attn(query + position, placed, placed)[0]))
        query = self.norm3(query + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(query))))))
        return query.permute(1, 2, 0)


class PlainGroupFree(nn.Module):
    """The network of a GroupFree with its weights; returns heads, query indices, query features and seed scores."""

    def __init__(
        self, ours: GroupFree, width: float, inputs: int, heads: int, feedforward: int, dropout: float
    ) -> None:
        super().__init__()
        channels, clusters = ours.decoder_key_proj.out_channels, len(ours.mean_sizes)
        classes, layers = ours.proposal_head.classes, len(ours.decoder)
        samples = tuple(getattr(ours.backbone_net, f"sa{k}").samples for k in (1, 2, 3, 4))
        self.proposals, self.mean_sizes = ours.proposals, ours.mean_sizes
        self.backbone_net = PlainBackbone(inputs, channels, width, samples)
        self.points_obj_cls = PlainScores(channels, 1)
        self.proposal_head = PlainHead(channels, clusters, classes)
        self.decoder_key_proj, self.decoder_query_proj = (nn.Conv1d(channels, channels, 1) for _ in range(2))
        self.decoder = nn.ModuleList(PlainDecoderLayer(channels, heads, feedforward, dropout) for _ in range(layers))
        self.prediction_heads = nn.ModuleList(PlainHead(channels, clusters, classes) for _ in range(layers))
        self.load_state_dict(ours.state_dict())
        self.train(ours.training)

    def forward(self, clouds: Tensor) -> tuple[list[dict[str, Tensor]], Tensor, Tensor, Tensor]:
        xyz, features = self.backbone_net(clouds)
        scores = self.points_obj_cls(features)[:, 0]
        chosen = torch.topk(scores.sigmoid(), self.proposals).indices
        base = gather_points(xyz.transpose(1, 2).contiguous(), chosen).transpose(1, 2)
        candidates = gather_points(features.contiguous(), chosen)
        found = [self.proposal_head(candidates, base, self.mean_sizes)]
        query, key = self.decoder_query_proj(candidates), self.decoder_key_proj(features)
        for layer, head in zip(self.decoder, self.prediction_heads, strict=True):
            boxes = torch.cat([found[-1]["centers"], found[-1]["sizes"]], 2).detach()
            query = layer(query, key, boxes, xyz)
            found.append(head(query, base, self.mean_sizes))
        return found, chosen, query.transpose(1, 2), scores


class PlainProposals(PlainScores):
    def __init__(self, inputs: int, channels: int, proposals: int, outputs: int) -> None:
        super().__init__(channels, outputs)
        self.vote_aggregation = PlainAbstraction(proposals, 0.3, 16, [inputs, channels, channels, channels])


class PlainVoteNet(nn.Module):
    """The network of a VoteNet with its weights; returns (vote xyz, proposal indices, output columns, features)."""

    def __init__(self, ours: VoteNet, width: float, inputs: int) -> None:
        super().__init__()
        channels = ours.vgen.conv1.in_channels
        samples = tuple(getattr(ours.backbone_net, f"sa{k}").samples for k in (1, 2, 3, 4))
        self.backbone_net = PlainBackbone(inputs, channels, width, samples)
        self.vgen = PlainScores(channels, 3 + channels)
        aggregation = ours.pnet.vote_aggregation
        self.pnet = PlainProposals(channels, channels // 2, aggregation.samples, ours.pnet.conv3.out_channels)
        self.load_state_dict(ours.state_dict())
        self.train(ours.training)

    def forward(self, clouds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        xyz, features = self.backbone_net(clouds)
        votes = self.vgen(features)
        vote_xyz = xyz + votes[:, :3].transpose(1, 2).to(xyz.dtype)
        vote_features = features + votes[:, 3:]
        vote_features = vote_features / torch.norm(vote_features, p=2, dim=1, keepdim=True)
        _, aggregated, chosen = self.pnet.vote_aggregation(vote_xyz.contiguous(), vote_features)
        return vote_xyz, chosen, self.pnet(aggregated).transpose(1, 2), aggregated.transpose(1, 2)
