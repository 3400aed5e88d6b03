"""Layers that act on each point alone, on rows of features, with the parameter names of 1 x 1 convolutions.

Features are rows (..., C), the layout of matrix products; published code keeps them as (B, C, N) and convolves. Weights
keep the published shapes (C', C, 1) or (C', C, 1, 1), so that checkpoints load without conversion. Batch norm that does
not update its statistics is part of the matrix product (`folded`), which saves a pass over the features.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.ops import norm_relu as operator


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear layer that equals a linear layer followed by a batch norm in evaluation.

    Args:
        weight: (C', C).
        bias: (C',), None for zero.
        norm: batch norm of C' channels, with running statistics.

    Returns:
        (C', C) and (C',). Differentiable with respect to weight, bias and the norm's affine parameters.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    mean = norm.running_mean if bias is None else norm.running_mean - bias
    return weight * scale[:, None], norm.bias - mean * scale


def linear_norm_relu(x: Tensor, conv: nn.Conv1d | nn.Conv2d, norm: nn.BatchNorm1d) -> Tensor:
    """Return ReLU of the batch norm of a 1 x 1 convolution of rows.

    Args:
        x: (..., C).
        conv: a convolution of kernel size 1.
        norm: in training mode, it uses and updates the statistics of all rows; otherwise, it is folded.

    Returns:
        (..., C').
    """
    if norm.training:
        return norm_relu(F.linear(x, conv.weight.flatten(1), conv.bias), norm)
    return F.relu(F.linear(x, *folded(conv.weight.flatten(1), conv.bias, norm)), inplace=True)


def norm_relu(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Return ReLU of the batch norm of rows x (..., C); statistics are over all dimensions but the last.

    A plain batch norm that learns on a CPU runs as one operator, which updates the running statistics as torch's does;
    a synchronised one, or one in half precision, runs as its own module.
    """
    rows = x.flatten(0, -2)
    momentum = norm.momentum if type(norm) is nn.BatchNorm1d and norm.training and norm.affine else None
    if momentum is None or x.device.type != "cpu" or x.dtype != norm.weight.dtype:
        return F.relu(norm(rows), inplace=True).view(x.shape)  # in place on a view, autograd would copy
    found, mean, variance = operator.norm_relu(rows, norm.weight, norm.bias, norm.eps)
    if norm.track_running_stats:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(variance * (len(rows) / (len(rows) - 1)), momentum)
        norm.num_batches_tracked.add_(1)
    return found.view(x.shape)


def convolve(x: Tensor, conv: nn.Conv1d | nn.Conv2d) -> Tensor:
    """Return the 1 x 1 convolution of rows x (..., C), as (..., C')."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


class SharedLayer(nn.Module):
    """Convolution without bias, batch norm and ReLU, with the names `conv` and `bn.bn` of published PointNet++ code."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.Sequential(OrderedDict(bn=nn.BatchNorm1d(outputs)))
        nn.init.kaiming_normal_(self.conv.weight)

    @property
    def norm(self) -> nn.BatchNorm1d:
        """The batch norm."""
        norm = self.bn[0]
        assert isinstance(norm, nn.BatchNorm1d)
        return norm

    @property
    def weight(self) -> Tensor:
        """The convolution's weight as a matrix (C', C)."""
        return self.conv.weight.flatten(1)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight (C', C) and bias (C',) of convolution and batch norm in evaluation."""
        return folded(self.weight, None, self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., C) as (..., C')."""
        return linear_norm_relu(x, self.conv, self.norm)


class SharedMLP(nn.Sequential):
    """Shared layers with the names layer0, layer1, ...

    Args:
        widths: channels of the input and of each layer's output.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        layers = (SharedLayer(a, b) for a, b in pairwise(widths))
        super().__init__(OrderedDict((f"layer{i}", layer) for i, layer in enumerate(layers)))

    @property
    def layers(self) -> list[SharedLayer]:
        """The layers, in order."""
        return [layer for layer in self if isinstance(layer, SharedLayer)]


class TwoLayers(nn.Module):
    """Two convolutions with batch norm and ReLU, named conv1, bn1, conv2, bn2: the base of the published heads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.conv2, self.bn2 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)

    def hidden(self, x: Tensor) -> Tensor:
        """Return x (..., C) after both layers, (..., C)."""
        return linear_norm_relu(linear_norm_relu(x, self.conv1, self.bn1), self.conv2, self.bn2)
