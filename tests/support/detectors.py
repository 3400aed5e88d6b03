"""Small detectors with drawn weights and statistics, and clouds for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g3d.systems.groupfree.config import ModelConfig as GroupFreeConfig
from g3d.systems.votenet.config import ModelConfig as VoteNetConfig
from support.point_clouds import drawn

TINY_GROUPFREE = GroupFreeConfig(
    decoder_layers=2,
    proposals=16,
    width=0.25,
    input_features=1,
    channels=32,
    heads=4,
    feedforward=64,
    dropout=0.0,
    samples=(128, 64, 32, 16),
)
TINY_VOTENET = VoteNetConfig(proposals=16, channels=32, width=0.25, samples=(128, 64, 32, 16), sampling_at_test="vote")


def draw_weights(network: nn.Module, seed: int = 0) -> None:
    """Draw all norms' parameters and statistics, so that leaving one of them out shows."""
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5, generator=draw)
            module.bias.data.normal_(0, 0.3, generator=draw)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
    for name, value in network.named_parameters():
        if name.endswith(("in_proj_bias", "out_proj.bias")):
            value.data.normal_(0, 0.3, generator=draw)


def rooms(count: int = 2, points: int = 600) -> Tensor:
    """(B, N, 4) float32: x y z in metres on the surfaces of boxes, and the height as a feature."""
    clouds = torch.stack([drawn("surfaces", points, seed) for seed in range(count)])
    return torch.cat([clouds, clouds[..., 2:]], 2)
