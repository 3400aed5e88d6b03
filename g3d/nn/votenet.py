"""VoteNet (Qi et al. 2019): each seed votes for its object's centre, and votes are grouped into boxes.

Architecture, arithmetic and parameter names of facebookresearch/votenet. Letters in shapes: B scenes, N points, M
seeds, Q proposals, C channels; features are rows (B, N, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from g3d.nn.box_predictions import BoxPredictions, read_predictions
from g3d.nn.pointnet2 import Backbone, Seeds, SetAbstraction
from g3d.nn.pointwise import TwoLayers, convolve
from g3d.nn.precision import at_least_float32
from g3d.ops.furthest_point_sample import furthest_point_sample

Sampling = Literal["vote", "seed"]
"""Furthest point sampling of the proposals' centres among the votes or among the seeds."""


@dataclass(frozen=True)
class VoteNetOutputs:
    """Everything that the network returns.

    Attributes:
        seeds: the backbone's points.
        vote_xyz: (B, M, 3) metres, where each seed expects its object's centre.
        proposal_indices: (B, Q) int64 into the votes (and the seeds).
        base: (B, Q, 3) metres, the votes at which proposals are made, which objectness is about.
        boxes: the predictions.
        features: (B, Q, C) of the proposals.
    """

    seeds: Seeds
    vote_xyz: Tensor
    proposal_indices: Tensor
    base: Tensor
    boxes: BoxPredictions
    features: Tensor


class VoteNet(nn.Module):
    """Points -> seeds -> votes -> boxes.

    Args:
        mean_sizes: (S, 3) metres, the mean size of each class.
        classes: number of classes.
        proposals: Q.
        sampling: where proposals are made in training mode; "vote" published.
        sampling_at_test: where proposals are made in evaluation mode; "seed" published.
        input_features: columns of a point after x y z; 1 published, the height.
        channels: of seeds and votes, 256 published.
        width: factor of the backbone's channels.
        samples: points of the backbone's levels.
        headings: heading bins, 1 for ScanNet.
    """

    mean_sizes: Tensor

    def __init__(
        self,
        mean_sizes: Tensor,
        classes: int = 18,
        proposals: int = 256,
        sampling: Sampling = "vote",
        sampling_at_test: Sampling = "seed",
        input_features: int = 1,
        channels: int = 256,
        width: float = 1,
        samples: Sequence[int] = (2048, 1024, 512, 256),
        headings: int = 1,
    ) -> None:
        super().__init__()
        self.sampling, self.sampling_at_test = sampling, sampling_at_test
        self.register_buffer("mean_sizes", mean_sizes.float(), persistent=False)
        self.backbone_net = Backbone(input_features, channels, width, samples)
        self.vgen = Voting(channels)
        self.pnet = ProposalModule(channels, channels // 2, proposals, headings, len(mean_sizes), classes)

    def forward(self, clouds: Tensor) -> VoteNetOutputs:
        """Return the outputs for clouds (B, N, 3 + input_features) float32: x y z in metres, z up, then features."""
        sampling = self.sampling if self.training else self.sampling_at_test
        return propose(self.backbone_net, self.vgen, self.pnet, clouds, self.mean_sizes, sampling)


def propose(
    backbone: Backbone,
    voting: Voting,
    proposing: ProposalModule,
    clouds: Tensor,
    mean_sizes: Tensor,
    sampling: Sampling,
) -> VoteNetOutputs:
    """Return the outputs of the three parts of a VoteNet, for networks that hold them under names of their own.

    Args:
        backbone, voting, proposing: the parts.
        clouds: (B, N, 3 + input_features) float32.
        mean_sizes: (S, 3) metres.
        sampling: where proposals are made.
    """
    seeds: Seeds = backbone(clouds)
    vote_xyz, vote_features = voting(seeds.xyz, seeds.features)
    chosen = None
    if sampling == "seed":
        chosen = furthest_point_sample(seeds.xyz, proposing.vote_aggregation.samples, skip_origin=True)
    base, features, chosen = proposing.vote_aggregation(vote_xyz, vote_features, chosen)
    return VoteNetOutputs(seeds, vote_xyz, chosen, base, proposing(base, features, mean_sizes), features)


class Voting(TwoLayers):
    """One vote of each seed: an offset in space, and a residual of its features."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv3 = nn.Conv1d(channels, 3 + channels, 1)

    def forward(self, xyz: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the votes.

        Args:
            xyz: (B, M, 3) metres, of the seeds.
            features: (B, M, C).

        Returns:
            xyz (B, M, 3) in metres, and features (B, M, C) of length 1.
        """
        offset, residual = at_least_float32(convolve(self.hidden(features), self.conv3)).split(
            [3, features.shape[2]], 2
        )
        votes = features + residual
        return xyz + offset.to(xyz.dtype), votes / torch.linalg.vector_norm(votes, dim=2, keepdim=True)


class ProposalModule(TwoLayers):
    """Group votes and predict a box from each group.

    Args:
        inputs: channels of the votes.
        channels: of the proposals.
        proposals: Q.
        headings: heading bins.
        clusters: size clusters.
        classes: number of classes.
    """

    def __init__(self, inputs: int, channels: int, proposals: int, headings: int, clusters: int, classes: int) -> None:
        super().__init__(channels)
        self.headings, self.classes = headings, classes
        self.vote_aggregation = SetAbstraction(proposals, 0.3, 16, (inputs, channels, channels, channels))
        self.conv3 = nn.Conv1d(channels, 2 + 3 + 2 * headings + 4 * clusters + classes, 1)

    def forward(self, base: Tensor, features: Tensor, mean_sizes: Tensor) -> BoxPredictions:
        """Return predictions.

        Args:
            base: (B, Q, 3) metres, the votes that centres are relative to.
            features: (B, Q, C) of the aggregated votes.
            mean_sizes: (S, 3) metres.
        """
        columns = convolve(self.hidden(features), self.conv3)
        return read_predictions(columns, base, mean_sizes, self.headings, self.classes)
