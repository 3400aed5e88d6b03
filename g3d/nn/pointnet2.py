"""PointNet++ (Qi et al. 2017) as in VoteNet and Group-Free 3D: set abstraction, feature propagation and the backbone.

Parameter names are the published ones (facebookresearch/votenet, zeliu98/Group-Free-3D). Letters in shapes: B clouds, N
points, M samples, K neighbours of a sample, C channels; features are rows (B, N, C).

The first layer of a set abstraction is linear in [(neighbour - centre) / radius, features], so that it is computed once
for each point instead of once for each of the M x K neighbours: W [(p - c) / r, f] = (W_x p / r + W_f f) - W_x c / r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.pointwise import SharedMLP, norm_rows
from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
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
        xyz, features = clouds[..., :3].contiguous(), clouds[..., 3:] if clouds.shape[2] > 3 else None
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
        pool = self._pool_and_learn if self.mlp_module.layers[0].norm.training else self._pool
        return centres, pool(xyz, centres, features, rows).view(*centres.shape[:2], -1), chosen

    def _first_layer(
        self, xyz: Tensor, centres: Tensor, features: Tensor | None, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the parts of the first layer that belong to points (B N, C') and to centres (B M, C'), float32.

        Their difference is small beside themselves, so that autocast must not round them.
        """
        with torch.autocast(xyz.device.type, enabled=False):
            of_xyz = weight[:, :3].to(xyz.dtype) / self.radius
            points, of_centres = F.linear(xyz, of_xyz), F.linear(centres, of_xyz)
        if features is not None:
            points = points + F.linear(features, weight[:, 3:])
        return points.flatten(0, 1), of_centres.flatten(0, 1)

    def _pool_and_learn(self, xyz: Tensor, centres: Tensor, features: Tensor | None, rows: Tensor) -> Tensor:
        """Return pooled features (B M, C') of the groups `rows` (B M, K), with the batch's own statistics."""
        first, *others = self.mlp_module.layers
        points, of_centres = self._first_layer(xyz, centres, features, first.weight)
        x = F.embedding(rows, points) - of_centres[:, None]
        if features is not None:
            x = x.to(features.dtype)
        x = F.relu(norm_rows(x, first.norm), inplace=True)
        for layer in others:
            x = layer(x)
        return x.amax(1)

    def _pool(self, xyz: Tensor, centres: Tensor, features: Tensor | None, rows: Tensor) -> Tensor:
        """Return pooled features (B M, C') of the groups `rows` (B M, K), with the running statistics.

        Groups are processed in chunks that stay in the cache, smallest groups first, without the slots that only repeat
        a group's first point. ReLU and the last bias follow the maximum, which they do not change.
        """
        first, *others = self.mlp_module.layers
        weight, bias = first.folded()
        points, of_centres = self._first_layer(xyz, centres, features, weight)
        of_centres = of_centres - bias
        inner = [layer.folded() for layer in others]
        last_weight, last_bias = inner.pop()
        sizes, order = (rows != rows[:, :1]).sum(1).add_(1).sort()
        step = max(1, _CACHED // (rows.shape[1] * max(layer.conv.out_channels for layer in self.mlp_module.layers)))
        found = []
        for chunk, most in zip(order.split(step), sizes[step - 1 :: step].tolist() + [rows.shape[1]], strict=False):
            x = F.embedding(rows[chunk, :most], points)
            x = F.relu(x.sub_(of_centres[chunk, None]), inplace=True)
            for layer_weight, layer_bias in inner:
                x = F.relu(F.linear(x, layer_weight, layer_bias), inplace=True)
            found.append(F.linear(x, last_weight).amax(1))
        pooled = torch.cat(found)
        return F.relu(pooled + last_bias)[order.argsort()]


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
        x = F.relu(norm_rows(x, first.norm) if training else x, inplace=True)
        for layer in others:
            x = layer(x)
        return x
