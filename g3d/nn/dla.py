"""DLA-34 and its DLAUp neck: an image backbone with features at stride 4.

Source: Deep Layer Aggregation (Yu et al., CVPR 2018), in the form used by xingyizhou/CenterNet and xinzhuma/monodle.
Layers, parameter names and initialisation are the same, so that published weights load by name. Letters in shapes: B
images, H and W pixels, c0..c5 channels of the levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.nn.precision import at_least_float32

PUBLISHED_CHANNELS = (16, 32, 64, 128, 256, 512)
STRIDE = 4
"""Image pixels per feature cell at the neck's output."""
SIZE_MULTIPLE = 32
"""Image height and width must be multiples of this: the deepest level is halved five times and doubled back."""


class DLA34(nn.Module):
    """The backbone: six levels at strides 1, 2, 4, 8, 16, 32.

    `fc`, the ImageNet classifier, is never run and takes no gradient; it exists so that published checkpoints load
    completely.

    Args:
        channels: c0..c5; the published network has 16, 32, 64, 128, 256, 512.
    """

    def __init__(self, channels: Sequence[int] = PUBLISHED_CHANNELS) -> None:
        super().__init__()
        c0, c1, c2, c3, c4, c5 = channels
        self.base_layer = _conv_bn_relu(3, c0, kernel=7)
        self.level0 = _conv_bn_relu(c0, c0)
        self.level1 = _conv_bn_relu(c0, c1, stride=2)
        self.level2 = Tree(1, c1, c2)
        self.level3 = Tree(2, c2, c3, level_root=True)
        self.level4 = Tree(2, c3, c4, level_root=True)
        self.level5 = Tree(1, c4, c5, level_root=True)
        self.fc = nn.Conv2d(c5, 1000, 1).requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _init_fan_out(module)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features of levels 2 to 5, (B, c2, H/4, W/4) ... (B, c5, H/32, W/32), of images (B, 3, H, W)."""
        x = self.level1(self.level0(self.base_layer(images)))
        features = []
        for level in (self.level2, self.level3, self.level4, self.level5):
            x = level(x)
            features.append(x)
        return features


class Tree(nn.Module):
    """An aggregation tree: two subtrees (or blocks, at depth 1) joined by a root over all their outputs.

    Args:
        depth: 1 for two basic blocks, 2 for two trees of depth 1.
        inputs, outputs: channels.
        stride: 2, or 1 for the second subtree of a deeper tree.
        level_root: also pass the pooled input to the root.
        extra: channels of the features that a parent tree adds to the root.
    """

    def __init__(
        self, depth: int, inputs: int, outputs: int, stride: int = 2, level_root: bool = False, extra: int = 0
    ) -> None:
        super().__init__()
        self.depth, self.level_root = depth, level_root
        joined = extra + (inputs if level_root else 0)
        self.tree1: nn.Module
        self.tree2: nn.Module
        if depth == 1:
            self.tree1 = BasicBlock(inputs, outputs, stride)
            self.tree2 = BasicBlock(outputs, outputs)
            self.root = Root(2 * outputs + joined, outputs)
        else:
            self.tree1 = Tree(depth - 1, inputs, outputs, stride)
            self.tree2 = Tree(depth - 1, outputs, outputs, stride=1, extra=outputs + joined)
        self.downsample = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.project = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            if inputs != outputs
            else None
        )
        if depth > 1 and self.project is not None:
            self.project.requires_grad_(False)  # its result is not used, see `forward`

    def forward(self, x: Tensor, children: Sequence[Tensor] = ()) -> Tensor:
        """Return the output (B, outputs, H/stride, W/stride).

        Args:
            x: (B, inputs, H, W).
            children: features from the parent tree.
        """
        bottom = self.downsample(x)
        if self.level_root:
            children = (*children, bottom)
        if self.depth == 1:
            residual = bottom if self.project is None else self.project(bottom)
            x1 = self.tree1(x, residual)
            return self.root(torch.cat([self.tree2(x1), x1, *children], 1))
        if self.training and self.project is not None:
            with torch.no_grad():  # updates its running statistics, which published checkpoints contain
                self.project(bottom)
        x1 = self.tree1(x)
        return self.tree2(x1, (*children, x1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a residual, which is the input unless another residual is given."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + (x if residual is None else residual), inplace=True)


class Root(nn.Module):
    """1x1 convolution over the outputs of all subtrees."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class DLAUp(nn.Module):
    """The neck: iterative deep aggregation of levels 2 to 5 into one map at stride 4, from the deepest level up.

    Args:
        channels: channels of the four levels, c2..c5.
    """

    def __init__(self, channels: Sequence[int] = PUBLISHED_CHANNELS[2:]) -> None:
        super().__init__()
        self.steps = len(channels) - 1
        widths = list(channels)
        for step in range(self.steps):
            first = self.steps - 1 - step  # the first level of this step
            self.add_module(f"ida_{step}", IDAUp(widths[first], widths[first + 1 :]))
            widths[first + 1 :] = [widths[first]] * (step + 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the map (B, c2, H/4, W/4) of features (B, c2, H/4, W/4) ... (B, c5, H/32, W/32)."""
        maps = list(features)
        for step in range(self.steps):
            first = self.steps - 1 - step
            maps[first:] = self.get_submodule(f"ida_{step}")(maps[first:])
        return maps[-1]


class IDAUp(nn.Module):
    """One step of the neck: it projects every map after the first to the first one's width and doubles its resolution.

    Each result is fused with the map before it.
    """

    def __init__(self, outputs: int, inputs: Sequence[int]) -> None:
        super().__init__()
        for i, width in enumerate(inputs, 1):
            self.add_module(f"proj_{i}", Conv(width, outputs))
            self.add_module(f"up_{i}", BilinearUp(outputs))
            self.add_module(f"node_{i}", Conv(2 * outputs, outputs))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = list(maps)
        for i in range(1, len(maps)):
            project, up, node = (self.get_submodule(f"{part}_{i}") for part in ("proj", "up", "node"))
            maps[i] = node(torch.cat([maps[i - 1], up(project(maps[i]))], 1))
        return maps


class Conv(nn.Module):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        _init_fan_out(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class BilinearUp(nn.ConvTranspose2d):
    """Doubles the resolution by a trainable 4x4 kernel per channel, initialised as bilinear interpolation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=2, padding=1, groups=channels, bias=False)
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            self.weight.copy_(torch.outer(taps, taps))

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return x (B, C, H, W) as (B, C, 2H, 2W)."""
        if x.device.type != "cpu":
            return super().forward(x, output_size)
        with torch.autocast(
            "cpu", enabled=False
        ):  # PyTorch's CPU kernel for bfloat16 is 30 times slower than the one for float32
            wide, weight = at_least_float32(x), at_least_float32(self.weight)
            return F.conv_transpose2d(wide, weight, stride=2, padding=1, groups=self.groups).to(x.dtype)


def _conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _init_fan_out(convolution: nn.Conv2d) -> None:
    """Initialise weights by N(0, sqrt(2 / (kernel area * output channels))), as published; biases are unchanged."""
    area = math.prod(convolution.kernel_size)
    nn.init.normal_(convolution.weight, 0, math.sqrt(2 / (area * convolution.out_channels)))
