"""The relation module: features of proposals that know the boxes and image features of all proposals of their scene.

Source: models/proposal_module/relation_module.py of ZzZZCHS/WS-3DVG. Letters in shapes: B scenes, N points, P
proposals, H channels, V channels of image features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.dropout import Dropout
from g3d.nn.pointwise import convolve, folded
from g3d.systems.ws3dvg.attention import AttentionBlock

_SIGNS = torch.tensor(
    [[1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1], [1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1]]
)
_VIEW_SHARE = 0.1  # factor of the embedding of image features


class Relation(nn.Module):
    """Embed, attend among the proposals of a scene, and add the detector's features.

    Args:
        channels: H.
        heads: attention heads.
        layers: self-attention layers.
        view_features: V.
        dropout: in training.
    """

    def __init__(self, channels: int, heads: int, layers: int, view_features: int, dropout: float) -> None:
        super().__init__()
        self.features_concat = nn.Sequential(
            nn.Conv1d(channels, channels, 1),
            nn.BatchNorm1d(channels),
            nn.PReLU(channels),
            nn.Conv1d(channels, channels, 1),
        )
        self.self_attn = nn.ModuleList(AttentionBlock(channels, heads, dropout) for _ in range(layers))
        self.bbox_embedding = nn.ModuleList(nn.Linear(27, channels) for _ in range(layers))
        self.obj_embedding = nn.ModuleList(nn.Linear(view_features, channels) for _ in range(layers))
        self.dropout = Dropout(dropout)
        self.layer_norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor, boxes: Tensor, views: Tensor) -> Tensor:
        """Return features (B, P, H).

        Args:
            features: (B, P, H) of the detector.
            boxes: (B, P, 6) centre and extents, metres; extents may be negative.
            views: (B, P, V), the image features of each proposal.
        """
        first, norm, activation, second = self.features_concat
        numbers = box_numbers(boxes)
        x = convolve(convolve_norm_prelu(features, first, norm, activation), second)  # type: ignore[arg-type]
        for attention, of_box, of_view in zip(self.self_attn, self.bbox_embedding, self.obj_embedding, strict=True):
            x = x + _VIEW_SHARE * of_view(views) + of_box(numbers)
            x = attention(x, x)
        found: Tensor = self.layer_norm(self.dropout(x) + features)
        return found


def convolve_norm_prelu(x: Tensor, conv: nn.Conv1d, norm: nn.BatchNorm1d, activation: nn.PReLU) -> Tensor:
    """Return PReLU of the batch norm of a 1 x 1 convolution of rows x (..., C), (..., C').

    In training, the norm uses and updates the statistics of all rows; otherwise, it is part of the matrix product.
    """
    rows = x.flatten(0, -2)
    if norm.training:
        found = norm(F.linear(rows, conv.weight.flatten(1), conv.bias))
    else:
        found = F.linear(rows, *folded(conv.weight.flatten(1), conv.bias, norm))
    return F.prelu(found, activation.weight.to(found.dtype)).unflatten(0, x.shape[:-1])


def box_corners(boxes: Tensor) -> Tensor:
    """Return the corners (..., 8, 3) of boxes (..., 6), in metres, in the published order: the upper face first."""
    return boxes[..., None, :3] + _SIGNS.to(boxes) * (boxes[..., None, 3:] / 2)


def box_numbers(boxes: Tensor) -> Tensor:
    """Return (..., 27) for boxes (..., 6): the centre, then the corners relative to it."""
    corners = _SIGNS.to(boxes) * (boxes[..., None, 3:] / 2)
    return torch.cat([boxes[..., :3], corners.flatten(-2)], -1)


def view_features_of(points: Tensor, view_features: Tensor, by_channel: bool = False) -> Tensor:
    """Return the image features of proposals, (B, P, V).

    Args:
        points: (B, P) int64, the point of the cloud at each proposal's seed.
        view_features: (B, N, V) of the cloud's points.
        by_channel: the published fault. Features are transposed to (B, V, N) and read as rows of V numbers, of which
            those of scene b start at row b V; a proposal gets the row with its point's number.
    """
    channels = view_features.shape[2]
    if by_channel:
        rows = view_features.transpose(1, 2).reshape(-1, channels)
        return rows[points + channels * torch.arange(len(points), device=points.device)[:, None]]
    return view_features.gather(1, points[..., None].expand(-1, -1, channels))
