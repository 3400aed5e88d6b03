"""Multi-scale deformable attention as a module: projections around g3d.ops.ms_deform_attn.

Source: Deformable DETR (Zhu et al. 2021), with the parameter names and initialisation of
fundamentalvision/Deformable-DETR and the six-number references of ZrrSkywalker/MonoDETR, so that published weights load
by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from g3d.nn.precision import at_least_float32
from g3d.ops.ms_deform_attn import ms_deform_attn


class MSDeformAttn(nn.Module):
    """Multi-scale deformable attention: each query predicts P sampling locations per head and level.

    Letters in shapes: B batch, Q queries, L levels, S positions of all levels one after the other, C channels, P
    points.

    Args:
        channels: C, of queries, maps and result; a multiple of heads.
        levels: L, number of maps.
        heads: number of heads.
        points: P, number of sampling locations of a query on each level, in each head.
    """

    def __init__(self, channels: int = 256, levels: int = 4, heads: int = 8, points: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels: expected a multiple of the {heads} heads, found {channels}")
        self.channels, self.levels, self.heads, self.points = channels, levels, heads, points
        self.sampling_offsets = nn.Linear(channels, heads * levels * points * 2)
        self.attention_weights = nn.Linear(channels, heads * levels * points)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the parameters as published.

        Heads point in different directions from the reference, point p lies at p pixels, and all attention weights are
        equal.
        """
        angles = torch.arange(self.heads, dtype=torch.float32) * (2.0 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        distances = torch.arange(1, self.points + 1, dtype=torch.float32)
        bias = (directions[:, None, None] * distances[:, None]).expand(-1, self.levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())
        for weight in (self.sampling_offsets.weight, self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(weight)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        queries: Tensor,
        references: Tensor,
        maps: Tensor,
        shapes: Sequence[tuple[int, int]],
        padding: Tensor | None = None,
    ) -> Tensor:
        """Attend to the maps around each query's reference.

        Args:
            queries: (B, Q, C), position encoding included.
            references: (B, Q or 1, L, 2), x and y in 0..1; offsets are in pixels of the level. Or (B, Q or 1, L, 6),
                centre x, y and the distances to the left, right, top and bottom side of a box; offsets are in units of
                the box's size divided by 2 P.
            maps: (B, S, C), row-major in each level.
            shapes: height and width of each level.
            padding: (B, S) bool, True where a position is padding: its value is 0.

        Returns:
            (B, Q, C).

        Raises:
            ValueError: shapes do not fit.
        """
        if len(shapes) != self.levels:
            raise ValueError(f"shapes: expected {self.levels} levels, found {len(shapes)}")
        value = self.value_proj(maps)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0)
        value = value.unflatten(2, (self.heads, -1))
        samples = (self.heads, self.levels, self.points)
        offsets = at_least_float32(self.sampling_offsets(queries)).unflatten(2, (*samples, 2))
        weights = (
            at_least_float32(self.attention_weights(queries))
            .unflatten(2, (self.heads, -1))
            .softmax(-1)
            .unflatten(3, samples[1:])
        )
        sampled = ms_deform_attn(value, shapes, self._locations(references, offsets, shapes), weights)
        return self.output_proj(sampled)

    def _locations(self, references: Tensor, offsets: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Return the sampling locations: offsets (B, Q, heads, L, points, 2), scaled and added to the references."""
        if references.shape[2:] not in ((self.levels, 2), (self.levels, 6)):
            raise ValueError(f"references: expected (B, Q, {self.levels}, 2 or 6), found {tuple(references.shape)}")
        references = references.to(offsets.dtype)
        if references.shape[-1] == 2:
            scale = offsets.new_tensor([(1 / width, 1 / height) for height, width in shapes])
        else:
            scale = (references[..., 2::2] + references[..., 3::2]) * (0.5 / self.points)
        # Repeat for each point, so that the innermost loop runs over levels, points and axes instead of two numbers.
        centres, scale = (
            x[..., None, :].expand(*x.shape[:-1], self.points, 2).flatten(-3) for x in (references[..., :2], scale)
        )
        return torch.addcmul(centres[..., None, :], offsets.flatten(3), scale[..., None, :]).view(offsets.shape)
