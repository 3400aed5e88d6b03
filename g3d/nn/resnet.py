"""Bottleneck ResNet with torchvision's parameter names: features at strides 8, 16 and 32.

Source: He et al., CVPR 2016, in the form of torchvision (stride in the 3x3 convolution). Batch norms that are not
trained are folded into the convolutions during the forward pass, so that they cost nothing and save no activation for
the backward pass. Letters in shapes: B images, H and W pixels, w the width after the first convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResNet(nn.Module):
    """The backbone without its classifier; the defaults are ResNet-50.

    Args:
        blocks: number of bottlenecks in each of the four stages.
        width: w; stage k = 1..4 has 4 w 2^(k-1) channels.
        norm: "frozen" for batch norms whose statistics, scales and shifts are constants; "batch" for trained ones.
        frozen_stages: how many of the stem and the four stages are not trained; batch norms of kind "batch" in them
            keep their statistics.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        norm: Literal["frozen", "batch"] = "frozen",
        frozen_stages: int = 0,
    ) -> None:
        super().__init__()
        make_norm = FrozenBatchNorm2d if norm == "frozen" else nn.BatchNorm2d
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1: nn.Module = make_norm(width)
        inputs = width
        for stage, count in enumerate(blocks):
            hidden, stride = width * 2**stage, 1 if stage == 0 else 2
            layers = [Bottleneck(inputs, hidden, stride, make_norm)]
            inputs = hidden * Bottleneck.expansion
            layers += [Bottleneck(inputs, hidden, 1, make_norm) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.channels = tuple(width * 2**stage * Bottleneck.expansion for stage in (1, 2, 3))
        self._frozen = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"][
            : frozen_stages + 1 if frozen_stages else 0
        ]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for name in self._frozen:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet:
        """Set the training mode; frozen stages stay in evaluation mode."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return stages 2, 3 and 4 of images (B, 3, H, W).

        Their shapes are (B, 8w, H/8, W/8), (B, 16w, H/16, W/16) and (B, 32w, H/32, W/32).
        """
        x = F.relu(conv_norm(images, self.conv1, self.bn1), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        features = []
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
            features.append(x)
        return features[1:]


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions."""

    expansion = 4

    def __init__(self, inputs: int, hidden: int, stride: int, make_norm: type[nn.Module]) -> None:
        super().__init__()
        outputs = hidden * self.expansion
        self.conv1 = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.bn1 = make_norm(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, 1, bias=False)
        self.bn2 = make_norm(hidden)
        self.conv3 = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.bn3 = make_norm(outputs)
        self.downsample: nn.Sequential | None = None
        if inputs != outputs or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), make_norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, inputs, H, W) as (B, 4 hidden, H / stride, W / stride)."""
        out = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)
        out = F.relu(conv_norm(out, self.conv2, self.bn2), inplace=True)
        out = conv_norm(out, self.conv3, self.bn3)
        if self.downsample is not None:
            x = conv_norm(x, cast(nn.Conv2d, self.downsample[0]), self.downsample[1])
        return F.relu(out.add_(x), inplace=True)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm as a constant affine transform; its four tensors are buffers, and it has no batch counter."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, start in (
            ("weight", torch.ones),
            ("bias", torch.zeros),
            ("running_mean", torch.zeros),
            ("running_var", torch.ones),
        ):
            self.register_buffer(name, start(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, H, W), transformed, in the same shape."""
        scale, shift = scale_and_shift(self)
        return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return scale (C,) and shift (C,) of the affine transform that a batch norm applies in evaluation."""
    weight, bias, mean, variance = (
        cast(Tensor, getattr(norm, name)) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight * torch.rsqrt(variance + cast(float, norm.eps))
    return scale, bias - mean * scale


def conv_norm(x: Tensor, convolution: nn.Conv2d, norm: nn.Module) -> Tensor:
    """Return norm(convolution(x)), computed as one convolution unless the norm uses the statistics of this batch."""
    if norm.training and not isinstance(norm, FrozenBatchNorm2d):
        return norm(convolution(x))
    scale, shift = scale_and_shift(norm)
    return F.conv2d(x, convolution.weight * scale.view(-1, 1, 1, 1), shift, convolution.stride, convolution.padding)  # type: ignore[arg-type]
