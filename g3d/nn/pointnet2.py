"""PointNet++ (Qi et al. 2017) as in VoteNet and Group-Free 3D: set abstraction, feature propagation and the backbone.

Parameter names are the published ones (facebookresearch/votenet, zeliu98/Group-Free-3D). Letters in shapes: B clouds, N
points, M samples, K neighbours of a sample, C channels; features are rows (B, N, C).

The first layer of a set abstraction is linear in [(neighbour - centre) / radius, features]. Its product with the
features is computed once for each of the N points instead of once for each of the M x K neighbours, and is then
gathered; the offsets, three numbers for each neighbour, are added by a matrix product in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.pointwise import SharedMLP, norm_relu
from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.segment_reduce import segment_reduce
from g3d.ops.three_interpolate import three_interpolate
from g3d.ops.three_nn import interpolation_weights, three_nn

_CACHED = 2**18  # values of one layer that a chunk of centres may have: a core's cache holds two layers of them


@dataclass(frozen=True)
class Seeds:
    """The points at which the backbone gives features.

    Attributes:
        xyz: (B, M, 3) float32, metres, the frame of the input.
        features: (B, M, C).
        indices: (B, M) int64 into the input cloud.
    """

    xyz: Tensor
    features: Tensor
    indices: Tensor


class Backbone(nn.Module):
    """Four set abstractions and two feature propagations: points -> features at the second level's samples.

    Args:
        input_features: columns of a point after x y z.
        outputs: channels of the result; published: 288 in Group-Free 3D, 256 in VoteNet.
        width: factor of the channels of all other layers, a multiple of 1 / 64.
        samples: points of the four levels; published: 2048, 1024, 512, 256.
    """

    def __init__(
        self,
        input_features: int = 0,
        outputs: int = 288,
        width: float = 1,
        samples: Sequence[int] = (2048, 1024, 512, 256),
    ) -> None:
        super().__init__()
        low, middle, high = (round(channels * width) for channels in (64, 128, 256))
        self.sa1 = SetAbstraction(samples[0], 0.2, 64, (input_features, low, low, middle))
        self.sa2 = SetAbstraction(samples[1], 0.4, 32, (middle, middle, middle, high))
        self.sa3 = SetAbstraction(samples[2], 0.8, 16, (high, middle, middle, high))
        self.sa4 = SetAbstraction(samples[3], 1.2, 16, (high, middle, middle, high))
        self.fp1 = FeaturePropagation(high, high, (high, high))
        self.fp2 = FeaturePropagation(high, high, (high, outputs))

    def forward(self, clouds: Tensor) -> Seeds:
        """Return the seeds of clouds (B, N, 3 + input_features) float32: x y z in metres, z up, then features.

        Published code takes the first M entries of the first level's samples as the seeds' indices; these are the same
        unless a sample lies within 3 cm of the origin or two points coincide. Here, indices are looked up.
        """
        xyz = clouds[..., :3].contiguous()
        features = clouds[..., 3:].to(self.fp1.mlp.layers[0].weight.dtype) if clouds.shape[2] > 3 else None
        xyz1, features1, chosen1 = self.sa1(xyz, features)
        xyz2, features2, chosen2 = self.sa2(xyz1, features1)
        xyz3, features3, _ = self.sa3(xyz2, features2)
        xyz4, features4, _ = self.sa4(xyz3, features3)
        features3 = self.fp1(xyz3, xyz4, features3, features4)
        features2 = self.fp2(xyz2, xyz3, features2, features3)
        return Seeds(xyz2, features2, chosen1.gather(1, chosen2))


class SetAbstraction(nn.Module):
    """Sample points, group the neighbours of each, and pool the features of a group.

    Args:
        samples: M.
        radius: of a group, metres.
        neighbours: K, at most so many points of a group are used.
        widths: channels of the input's features (0: none) and of each layer's output.
    """

    def __init__(self, samples: int, radius: float, neighbours: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.samples, self.radius, self.neighbours = samples, radius, neighbours
        self.mlp_module = SharedMLP((3 + widths[0], *widths[1:]))

    def forward(
        self, xyz: Tensor, features: Tensor | None, chosen: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the samples with their features.

        Args:
            xyz: (B, N, 3) float32, metres.
            features: (B, N, C), None without.
            chosen: (B, M) int64, the samples; None: furthest point sampling.

        Returns:
            xyz (B, M, 3), features (B, M, C') and indices (B, M) int64 into the input.
        """
        if chosen is None:
            chosen = furthest_point_sample(xyz, self.samples, skip_origin=True)
        centres = xyz.gather(1, chosen[..., None].expand(-1, -1, 3))
        groups = ball_query(xyz, centres, self.radius, self.neighbours)
        rows = (groups + torch.arange(len(xyz), device=xyz.device)[:, None, None] * xyz.shape[1]).flatten(0, 1)
        offsets = (F.embedding(rows, xyz.flatten(0, 1)) - centres.flatten(0, 1)[:, None]) / self.radius
        pool = self._pool_and_learn if self.mlp_module.layers[0].norm.training else self._pool
        return centres, pool(rows, offsets, features).view(*centres.shape[:2], -1), chosen

    def _pool_and_learn(self, rows: Tensor, offsets: Tensor, features: Tensor | None) -> Tensor:
        """Return pooled features (B M, C') of groups, with the batch's own statistics.

        Args:
            rows: (B M, K) int64, the neighbours among all B N points.
            offsets: (B M, K, 3) from the centre, in radii.
            features: (B, N, C), None without.
        """
        first, *others = self.mlp_module.layers
        points = None if features is None else F.linear(features, first.weight[:, 3:]).flatten(0, 1)
        x = norm_relu(_first_layer(rows, offsets, points, first.weight[:, :3]), first.norm)
        for layer in others:
            x = layer(x)
        if x.device.type != "cpu":
            return x.max(1).values
        groups = torch.arange(len(rows)).repeat_interleave(rows.shape[1])  # torch's maximum is 20 times slower here
        return segment_reduce(x.flatten(0, 1), groups, len(rows), "max")

    def _pool(self, rows: Tensor, offsets: Tensor, features: Tensor | None) -> Tensor:
        """Return pooled features (B M, C') of groups, with the running statistics; arguments as above.

        Groups are processed in chunks that stay in the cache, smallest groups first, without the slots that only repeat
        a group's first point. No pass over the neighbours adds a bias: relu(x + b) = max(x, -b) + b, whose last term
        moves into the next layer's bias, and the last bias and ReLU follow the maximum, which they do not change.
        """
        folded = [layer.folded() for layer in self.mlp_module.layers]
        points = None if features is None else F.linear(features, folded[0][0][:, 3:]).flatten(0, 1)
        moved, limits = folded[0][1], []
        for weight, bias in folded[1:]:
            limits.append(-moved)
            moved = bias + weight @ moved
        sizes, order = (rows != rows[:, :1]).sum(1).add_(1).sort()
        rows, offsets = rows[order], offsets[order]
        step = max(1, _CACHED // (rows.shape[1] * max(len(bias) for _, bias in folded)))
        found = []
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            most = int(sizes[some][-1])
            x = _first_layer(rows[some, :most], offsets[some, :most], points, folded[0][0][:, :3])
            for limit, (weight, _) in zip(limits, folded[1:], strict=True):
                x = F.linear(torch.maximum(x, limit.to(x.dtype)), weight)
            found.append(x.amax(1))
        return F.relu(torch.cat(found) + moved)[order.argsort()]


def _first_layer(rows: Tensor, offsets: Tensor, points: Tensor | None, weight: Tensor) -> Tensor:
    """Return the first layer of groups, without bias.

    Args:
        rows: (M, K) int64 into `points`.
        offsets: (M, K, 3) in radii.
        points: (N, C'), the layer's product with the features of all points; None without features.
        weight: (C', 3), of the offsets.

    Returns:
        (M, K, C').
    """
    if points is None:
        return F.linear(offsets.to(weight.dtype), weight)
    x = F.embedding(rows.flatten(), points)  # a view of it, changed in place, would be copied by autograd
    x = x.addmm_(offsets.reshape(-1, 3).to(x.dtype), weight.to(x.dtype).T)
    return x.view(*rows.shape, -1)


class FeaturePropagation(nn.Module):
    """Interpolate features of coarse points at fine points, join them with the fine points' own, and apply layers.

    The coarse half of the first layer is applied before the interpolation, where there are fewer points.

    Args:
        coarse: channels of the coarse features.
        fine: channels of the fine features.
        widths: channels of each layer's output.
    """

    def __init__(self, coarse: int, fine: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.coarse = coarse
        self.mlp = SharedMLP((coarse + fine, *widths))

    def forward(self, xyz: Tensor, coarse_xyz: Tensor, features: Tensor, coarse_features: Tensor) -> Tensor:
        """Return features of the fine points.

        Args:
            xyz: (B, N, 3) float32, metres, fine points.
            coarse_xyz: (B, M, 3) float32.
            features: (B, N, C) of the fine points.
            coarse_features: (B, M, C).

        Returns:
            (B, N, C').
        """
        distances, indices = three_nn(xyz, coarse_xyz)
        first, *others = self.mlp.layers
        training = first.norm.training
        weight, bias = (first.weight, None) if training else first.folded()
        of_coarse = F.linear(coarse_features, weight[:, : self.coarse]).transpose(1, 2)
        interpolated = three_interpolate(of_coarse, indices, interpolation_weights(distances)).transpose(1, 2)
        x = F.linear(features, weight[:, self.coarse :], bias) + interpolated
        x = norm_relu(x, first.norm) if training else F.relu(x, inplace=True)
        for layer in others:
            x = layer(x)
        return x
